"""Errors that a user can cause. The command line prints them as one line and exits with 2."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path


class HyperloaderError(Exception):
    """Base class: the message says what is wrong and what to do next, in one line."""


class DataError(HyperloaderError):
    """A corpus, folder or line that cannot be read."""

    def __init__(self, message: str, path: str | Path | None = None, line: int | None = None):
        where = "" if path is None else f"{path}:{line}: " if line is not None else f"{path}: "
        super().__init__(where + message)
        self.path, self.line = path, line


class ConfigError(HyperloaderError):
    """A recipe, method or option that does not fit."""


class NotInstalledError(ConfigError):
    """A package that is needed is not installed."""


class CheckpointError(HyperloaderError):
    """A checkpoint that is missing, incomplete, damaged or of a refused kind."""


class TargetError(HyperloaderError):
    """A place to write to that holds something else, or cannot be written to."""


class TrainingError(HyperloaderError):
    """Training stopped because going on would be wrong (a NaN, a changed corpus)."""


class ServiceError(HyperloaderError):
    """A service that refuses, fails or cannot be reached.

    Args:
        status: of HTTP; 0: there was no answer.
        code: what a program may go by (docs/serving.md).
        retry_after: seconds after which the service wants to be asked again.
    """

    def __init__(self, message: str, status: int = 0, code: str = "", retry_after: float = 0.0):
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


def check_installed(what: str, extra: str, packages: Iterable[str]) -> None:
    """Raise NotInstalledError unless all ``packages`` are there, which ``extra`` installs."""
    if missing := [name for name in packages if find_spec(name) is None]:
        raise NotInstalledError(
            f"{what} need the package {missing[0]}, which is not installed; "
            f"pip install 'hyperloader[{extra}]'"
        )


def first_line(error: BaseException) -> str:
    """What another library's ``error`` says, in one line that is not too long."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """One line for an unknown name: what it was, the nearest match, all the choices."""
    choices = list(known)
    near = get_close_matches(name, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(choices) or 'none'})"
