"""``hyperloader methods``: every method with its parameters, counted without any weights."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hyperloader.errors import ConfigError

if TYPE_CHECKING:
    from hyperloader.modeling.attached import AttachedModel

# Settings of the published systems that are not the defaults of their method.
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hyperloader", {"task_embedding_dim": 512}),
    ("hyperloader", {"lora_rank": 16}),
    ("hyperloader", {"lora_generators": "per_place"}),
    ("adapter", {"reduction_factor": 16}),
    ("adapter-dagger", {"reduction_factor": 16}),
)
# Methods whose published count follows another convention, and what that counts.
CONVENTIONS = {
    "hyperdecoder": "as published: with decoder adapters that the reference builds and never uses",
    "unipelt-bert": "in use: the network that makes the prefixes replaced by what it makes",
}
# For methods that cannot attach to the backbone that was asked for.
ENCODER_BACKBONE = "bert-base"


def methods(
    backbone: Annotated[
        str, typer.Option(help="A published shape, a folder with a config.json or a Hub name.")
    ] = "t5-base",
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks share the model.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Show what each method attaches where, and how many of the parameters it trains.

    No weights are loaded. Rows with settings are published variants: set them in a recipe under
    model. Methods for one task are counted for one; a method that needs an encoder is counted on
    bert-base.

    Examples:

      hyperloader methods

      hyperloader methods --backbone t5-small --tasks 3 --json
    """
    from hyperloader.modeling.methods import METHODS

    chosen: list[tuple[str, dict[str, Any]]] = []
    for name in METHODS:
        chosen += [(name, {}), *(variant for variant in VARIANTS if variant[0] == name)]
    rows: list[dict[str, Any]] = []
    refused: dict[str, str] = {}
    for name, settings in chosen:
        try:
            rows += _rows(name, settings, backbone, tasks)
        except ConfigError as error:
            refused[name] = str(error)
    if not rows:  # it is not the methods that are at fault
        raise ConfigError(next(iter(refused.values())))
    if as_json:
        typer.echo(json.dumps({"backbone": backbone, "tasks": tasks, "methods": rows}, indent=2))
        return
    console = Console()
    console.print(_table(rows))
    for name, note in CONVENTIONS.items():
        console.print(f"* {name} {note}", highlight=False, style="dim")
    for reason in refused.values():
        console.print(f"* {reason}", highlight=False, style="dim")
    for name, method in METHODS.items():
        console.print(f"[bold]{name}[/bold]: {method.summary}", highlight=False)
        for module, places in _attached(name).items():
            console.print(f"  {module} at {', '.join(places)}", highlight=False)


def _rows(name: str, settings: dict[str, Any], backbone: str, tasks: int) -> list[dict[str, Any]]:
    """The row of a method, and a second one where the published count is another."""
    from hyperloader.modeling.methods import METHODS

    model = _model(name, settings, backbone, 1 if METHODS[name].single_task else tasks)
    counts = model.parameter_counts()
    rows = [_row(name, settings, counts)]
    if name in CONVENTIONS:
        more = _uncounted(model)
        other = {kind: number + more for kind, number in counts.items()}
        rows.append({**_row(name, settings, other), "convention": CONVENTIONS[name]})
    return rows


def _model(name: str, settings: dict[str, Any], backbone: str, tasks: int) -> "AttachedModel":
    import torch

    from hyperloader.backbones.loading import meta_backbone
    from hyperloader.modeling.attached import AttachedModel
    from hyperloader.modeling.config import ModelConfig

    config = ModelConfig(method=name, tasks=tuple(f"task{i}" for i in range(tasks)), **settings)
    with torch.device("meta"):
        # A tagging head depends on the labels, so it is left out here (as published).
        loaded = meta_backbone(backbone)
        try:
            return AttachedModel(loaded, config)
        except ConfigError as refused:
            try:
                return AttachedModel(meta_backbone(ENCODER_BACKBONE), config)
            except ConfigError:
                raise refused from None


def _uncounted(model: "AttachedModel") -> int:
    """What the other way of counting adds to ``model``; negative where it leaves some out."""
    from hyperloader.modeling.sources.free import FreeParameters
    from hyperloader.modeling.sources.prefix import PrefixNetwork

    more = 0
    for module in model.source.modules():
        if isinstance(module, PrefixNetwork):
            more += module.effective_size() - sum(p.numel() for p in module.parameters())
        elif isinstance(module, FreeParameters) and model.source.reads_input:
            layers = [
                len(stack.block) for stack in (model.backbone.encoder, model.backbone.decoder)
            ]
            more += sum(p.numel() for p in module.parameters()) // layers[0] * layers[1]
    return more


def _row(name: str, settings: dict[str, Any], counts: dict[str, int]) -> dict[str, Any]:
    return {
        "method": name,
        "settings": settings,
        **counts,
        "percent": round(100 * counts["trainable"] / counts["total"], 2),
        "convention": None,
        "attached": _attached(name),
    }


def _attached(name: str) -> dict[str, list[str]]:
    """Kinds of modules and the places where each is attached, in the order of the table."""
    from hyperloader.modeling.methods import METHODS

    places: dict[str, list[str]] = {}
    for group in METHODS[name].groups:
        places.setdefault(group.module, []).extend(place.value for place in group.places)
    return places


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("settings", overflow="fold")
    for title in ("trainable", "total", "%"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows:
        settings = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        numbers = (f"{row['trainable']:,}", f"{row['total']:,}", f"{row['percent']:.2f}")
        table.add_row(row["method"] + ("*" if row["convention"] else ""), settings, *numbers)
    return table
