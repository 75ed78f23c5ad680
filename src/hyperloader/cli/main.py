"""``hyperloader``: one file per command; this one puts them together and prints errors."""

import builtins
import codecs
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from hyperloader import __version__
from hyperloader.cli import (
    benchmark,
    calibrate,
    data,
    errors,
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
experiment.app.command()(errors.errors)
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
    trust_backbone: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="A backbone that a checkpoint may name by its path; may be repeated.",
        ),
    ] = None,
) -> None:
    """Options of all commands."""
    from hyperloader import trust

    for folder in trust_backbone or ():
        trust.trust_backbone(folder)


def main() -> None:
    """Run the command line.

    Exit codes: 0; 1 for a fault of this program (one line says how to report it) and for a command
    whose answer is no (verify, pretrain-check, experiment run); 2 for a user's mistake, which is
    one line; 130 and 143 for a stop by SIGINT and SIGTERM.
    """
    _encode_everything()
    try:
        with _no_questions():
            try:
                app()
            finally:
                sys.stdout.flush()
    except Stopped as stop:
        _say(str(stop))
        sys.exit(128 + getattr(stop, "signal", signal.SIGINT))
    except HyperloaderError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # whoever read the output has gone; there is nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except MemoryError:
        _fail("the memory is full; give a smaller --batch-size, or shorter or fewer texts", 2)
    except Exception as error:
        if "can't allocate memory" in str(error) or type(error).__name__ == "OutOfMemoryError":
            _fail("the memory is full; give a smaller --batch-size, or shorter or fewer texts", 2)
        _fail_by_itself(error)


def _fail_by_itself(error: Exception) -> NoReturn:
    if os.environ.get("HYPERLOADER_DEBUG"):
        traceback.print_exc()
    _fail(
        f"this is a fault of hyperloader, not yours ({type(error).__name__}: {error}); please "
        "report it with the command and what it prints with HYPERLOADER_DEBUG=1 set "
        f"(hyperloader {__version__}, Python {sys.version.split()[0]}, {sys.platform})",
        1,
    )


def _fail(message: str, code: int) -> NoReturn:
    console = _console()
    console.print("[red]error:[/red] ", end="")
    _say(message, console)
    sys.exit(code)


def _say(message: str, console: Console | None = None) -> None:
    (console or _console()).print(" ".join(message.split()), markup=False)


def _console() -> Console:
    return Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def _encode_everything() -> None:
    """Let nothing that is printed fail: what an output's encoding lacks is written as \\uXXXX.

    That is also how JSON writes it.
    """
    codecs.register_error("hyperloader", _as_json_escapes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="hyperloader")


def _as_json_escapes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end


@contextmanager
def _no_questions() -> Iterator[None]:
    """Standard input holds texts: a library that asks something there gets no answer from them."""

    def refuse(prompt: object = "") -> str:
        raise HyperloaderError(f"a library asked a question, which is never answered: {prompt}")

    before, builtins.input = builtins.input, refuse
    try:
        yield
    finally:
        builtins.input = before


if __name__ == "__main__":
    main()
