"""``hyperloader add-task``: teach a trained tagger one task more."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def add_task(
    run: Annotated[
        str,
        typer.Argument(
            metavar="TAGGER",
            help="A training run, a checkpoint, a bundled tagger, or owner/name on the Hub.",
        ),
    ],
    data: Annotated[
        Path, typer.Option(metavar="DIR", help="The sentences of the task: a corpus, or one file.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="NEW", help="Where to write the tagger that knows it.")
    ],
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What to call it (default: as the data are called); of several in DIR, which one.",
        ),
    ] = None,
    level: Annotated[
        str,
        typer.Option(
            help="What is trained. embedding: the task's embedding and head; residual: also a "
            "small change of its own to all generated weights; all: the hypernetwork, which "
            "changes old tasks."
        ),
    ] = "residual",
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="The task is there: go on from what it is, with the labels of the new data.",
        ),
    ] = False,
    replay: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --level all: sentences of old tasks to learn along."
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Default: 50 (on a T5 150), and more with many sentences.")
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="Train for so many minutes instead of a number of steps.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Short for --set seed=…")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Set a key of the recipe (its sections data, training and validation).",
        ),
    ] = None,
    calibrate: Annotated[
        bool, typer.Option(help="Calibrate the task's scores if 50 validation sentences are there.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that NEW holds.")
    ] = False,
) -> None:
    """Teach a trained tagger one task more, and leave the old ones as they are.

    The backbone, the hypernetwork and all old tasks are frozen: at the levels embedding and
    residual every old task keeps its answers and scores to the last bit. TAGGER itself is not
    changed. The new task begins at the old one that suits its sentences best. NEW is a checkpoint
    like any other: tag, evaluate, calibrate, export and add-task take it.

    With --level all old tasks change; how far the weights that are generated for them have moved is
    printed, and with --replay their F1 before and after.

    Examples:

      hyperloader add-task builtin-minilm --data support_tickets --out my-tagger

      hyperloader add-task my-tagger --data more.jsonl --task support_tickets --replace --out newer

      hyperloader add-task runs/mine --data recipes --level all --replay my_corpora --out wider
    """
    from hyperloader.growing.add import add_task as grown

    console = Console(highlight=False, soft_wrap=True)
    tagger = grown(
        run,
        data,
        task=task,
        out=out,
        level=level,
        replace=replace,
        replay=replay,
        steps=steps,
        minutes=minutes,
        seed=seed,
        settings=settings or [],
        calibrate=calibrate,
        overwrite=overwrite,
        console=console,
    )
    name = task or tagger.tasks[-1]
    console.print(f'next: hyperloader tag {out} --task {name} "a sentence of yours"', markup=False)
