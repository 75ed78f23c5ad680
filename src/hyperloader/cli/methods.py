"""``hyperloader methods``: every method with its parameters, counted without any weights."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

# Settings of the published systems that are not the defaults of their method.
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("hyperloader", {"task_embedding_dim": 512}),
    ("hyperloader", {"lora_rank": 16}),
    ("hyperloader", {"lora_generators": "per_place"}),
)


def methods(
    backbone: Annotated[
        str, typer.Option(help="A published shape, a folder with a config.json or a Hub name.")
    ] = "t5-base",
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks share the model.")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """What each method attaches where, and how many parameters it trains of how many.

    Rows with settings are published variants: set them in a recipe under model.

    Example: hyperloader methods --backbone t5-small --tasks 3
    """
    from hyperloader.modeling.methods import METHODS

    chosen: list[tuple[str, dict[str, Any]]] = []
    for name in METHODS:
        chosen += [(name, {}), *(variant for variant in VARIANTS if variant[0] == name)]
    rows = [_count(name, settings, backbone, tasks) for name, settings in chosen]
    if as_json:
        typer.echo(json.dumps({"backbone": backbone, "tasks": tasks, "methods": rows}, indent=2))
        return
    console = Console()
    console.print(_table(rows))
    for name, method in METHODS.items():
        console.print(f"[bold]{name}[/bold]: {method.summary}", highlight=False)
        for module, places in _attached(name).items():
            console.print(f"  {module} at {', '.join(places)}", highlight=False)


def _count(name: str, settings: dict[str, Any], backbone: str, tasks: int) -> dict[str, Any]:
    import torch

    from hyperloader.modeling.backbone import meta_backbone
    from hyperloader.modeling.config import ModelConfig
    from hyperloader.modeling.model import TaggingModel

    config = ModelConfig(method=name, tasks=tuple(f"task{i}" for i in range(tasks)), **settings)
    with torch.device("meta"):
        counts = TaggingModel(meta_backbone(backbone), config).parameter_counts()
    return {
        "method": name,
        "settings": settings,
        **counts,
        "percent": round(100 * counts["trainable"] / counts["total"], 2),
        "attached": _attached(name),
    }


def _attached(name: str) -> dict[str, list[str]]:
    """Kinds of modules and the places that each stands at, in the order of the table."""
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
        table.add_row(row["method"], settings, *numbers)
    return table
