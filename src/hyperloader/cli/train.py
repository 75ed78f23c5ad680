"""``hyperloader train``: train one model on all the tasks of a folder, or resume a run."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from hyperloader.cli.calibrate import calibrate_trained
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
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Build and show everything, train nothing.")
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log for TensorBoard, into the run.")
    ] = False,
) -> None:
    """Train one model on all the tasks of a folder.

    Progress is shown on stderr; every step is logged in RUN/log.jsonl. Checkpoints are written at
    each validation and on Ctrl-C. A run that was stopped or killed is resumed with --resume RUN
    and ends as if it had never stopped. At the end scores are calibrated on the validation
    sentences, as hyperloader calibrate does.

    Examples:

      hyperloader train --data my_corpora --steps 2000

      hyperloader train --data my_corpora --minutes 5

      hyperloader train --data my_corpora --recipe reference --backbone google-t5/t5-base

      hyperloader train --resume runs/my-run
    """
    from hyperloader.evaluation.evaluate import f1_evaluator
    from hyperloader.training.progress import progress_console
    from hyperloader.training.run import RunFolder
    from hyperloader.training.setup import select_data
    from hyperloader.training.start import resume_run, start_run

    console, progress = _console(), progress_console(quiet=not _first())
    if from_scratch and resume is None:
        raise ConfigError("--from-scratch goes with --resume RUN; a new run starts there anyway")
    if resume is not None:
        others = (out, settings, task, method, backbone, seed)
        if dry_run or any(other is not None for other in others):
            raise ConfigError(
                "--resume continues a run as it was; only --data, --steps, --minutes, "
                "--from-scratch and --tensorboard may be given with it"
            )
        about = RunFolder.open(resume).about()
        folder = data or (about["data"] and Path(about["data"]))
        if not folder:
            raise ConfigError(f"{resume} was trained on data in memory; resume it from Python")
        corpora = _load(folder, about["tasks"])
        trainer = resume_run(
            resume,
            corpora,
            make_evaluate=_evaluator(f1_evaluator),
            listeners=_listeners(resume, tensorboard),
            console=progress,
            from_scratch=from_scratch,
            steps=steps,
            minutes=minutes,
        )
        console.print(f"resuming {resume} after step {trainer.state.step}")
        out = resume
    else:
        if data is None:
            raise ConfigError("give --data DIR (a folder with one folder a task) or --resume RUN")
        chosen = _recipe(recipe, settings or [], method, backbone, seed, steps, minutes)
        out = out or Path("runs") / f"{Path(recipe).stem}-{datetime.now():%Y%m%d-%H%M%S}"
        RunFolder.new(out)  # refused before anything is read
        corpora = _load(data, task)
        if dry_run:
            _show_plan(console, chosen, corpora)
            return
        trainer = start_run(
            chosen,
            corpora,
            out,
            about={"data": str(data.resolve()), "tasks": list(corpora)},
            make_evaluate=_evaluator(f1_evaluator),
            listeners=_listeners(out, tensorboard),
            console=progress,
        )
        counts = trainer.model.parameter_counts()
        console.print(
            f"{trainer.model.config.method}: {counts['trainable']:,} of {counts['total']:,} "
            f"parameters trained, {len(corpora)} tasks, saved in {out}",
            soft_wrap=True,
        )
    state = trainer.train()
    console.print(f"done: best checkpoint after step {state.best_step or state.step}")
    if _first():
        shares = select_data(trainer.recipe, corpora)
        calibrate_trained(out, shares, str(trainer.accelerator.device), console)
    console.print(f"next: hyperloader evaluate {out} --split test", soft_wrap=True)


def _recipe(
    name: str,
    settings: list[str],
    method: str | None,
    backbone: str | None,
    seed: int | None,
    steps: int | None,
    minutes: float | None,
) -> Any:
    from hyperloader.config import load_recipe

    short = {
        "model.method": method,
        "backbone": backbone,
        "seed": seed,
        "training.steps": steps,
        "training.minutes": minutes,
    }
    return load_recipe(name, [*settings, *(f"{k}={v}" for k, v in short.items() if v is not None)])


def _load(data: Path, tasks: list[str] | None) -> Any:
    from hyperloader.corpora.registry import load_corpora

    return load_corpora(data, tasks)


def _evaluator(f1_evaluator: Any) -> Any:
    return lambda codec, corpora, sentences: f1_evaluator(codec, corpora, sentences=sentences)


def _console() -> Console:
    return Console(quiet=not _first(), highlight=False)


def _first() -> bool:
    """Whether this is the process that prints, of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def _listeners(out: Path, tensorboard: bool) -> list[Any]:
    if not tensorboard or not _first():
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
