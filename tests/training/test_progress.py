"""What is shown while a run goes on: a bar in a terminal, else plain lines, on stderr alone."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from hyperloader.training.progress import (
    Bar,
    Lines,
    Status,
    duration,
    progress_console,
    show_progress,
)
from training_helpers import cli, settings, write_data


def status(step: int) -> Status:
    return Status(step, 2000, step / 2000, 0.5, 3e-4, 31.6, 4 * (2000 - step))


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_lines_come_every_few_seconds() -> None:
    now = [0.0]
    out = console(terminal=False)
    with Lines(out, "training", "sentences", every=5, clock=lambda: now[0]) as progress:
        for step in range(1, 13):
            progress.update(status(step))
            now[0] += 1
    assert shown(out).splitlines() == [
        "step 1/2,000  loss 0.5000  lr 3.0e-04  32 sentences/s  2:13:16 left",
        "step 6/2,000  loss 0.5000  lr 3.0e-04  32 sentences/s  2:12:56 left",
        "step 11/2,000  loss 0.5000  lr 3.0e-04  32 sentences/s  2:12:36 left",
    ]


def test_a_terminal_gets_a_bar_and_all_else_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    out = console(terminal=True)
    progress = show_progress(out, "training", "sentences")
    assert isinstance(progress, Bar)
    with progress:
        progress.update(status(1000))
        progress.say("[green]best so far")
    assert re.search(r"step 1,000/2,000.*1:06:40 left", shown(out))
    assert "best so far" in shown(out)
    assert isinstance(show_progress(console(terminal=False), "training", "sentences"), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(show_progress(console(terminal=True), "training", "sentences"), Lines)


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    colour = re.compile(r"\x1b\[[0-9;]*[34][0-9]")
    for plain in (False, True):
        if plain:
            monkeypatch.setenv("NO_COLOR", "1")
        else:
            monkeypatch.delenv("NO_COLOR", raising=False)
        out = console(terminal=True)
        with show_progress(out, "training", "sentences") as progress:
            progress.say("[green]best so far")
        assert bool(colour.search(shown(out))) != plain


def test_a_command_shows_its_progress_on_stderr_alone(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    done = cli("train", "--data", data, "--out", tmp_path / "run", *settings())
    assert done.code == 0
    assert re.search(r"^step 1/6  loss \d\.\d+  lr \S+  \d+ sentences/s", done.err, re.M)
    assert re.search(r"^step 6  validation loss \d.*F1 ", done.err, re.M)
    assert "step 1/6" not in done.out
    assert "loss" not in done.out
    assert progress_console().stderr


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (7, "0:07"), (750, "12:30"), (3723, "1:02:03")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
