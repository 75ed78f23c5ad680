"""What is shown while rows are tagged: a bar in a terminal, else a line every few seconds."""

import io

import pytest
from rich.console import Console

from hyperloader.annotating.progress import rows_progress


def test_lines_say_how_far_how_fast_and_how_long() -> None:
    now, out = [100.0], io.StringIO()
    with rows_progress(Console(file=out, width=200), 2_000, 500, lambda: now[0]) as update:
        for second in range(1, 9):
            now[0] += 1
            update(500 + 100 * second, second // 4)
    assert out.getvalue().splitlines() == [
        "600/2,000 rows  100 rows/s  0:14 left",
        "1,100/2,000 rows  100 rows/s  0:09 left  1 bad",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    out, now = io.StringIO(), [0.0]
    console = Console(file=out, width=120, force_terminal=True)
    with rows_progress(console, 1_000, 0, lambda: now[0]) as update:
        now[0] = 5
        update(250, 0)
    assert "250/1,000 rows" in out.getvalue()
    assert "50 rows/s" in out.getvalue()
    assert "0:15 left" in out.getvalue()
