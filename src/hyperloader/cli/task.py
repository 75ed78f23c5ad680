"""``hyperloader task``: a task of a tagger as a folder of its own, added, removed, renamed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.console import Console

if TYPE_CHECKING:
    from hyperloader.tagger import Tagger

TaggerName: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="TAGGER",
        help="A training run, a checkpoint, a bundled tagger, or owner/name on the Hub.",
    ),
]
Out: TypeAlias = Annotated[
    Path, typer.Option(metavar="NEW", help="Where to write the changed tagger.")
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace what is there, if it is of the same kind.")
]

app = typer.Typer(
    no_args_is_help=True,
    help="Share a task as a small folder; add, remove and rename the tasks of a tagger.\n\n"
    "Example: hyperloader task add my-tagger support-task --out NEW",
)


@app.command()
def save(
    tagger: TaggerName,
    task: Annotated[str, typer.Argument(metavar="TASK", help="One of its tasks.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.")],
    overwrite: Overwrite = False,
) -> None:
    """Write what is a task's own as a small folder, to be added to other taggers.

    It fits every tagger that was grown from the same one: all that tasks share has to be equal.

    Example: hyperloader task save my-tagger support_tickets support-task
    """
    from hyperloader.tagger import Tagger

    Tagger.from_pretrained(tagger).save_task(task, folder, overwrite=overwrite)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    Console(highlight=False, soft_wrap=True).print(
        f"{folder}: task {task}, {size / 1024:.0f} KiB", markup=False
    )


@app.command()
def add(
    tagger: TaggerName,
    task: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="What task save wrote, or owner/name on the Hub."),
    ],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Add a saved task to a tagger; no data and no training are needed.

    Example: hyperloader task add builtin-minilm support-task --out my-tagger
    """
    _change(tagger, out, overwrite, lambda loaded: loaded.add(task))


@app.command()
def remove(
    tagger: TaggerName,
    task: Annotated[str, typer.Argument(metavar="TASK", help="One of its tasks.")],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Write a tagger without one of its tasks.

    Example: hyperloader task remove my-tagger support_tickets --out my-smaller-tagger
    """
    _change(tagger, out, overwrite, lambda loaded: loaded.remove(task))


@app.command()
def rename(
    tagger: TaggerName,
    task: Annotated[str, typer.Argument(metavar="TASK", help="One of its tasks.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it from then on.")],
    out: Out,
    overwrite: Overwrite = False,
) -> None:
    """Write a tagger with another name for one of its tasks.

    Example: hyperloader task rename my-tagger support_tickets support --out my-tagger-2
    """
    _change(tagger, out, overwrite, lambda loaded: loaded.rename(task, name))


def _change(name: str, out: Path, overwrite: bool, change: Callable[["Tagger"], object]) -> None:
    from hyperloader.store import Kind, claim_target
    from hyperloader.tagger import Tagger

    claim_target(out, Kind.CHECKPOINT, overwrite=overwrite)
    tagger = Tagger.from_pretrained(name)
    change(tagger)
    tagger.save_pretrained(out, overwrite=overwrite)
    Console(highlight=False, soft_wrap=True).print(
        f"{out}: tasks {', '.join(tagger.tasks)}", markup=False
    )
