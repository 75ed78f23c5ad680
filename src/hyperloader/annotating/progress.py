"""How far it is: on stderr, as a bar in a terminal, else as a line every few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from hyperloader.training.progress import LINE_EVERY, duration

Update = Callable[[int, int], None]
"""Is told how many rows and how many bad ones there are by now."""


@contextmanager
def rows_progress(
    console: Console, total: int, before: int, clock: Callable[[], float] = time.monotonic
) -> Iterator[Update]:
    """Shows rows, rows per second and time left; ``before`` rows were there at the start."""
    started = clock()
    printed = [started - LINE_EVERY + 1]  # the first line after a second

    def parts(rows: int, bad: int) -> dict[str, Any]:
        speed = (rows - before) / max(clock() - started, 1e-9)
        left = duration((total - rows) / speed) if speed > 0 and rows <= total else ""
        return {
            "rows": f"{rows:,}/{total:,} rows",
            "speed": f"{speed:,.0f} rows/s",
            "left": f"{left} left" if left else "",
            "bad": f"{bad:,} bad" if bad else "",
        }

    def say(rows: int, bad: int) -> None:
        if clock() - printed[0] >= LINE_EVERY:
            printed[0] = clock()
            line = "  ".join(part for part in parts(rows, bad).values() if part)
            console.print(line, soft_wrap=True, markup=False)

    if not console.is_terminal or console.is_dumb_terminal:
        yield say
        return
    fields: dict[str, Any] = dict.fromkeys(("rows", "speed", "left", "bad"), "")
    columns = (TextColumn(f"{{task.fields[{name}]}}") for name in fields)
    with Progress(BarColumn(bar_width=None), *columns, console=console) as bar:
        task = bar.add_task("rows", total=total, **fields)
        yield lambda rows, bad: bar.update(task, completed=rows, **parts(rows, bad))
