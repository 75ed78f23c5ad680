"""Partial credit: the published examples, and nervaluate's figures on any spans."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nervaluate.entities import Entity, EvaluationResult
from nervaluate.strategies import (
    EntityTypeEvaluation,
    ExactEvaluation,
    PartialEvaluation,
    StrictEvaluation,
)

from hyperloader.evaluation.overlap import MEASURES, OverlapCounts, count_overlaps
from hyperloader.types import Span

LENGTH = 9
THEIRS = {
    "strict": StrictEvaluation,
    "exact": ExactEvaluation,
    "type": EntityTypeEvaluation,
    "partial": PartialEvaluation,
}


@st.composite
def sentences(draw: st.DrawFn) -> list[Span]:
    cuts = sorted(draw(st.sets(st.integers(0, LENGTH))))
    labels = st.sampled_from("ab")
    return [Span(start, end, draw(labels)) for start, end in pairwise(cuts) if draw(st.booleans())]


def entities(spans: list[Span]) -> list[Entity]:
    return [Entity(s.label, s.word_start, s.word_end - 1) for s in spans]


@given(st.lists(st.tuples(sentences(), sentences()), min_size=1, max_size=4))
def test_the_figures_are_nervaluates(pairs: list[tuple[list[Span], list[Span]]]) -> None:
    ours = count_overlaps(*zip(*pairs, strict=True))
    assert tuple(ours) == MEASURES
    for measure, found in ours.items():
        total = EvaluationResult()
        for gold, predicted in pairs:
            result, _ = THEIRS[measure]().evaluate(entities(gold), entities(predicted), [])
            for name in ("correct", "incorrect", "partial", "missed", "spurious"):
                setattr(total, name, getattr(total, name) + getattr(result, name))
        total.compute_metrics(partial_or_type=measure in ("type", "partial"))
        for name, value in found.to_json().items():
            assert value == pytest.approx(getattr(total, name), abs=1e-12), (measure, name)


def test_the_example_of_semeval() -> None:
    """Six sentences, one scenario each: the table that explains the measures of task 9.1."""
    gold = [
        [Span(1, 2, "BRAND")],
        [],
        [Span(3, 4, "DRUG")],
        [Span(0, 1, "DRUG")],
        [Span(0, 1, "DRUG")],
        [Span(4, 5, "GROUP")],
    ]
    predicted = [
        [],
        [Span(0, 1, "BRAND")],
        [Span(2, 4, "DRUG")],
        [Span(0, 1, "BRAND")],
        [Span(0, 1, "DRUG")],
        [Span(3, 5, "DRUG")],
    ]
    # Correct, incorrect, partial, missed, spurious. Worked out from the definitions: only the
    # third to the sixth sentence have a pair.
    assert count_overlaps(gold, predicted) == {
        "strict": OverlapCounts(1, 3, 0, 1, 1),
        "exact": OverlapCounts(2, 2, 0, 1, 1),
        "type": OverlapCounts(2, 2, 0, 1, 1),
        "partial": OverlapCounts(2, 0, 2, 1, 1),
    }


def test_nothing_is_counted_twice() -> None:
    """One prediction over two gold spans is right about one of them at most."""
    (gold,), (predicted,) = [[Span(0, 1, "b"), Span(1, 3, "a")]], [[Span(0, 3, "a")]]
    found = count_overlaps([gold], [predicted])
    assert found["type"] == OverlapCounts(correct=1, missed=1)
    assert found["partial"] == OverlapCounts(partial=1, missed=1)
    assert found["partial"].f1 == pytest.approx(2 * 0.5 / 3)


def test_nothing_at_all_is_zero() -> None:
    for found in count_overlaps([[]], [[]]).values():
        assert (found.precision, found.recall, found.f1) == (0.0, 0.0, 0.0)
