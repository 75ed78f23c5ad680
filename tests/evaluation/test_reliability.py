"""How well scores fit: the calibration error by hand and by numpy, and its picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.errors import DataError
from hyperloader.evaluation.metrics import ScoredExample
from hyperloader.evaluation.reliability import plot_reliability, reliability
from hyperloader.types import Example, Span


def test_the_calibration_error_by_hand() -> None:
    gold = (Span(0, 1, "a"), Span(2, 4, "b"))
    words = ("w",) * 6
    first = ScoredExample(
        Example(words, gold, "t"),
        (Span(0, 1, "a", 0.95), Span(2, 3, "b", 0.95), Span(4, 5, "a", 0.1)),
    )
    second = ScoredExample(Example(words, gold, "t"), (Span(2, 4, "b", 1.0), Span(5, 6, "b", 0.55)))
    found = reliability([first, second], bins=10)
    # 0.95, 0.95 and 1.0 share the last bin: two of three are right.
    assert [(b.spans, b.right) for b in found.bins if b.spans] == [
        (1, 0.0),
        (1, 0.0),
        (3, pytest.approx(2 / 3)),
    ]
    assert found.spans == 5
    assert found.ece == pytest.approx((0.1 + 0.55 + 3 * abs(2.9 / 3 - 2 / 3)) / 5)
    assert reliability([]).ece == 0
    assert json.loads(json.dumps(found.to_json()))["spans"] == 5


@given(scores=st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), min_size=1, max_size=60))
def test_bins_are_those_of_numpy(scores: list[tuple[float, bool]]) -> None:
    made = [
        ScoredExample(
            Example(("w",), (Span(0, 1, "a" if right else "b"),), "t"), (Span(0, 1, "a", score),)
        )
        for score, right in scores
    ]
    found = reliability(made)
    values = np.array([score for score, _ in scores])
    rights = np.array([right for _, right in scores], dtype=float)
    place = np.minimum((values * 15).astype(int), 14)
    expected = 0.0
    for number in range(15):
        here = place == number
        assert found.bins[number].spans == here.sum()
        if here.any():
            expected += here.mean() * abs(values[here].mean() - rights[here].mean())
    assert found.ece == pytest.approx(expected, abs=1e-9)
    assert 0 <= found.ece <= 1


def test_the_diagram_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="NOT TESTED: needs the extra 'plots'")
    made = ScoredExample(Example(("w",), (), "t"), (Span(0, 1, "a", 0.3),))
    plot_reliability(tmp_path / "new" / "r.png", {"t$": reliability([made]), "u": reliability([])})
    assert (tmp_path / "new" / "r.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="nothing to plot"):
        plot_reliability(tmp_path / "n.png", {})
