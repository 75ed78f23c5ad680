"""``hyperloader``: one file per command; this one puts them together and prints errors."""

import builtins
import errno
import inspect
import io
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hyperloader.cli import (
    add_task,
    annotate,
    benchmark,
    calibrate,
    data,
    doctor,
    evaluate,
    experiment,
    export,
    methods,
    pretrain,
    quickstart,
    recipes,
    score,
    serve,
    similarity,
    suggest,
    tag,
    task,
    tasks,
    train,
    verify,
)
from hyperloader.cli.version import full_version
from hyperloader.errors import ConfigError, HyperloaderError, unknown
from hyperloader.training.interrupt import Interrupted

# Exit codes beside 0 and those of signals; a broken pipe is one: 128 and its number.
OUR_FAULT, WRONG_USE, BROKEN_PIPE = 1, 2, 141
LOG_LEVELS = ("debug", "info", "warning", "error")
# What a system says of a path that cannot be used, wherever it is looked at.
_NOT_TO_BE_HAD = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.ENAMETOOLONG, errno.ELOOP),
)

app = typer.Typer(
    name="hyperloader",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Sequence labelling for many tasks with one small T5 and generated weights.\n\n"
        'Try it: [bold]hyperloader tag --task restaurant "a cheap thai place downtown"[/bold] '
        "([bold]hyperloader tasks[/bold] lists the builtin tasks), [bold]hyperloader "
        "quickstart[/bold]. Your own data: put one folder per task into "
        "a folder (train, valid and test as CoNLL, BIO, JSONL, …), look at it with "
        "[bold]hyperloader data stats DIR[/bold], then [bold]hyperloader train --data DIR[/bold], "
        "[bold]hyperloader evaluate RUN[/bold] and [bold]hyperloader tag RUN --task TASK[/bold]."
    ),
)
app.command()(quickstart.quickstart)
app.command()(train.train)
app.command("add-task")(add_task.add_task)
app.command()(suggest.suggest)
app.command()(evaluate.evaluate)
app.command()(score.score)
app.command()(calibrate.calibrate)
app.command()(export.export)
app.command()(tag.tag)
app.command()(annotate.annotate)
app.command()(tasks.tasks)
app.command()(serve.serve)
app.add_typer(task.app, name="task")
app.add_typer(data.app, name="data")
app.add_typer(experiment.app, name="experiment")
app.command()(similarity.similarity)
app.command()(recipes.recipes)
app.command()(methods.methods)
app.command()(verify.verify)
app.add_typer(benchmark.app, name="benchmark")
app.command()(pretrain.pretrain)
app.command("pretrain-check")(pretrain.check_leaks)
app.command()(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hyperloader {full_version()}")
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
    log_level: Annotated[
        str,
        typer.Option(
            metavar="LEVEL",
            envvar="HYPERLOADER_LOG_LEVEL",
            help="How much the libraries beneath say on standard error: debug, info, warning or "
            "error.",
        ),
    ] = "warning",
) -> None:
    """Options of all commands."""
    _log(log_level)
    from hyperloader import trust

    for folder in trust_backbone or ():
        trust.trust_backbone(folder)


def _log(level: str) -> None:
    """Send what libraries log, from ``level`` on, to standard error."""
    if level.lower() not in LOG_LEVELS:
        raise ConfigError(unknown("log level", level, LOG_LEVELS))
    logging.basicConfig(level=level.upper(), format="%(levelname)s %(name)s: %(message)s")
    if level.lower() != "warning":
        # transformers logs by itself, and looks at this when it is imported.
        os.environ["TRANSFORMERS_VERBOSITY"] = level.lower()


def _reflow(group: typer.Typer) -> None:
    """Let the paragraphs of every help fill the terminal; examples, which are indented, stay."""
    for command in group.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(
            p if p.startswith(" ") else " ".join(p.split()) for p in paragraphs
        )
    for below in group.registered_groups:
        if below.typer_instance is not None:
            _reflow(below.typer_instance)


_reflow(app)


def main() -> None:
    """Run the command line; docs/command-line.md lists the exit codes."""
    _write_what_can_be_written()
    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    try:
        with _no_questions():
            _run()
        sys.stdout.flush()
        sys.exit(0)
    except Interrupted as stop:
        console.print(str(stop), markup=False)
        sys.exit(stop.exit_code)
    except HyperloaderError as error:
        console.print("[red]error:[/red] ", end="")
        console.print(" ".join(str(error).split()), markup=False)
        sys.exit(WRONG_USE)
    except BrokenPipeError:
        _leave_the_pipe()
    except Exception as error:
        if _is_full(error):
            console.print(
                "[red]error:[/red] the memory is full; give a smaller --batch-size, or fewer or "
                "shorter texts"
            )
            sys.exit(WRONG_USE)
        if isinstance(error, OSError) and error.errno in _NOT_TO_BE_HAD and error.filename:
            console.print("[red]error:[/red] ", end="")
            what = " ".join(f"{error.filename!s:.300}: {error.strerror}".split())
            console.print(f"{what}; give another path, or mend that", markup=False)
            sys.exit(WRONG_USE)
        if os.environ.get("HYPERLOADER_DEBUG"):
            traceback.print_exc()
        console.print("[red]error:[/red] ", end="")
        what = " ".join(f"{type(error).__name__}: {error}".split())
        console.print(
            f"this is a fault of hyperloader, not yours ({what:.300}); please report it with what "
            "the command prints with HYPERLOADER_DEBUG=1 and what `hyperloader doctor` prints",
            markup=False,
        )
        sys.exit(OUR_FAULT)


def _is_full(error: Exception) -> bool:
    """Whether Python or torch found no memory."""
    return isinstance(error, MemoryError) or any(
        sign in f"{type(error).__name__} {error}"
        for sign in ("can't allocate memory", "OutOfMemoryError", "Cannot allocate memory")
    )


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


def _run() -> None:
    """The command, leaving as a function does where it went well or a pipe is broken."""
    try:
        app()
    except SystemExit as end:
        # typer and rich turn a broken pipe into exit code 1.
        cause = end.__context__
        while cause is not None:
            if isinstance(cause, BrokenPipeError):
                raise cause from None
            cause = cause.__context__
        if end.code:
            raise


def _leave_the_pipe() -> None:
    """Nobody reads on (``| head``): that is no mistake, so nothing is said."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(BROKEN_PIPE)


def _write_what_can_be_written() -> None:
    """Let a terminal or pipe that is not UTF-8 get escapes for what it cannot show."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
