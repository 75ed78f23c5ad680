"""``hyperloader train``: train one model on all the tasks of a folder, or resume a run."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hyperloader.errors import ConfigError, HyperloaderError


def train(
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder with one folder per task, or one corpus."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="A recipe's name or YAML file (see: hyperloader recipes).")
    ] = "builtin",
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Where to save; default: runs/NAME-TIME.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; may be given several times.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Short for --set model.method=…")] = None,
    backbone: Annotated[str | None, typer.Option(help="Short for --set backbone=…")] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=…")] = None,
    steps: Annotated[int | None, typer.Option(help="Short for --set training.steps=…")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a recipe's key; may be repeated."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Resume this run, exactly.")
    ] = None,
    calibrate: Annotated[
        bool, typer.Option(help="Calibrate scores on validation sentences at the end.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and show everything, train nothing.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log for TensorBoard, into the run.")
    ] = False,
) -> None:
    """Train one model on all the tasks of a folder.

    Progress is shown on standard error; every step is logged in RUN/log.jsonl. Checkpoints are
    written at each validation and on Ctrl-C. A run that was stopped or killed is resumed with
    --resume RUN and ends as if it had never stopped. At the end scores are calibrated on the
    validation sentences, as hyperloader calibrate does.

    If a task has no validation file, 10 % of its training sentences are held out.

    Examples:

      hyperloader train --data my_corpora --steps 2000

      hyperloader train --data my_corpora --recipe reference --backbone google-t5/t5-base

      hyperloader train --data my_corpora --dry-run

      hyperloader train --resume runs/my-run
    """
    from hyperloader import api

    if resume is not None:
        others = (out, settings, task, method, backbone, seed, steps)
        if dry_run or any(other is not None for other in others):
            raise ConfigError(
                "--resume continues a run as it was; only --data and --tensorboard may be given "
                "with it"
            )
        api.resume(
            resume, data=data, calibrate=calibrate, listeners=_listeners(resume, tensorboard)
        )
        _say_next(resume)
        return
    if data is None:
        raise ConfigError("give --data DIR (a folder with one folder per task) or --resume RUN")
    short: dict[str, Any] = {"method": method, "backbone": backbone, "seed": seed, "steps": steps}
    if dry_run:
        _show_plan(api.recipe_of(recipe, settings or [], **short), api.corpora_of(data, task))
        return
    out = out or Path("runs") / f"{Path(recipe).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    api.train(
        data,
        out=out,
        recipe=recipe,
        tasks=task,
        settings=settings or [],
        calibrate=calibrate,
        listeners=_listeners(out, tensorboard),
        **short,
    )
    _say_next(out)


def _say_next(run: Path) -> None:
    from hyperloader.api import is_first

    Console(quiet=not is_first(), highlight=False, soft_wrap=True).print(
        f"saved in {run}; next: hyperloader evaluate {run} --split test", markup=False
    )


def _listeners(out: Path, tensorboard: bool) -> list[Any]:
    from hyperloader.api import is_first

    if not tensorboard or not is_first():
        return []
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise HyperloaderError(
            "TensorBoard is not installed: pip install 'hyperloader[tensorboard]'"
        ) from error
    writer = SummaryWriter(out / "tensorboard")

    def listen(kind: str, entry: dict[str, Any]) -> None:
        for key, value in entry.items():
            if isinstance(value, int | float) and key != "step":
                writer.add_scalar(f"{kind}/{key}", value, entry["step"])

    return [listen]


def _show_plan(recipe: Any, corpora: Any) -> None:
    """What a run would train on and how large its model is."""
    from hyperloader.training.setup import build, encode, select_data

    console = Console(highlight=False)
    selected = select_data(recipe, corpora)
    checkpoint = build(recipe, selected)
    windows = encode(checkpoint.codec, selected)
    table = Table(box=None, header_style="bold")
    for column in ("task", "train", "validation", "labels", "longest input (sub-tokens)"):
        table.add_column(column, justify="left" if column == "task" else "right")
    for name, corpus in selected.items():
        longest = max(len(window.source) for window in windows.train[name])
        sizes = [f"{len(corpus.splits[part]):,}" for part in ("train", "validation")]
        labels = len(checkpoint.codec.labels[name])
        table.add_row(name, *sizes, str(labels), str(longest))
    console.print(table)
    counts = checkpoint.model.parameter_counts()
    console.print(
        f"{checkpoint.model.config.method} on {recipe.backbone}: {counts['trainable']:,} of "
        f"{counts['total']:,} parameters trained, {recipe.training.steps:,} steps of "
        f"{recipe.training.batch_size}"
    )
