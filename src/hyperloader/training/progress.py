"""What a training run shows while it runs."""

from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Listener(Protocol):
    """Is told of every step and every validation (for TensorBoard and the like)."""

    def __call__(self, kind: str, entry: dict[str, Any]) -> None: ...


class StepProgress:
    """A progress bar over steps with loss, learning rate, speed and time left."""

    title = "training"
    unit = "sentences"

    def __init__(self, console: Console, total: int, done: int = 0) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn(f"[bold]{self.title}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("lr {task.fields[rate]}"),
            TextColumn(f"{{task.fields[speed]}} {self.unit}/s"),
            TimeRemainingColumn(),
            console=console,
            transient=not console.is_terminal,
        )
        self.task = self.bar.add_task(
            self.title, total=total, completed=done, loss="-", rate="-", speed="-"
        )
        self.smooth: float | None = None

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.stop()

    def step(self, step: int, loss: float, rate: float, speed: float) -> None:
        """Show the state after ``step``; the loss is smoothed over about 20 steps."""
        self.smooth = loss if self.smooth is None else 0.95 * self.smooth + 0.05 * loss
        self.bar.update(
            self.task,
            completed=step,
            loss=f"{self.smooth:.4f}",
            rate=f"{rate:.1e}",
            speed=f"{speed:,.0f}",
        )


class TrainingProgress(StepProgress):
    """The bar of a training run, with a line for each validation."""

    def validated(self, entry: dict[str, Any], best: bool) -> None:
        """Print one line for a validation."""
        parts = [f"step {entry['step']}"]
        if entry["loss"] is not None:
            parts.append(f"validation loss {entry['loss']:.4f}")
        if entry["f1"] is not None:
            each = "  ".join(f"{task} {f1:.3f}" for task, f1 in entry["f1_by_task"].items())
            parts.append(f"F1 {entry['f1']:.4f} ({each})")
        self.console.print(
            "  ".join(parts) + ("  [green]best so far" if best else ""), soft_wrap=True
        )
