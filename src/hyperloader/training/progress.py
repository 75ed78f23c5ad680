"""What a run shows while it runs, on stderr: a bar in a terminal, else a line every few seconds."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_EVERY = 5.0  # seconds


class Listener(Protocol):
    """Is told of every step and every validation (for TensorBoard and the like)."""

    def __call__(self, kind: str, entry: dict[str, Any]) -> None: ...


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands after ``step``.

    Attributes:
        total: the last step; None where time decides.
        share: of the whole run that is done, from 0 to 1.
        speed: units (sentences, tokens) per second.
        left: seconds to the end, None while nothing is known.
    """

    step: int
    total: int | None
    share: float
    loss: float
    rate: float
    speed: float
    left: float | None


class RunProgress(ABC):
    """Shows a run's status, as a context manager around the run."""

    def __init__(self, console: Console, title: str, unit: str) -> None:
        self.console, self.title, self.unit = console, title, unit
        self._smooth: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def update(self, status: Status) -> None:
        """Show ``status``; the loss is smoothed over about 20 steps."""
        loss = status.loss
        self._smooth = loss if self._smooth is None else 0.95 * self._smooth + 0.05 * loss
        total = "" if status.total is None else f"/{status.total:,}"
        parts = {
            "step": f"step {status.step:,}{total}",
            "loss": f"loss {self._smooth:.4f}",
            "rate": f"lr {status.rate:.1e}",
            "speed": f"{status.speed:,.0f} {self.unit}/s",
            "left": "" if status.left is None else f"{duration(status.left)} left",
        }
        self._show(status.share, parts)

    @abstractmethod
    def _show(self, share: float, parts: dict[str, Any]) -> None: ...

    def say(self, line: str) -> None:
        """Print one line (rich markup)."""
        self.console.print(line, soft_wrap=True)


class Bar(RunProgress):
    """A progress bar with step, loss, learning rate, speed and time left."""

    def __init__(self, console: Console, title: str, unit: str) -> None:
        super().__init__(console, title, unit)
        fields: dict[str, Any] = dict.fromkeys(("step", "loss", "rate", "speed", "left"), "")
        self._bar = Progress(
            TextColumn(f"[bold]{title}"),
            BarColumn(bar_width=None),
            *(TextColumn(f"{{task.fields[{name}]}}") for name in fields),
            console=console,
        )
        self._task = self._bar.add_task(title, total=1.0, **fields)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def _show(self, share: float, parts: dict[str, Any]) -> None:
        self._bar.update(self._task, completed=share, **parts)


class Lines(RunProgress):
    """A plain line when the last one is ``every`` seconds old, and for the first step."""

    def __init__(
        self,
        console: Console,
        title: str,
        unit: str,
        *,
        every: float = LINE_EVERY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(console, title, unit)
        self._every, self._clock = every, clock
        self._printed: float | None = None

    def _show(self, share: float, parts: dict[str, Any]) -> None:
        now = self._clock()
        if self._printed is None or now - self._printed >= self._every:
            self._printed = now
            line = "  ".join(part for part in parts.values() if part)
            self.console.print(line, soft_wrap=True, markup=False)


def progress_console(*, quiet: bool = False) -> Console:
    """Where progress goes: stderr, so that standard output holds results alone.

    Colours only in a terminal, and not where NO_COLOR is set.
    """
    return Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)


def show_progress(console: Console, title: str, unit: str) -> RunProgress:
    """A bar where ``console`` is a terminal that can draw one, else lines."""
    fancy = console.is_terminal and not console.is_dumb_terminal
    return Bar(console, title, unit) if fancy else Lines(console, title, unit)


def duration(seconds: float) -> str:
    """Such as 0:07, 12:30 or 1:02:03."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
