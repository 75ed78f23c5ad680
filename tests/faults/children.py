"""Trying something in a child process that may crash, hang, fill its memory or be killed."""

import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

SECONDS = 120


class Outcome(NamedTuple):
    """What a child left: its exit code (negative: the signal that ended it) and what it printed."""

    code: int
    out: str
    err: str
    timed_out: bool = False

    @property
    def fault(self) -> str | None:
        """What a user must never see, if it was seen."""
        if self.timed_out:
            return "it hangs"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        for sign in ("Traceback", "this is a fault of hyperloader"):
            if sign in self.err or sign in self.out:
                return f"{sign}: {self.err[-300:]}"
        if self.code not in (0, 2, 130, 143):
            return f"exit code {self.code}: {self.err[-300:]}"
        return None


def in_child(
    work: Callable[[], None],
    *,
    stdin: bytes = b"",
    limits: Mapping[int, int] | None = None,
    seconds: float = SECONDS,
    kill_after: float | None = None,
    cwd: Path | None = None,
) -> Outcome:
    """Fork, do ``work``, and say what came of it.

    Args:
        limits: of the child, by the names of :mod:`resource`.
        cwd: where the child works; default: where the campaign does.
        kill_after: SIGKILL after so many seconds; the outcome is then -9 unless it was quicker.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = [Path(folder, name) for name in ("in", "out", "err")]
        names[0].write_bytes(stdin)
        for name in names[1:]:  # there also if the child is killed at once
            name.touch()
        child = os.fork()
        if child == 0:
            _become_child(work, names, limits or {}, cwd)
        timed_out = False
        ends = time.monotonic() + (seconds if kill_after is None else kill_after)
        while os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > ends:
                timed_out = kill_after is None
                os.kill(child, signal.SIGKILL)
                break
            time.sleep(0.002)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        out, err = (name.read_text(encoding="utf-8", errors="replace") for name in names[1:])
        return Outcome(code, out, err, timed_out)


def _become_child(
    work: Callable[[], None], names: list[Path], limits: Mapping[int, int], cwd: Path | None
) -> None:
    code = 1
    try:
        if cwd is not None:
            os.chdir(cwd)
        for number, name in enumerate(names):
            flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(name, flags, 0o600), number)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, encoding="utf-8", closefd=False)
            for number, mode in enumerate(("r", "w", "w"))
        )
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit, value in limits.items():
            resource.setrlimit(limit, (value, value))
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except Exception:
                code = code or 1
        os._exit(code)


def command(*arguments: object, **options: object) -> Outcome:
    """Run the command line in a child; ``options`` as of :func:`in_child`."""

    def work() -> None:
        from hyperloader.cli.main import main

        sys.argv = ["hyperloader", *map(str, arguments)]
        main()

    return in_child(work, **options)  # type: ignore[arg-type]
