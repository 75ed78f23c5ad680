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
        str | None,
        typer.Option(
            help="A recipe's name or YAML file (see: hyperloader recipes); default: minilm where "
            "that backbone is installed and no other one is named, else builtin."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Where to save; default: runs/NAME-TIME.")
    ] = None,
    task: Annotated[
        list[str] | None, typer.Option(help="Only this task; may be given several times.")
    ] = None,
    method: Annotated[str | None, typer.Option(help="Short for --set model.method=…")] = None,
    backbone: Annotated[str | None, typer.Option(help="Short for --set backbone=…")] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TAGGER",
            help="Go on from a trained tagger (builtin-minilm, a run, a folder, owner/name) "
            "instead of an untrained model.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=…")] = None,
    steps: Annotated[int | None, typer.Option(help="Short for --set training.steps=…")] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Train for so many minutes instead of a number of steps."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a recipe's key; may be repeated."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN", help="Resume this run; --steps or --minutes make it longer than it was."
        ),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="Resume even if all checkpoints are damaged.")
    ] = False,
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

    What was read as what, and why, is said on standard error, as hyperloader data stats does, and
    so is progress; every step is logged in RUN/log.jsonl. Checkpoints are
    written at each validation and on Ctrl-C. A run that was stopped or killed is resumed with
    --resume RUN and ends as if it had never stopped. At the end scores are calibrated on the
    validation sentences, as hyperloader calibrate does.

    If a task has no validation file, 10 % of its training sentences are held out.

    Examples:

      hyperloader train --data my_corpora --steps 2000

      hyperloader train --data my_corpora --minutes 5

      hyperloader train --data my_corpora --recipe reference --backbone google-t5/t5-base

      hyperloader train --data my_corpora --from builtin-minilm --steps 500

      hyperloader train --data my_corpora --dry-run

      hyperloader train --resume runs/my-run
    """
    from hyperloader import api
    from hyperloader.corpora.corpus import account
    from hyperloader.training.processes import is_first_process
    from hyperloader.training.run import RunFolder

    console = Console(quiet=not is_first_process(), highlight=False, soft_wrap=True)
    if from_scratch and resume is None:
        raise ConfigError("--from-scratch goes with --resume RUN; a new run starts there anyway")
    if resume is not None:
        others = (out, settings, task, method, backbone, start, seed)
        if dry_run or any(other is not None for other in others):
            raise ConfigError(
                "--resume continues a run as it was; only --data, --steps, --minutes, "
                "--from-scratch, --no-calibrate and --tensorboard may be given with it"
            )
        out = resume
        api.resume(
            resume,
            data=data,
            steps=steps,
            minutes=minutes,
            from_scratch=from_scratch,
            calibrate=calibrate,
            listeners=_listeners(resume, tensorboard),
            console=console,
        )
    else:
        if data is None:
            raise ConfigError("give --data DIR (a folder with one folder per task) or --resume RUN")
        short: dict[str, Any] = {
            "method": method,
            "backbone": backbone,
            "start": start,
            "seed": seed,
            "steps": steps,
            "minutes": minutes,
        }
        if dry_run:
            chosen = api.recipe_of(recipe, settings or [], **short)
            corpora = api.corpora_of(data, task)
            typer.echo(account(corpora.values()), err=True)
            _show_plan(console, chosen, corpora)
            return
        out = out or Path("runs") / f"{Path(recipe or 'run').stem}-{datetime.now():%Y%m%d-%H%M%S}"
        api.train(
            data,
            out=out,
            recipe=recipe,
            tasks=task,
            settings=settings or [],
            calibrate=calibrate,
            listeners=_listeners(out, tensorboard),
            console=console,
            **short,
        )
    split = "test" if RunFolder(out).about().get("test", True) else "validation"
    console.print(f"next: hyperloader evaluate {out} --split {split}", markup=False)


def _listeners(out: Path, tensorboard: bool) -> list[Any]:
    from hyperloader.training.processes import is_first_process

    if not tensorboard or not is_first_process():
        return []
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise HyperloaderError(
            "TensorBoard is not installed: pip install 'hyperloader[tensorboard]'"
        ) from error
    writers: list[Any] = []

    def listen(kind: str, entry: dict[str, Any]) -> None:
        if not writers:  # not before the folder is known to be a run
            writers.append(SummaryWriter(out / "tensorboard"))
        writer = writers[0]
        for key, value in entry.items():
            if isinstance(value, int | float) and key != "step":
                writer.add_scalar(f"{kind}/{key}", value, entry["step"])

    return [listen]


def _show_plan(console: Console, recipe: Any, corpora: Any) -> None:
    """What a run would train on and how large its model is."""
    from hyperloader.training.setup import build, encode, select_data

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
