"""Benchmarks whose numbers nobody reads."""

import pytest

from hyperloader.benchmarks import timing


@pytest.fixture
def few_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed runs as often as was asked for, and no more often because it is quick."""
    monkeypatch.setattr(timing, "MOST_REPEATS", 1)
