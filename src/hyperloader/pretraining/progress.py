"""What a pre-training run shows while it runs."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class PretrainingProgress:
    """A progress bar with loss, learning rate, tokens a second and time left."""

    def __init__(self, console: Console, total: int, done: int = 0) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("[bold]pre-training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("lr {task.fields[rate]}"),
            TextColumn("{task.fields[speed]} tokens/s"),
            TimeRemainingColumn(),
            console=console,
            transient=not console.is_terminal,
        )
        self.task = self.bar.add_task(
            "pre-training", total=total, completed=done, loss="-", rate="-", speed="-"
        )
        self.smooth: float | None = None

    def __enter__(self) -> "PretrainingProgress":
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

    def measured(self, step: int, found: dict[str, float], tokens: int, speed: float) -> None:
        """Print one line for an evaluation."""
        self.console.print(
            f"step {step:,}  held-out loss {found['loss']:.4f}  words {found['words_loss']:.4f}  "
            f"aligned: hidden words {found['hidden_words']:.1%}, copy {found['copy']:.1%}  "
            f"{tokens:,} tokens, {speed:,.0f} tokens/s"
        )
