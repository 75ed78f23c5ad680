"""``hyperloader``: one file a command; this one puts them together and prints errors."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from hyperloader import __version__
from hyperloader.cli import (
    benchmark,
    calibrate,
    data,
    evaluate,
    experiment,
    export,
    methods,
    pretrain,
    quickstart,
    recipes,
    similarity,
    tag,
    tasks,
    train,
    verify,
)
from hyperloader.errors import HyperloaderError
from hyperloader.training.interrupt import Stopped

app = typer.Typer(
    name="hyperloader",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Sequence labelling for many tasks with one small T5 and generated weights.\n\n"
        'Try it: [bold]hyperloader tag --task restaurant "a cheap thai place downtown"[/bold] '
        "([bold]hyperloader tasks[/bold] lists the builtin tasks), [bold]hyperloader "
        "quickstart[/bold]. Your own data: put one folder a task into "
        "a folder (train, valid and test as CoNLL, BIO, JSONL, …), look at it with "
        "[bold]hyperloader data stats DIR[/bold], then [bold]hyperloader train --data DIR[/bold], "
        "[bold]hyperloader evaluate RUN[/bold] and [bold]hyperloader tag RUN --task TASK[/bold]."
    ),
)
app.command()(quickstart.quickstart)
app.command()(train.train)
app.command()(evaluate.evaluate)
app.command()(calibrate.calibrate)
app.command()(export.export)
app.command()(tag.tag)
app.command()(tasks.tasks)
app.add_typer(data.app, name="data")
app.add_typer(experiment.app, name="experiment")
app.command()(similarity.similarity)
app.command()(recipes.recipes)
app.command()(methods.methods)
app.command()(verify.verify)
app.add_typer(benchmark.app, name="benchmark")
app.command()(pretrain.pretrain)
app.command("pretrain-check")(pretrain.check_leaks)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hyperloader {__version__}")
        raise typer.Exit()


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of all commands."""


def main() -> None:
    """Run the command line. A user's error is one line and exit code 2; a stop by signal is 130."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    try:
        app()
    except Stopped as stop:
        console.print(str(stop), markup=False)
        sys.exit(130)
    except HyperloaderError as error:
        console.print("[red]error:[/red] ", end="")
        console.print(" ".join(str(error).split()), markup=False)
        sys.exit(2)


if __name__ == "__main__":
    main()
