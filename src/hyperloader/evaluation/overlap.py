"""Partial credit: spans that overlap a gold span, counted in the four ways of MUC and SemEval.

Every prediction is paired with at most one gold span that it overlaps, and every gold span with at
most one prediction. A pair is then judged by what is asked of it:

=======  ==========================================  =========================================
measure  correct                                     any other pair
=======  ==========================================  =========================================
strict   the same boundaries and label               incorrect
exact    the same boundaries, whatever the label     incorrect
type     the same label, whatever the boundaries     incorrect
partial  the same boundaries, whatever the label     partial, which is worth half a correct one
=======  ==========================================  =========================================

A gold span without a partner is missed, a prediction without one spurious. The definitions are
those of MUC-5 and of SemEval-2013, task 9.1; the figures are those of the package nervaluate.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hyperloader.types import Span

MEASURES = ("strict", "exact", "type", "partial")


@dataclass(frozen=True, slots=True)
class OverlapCounts:
    """What became of gold and predicted spans under one measure; scores are 0.0 where undefined.

    Correct, incorrect, partial and missed ones add up to the gold spans; correct, incorrect,
    partial and spurious ones to the predicted spans.
    """

    correct: int = 0
    incorrect: int = 0
    partial: int = 0
    missed: int = 0
    spurious: int = 0

    @property
    def _paired(self) -> int:
        return self.correct + self.incorrect + self.partial

    @property
    def _credit(self) -> float:
        return self.correct + 0.5 * self.partial

    @property
    def precision(self) -> float:
        """Credit per predicted span, in [0, 1]."""
        predicted = self._paired + self.spurious
        return self._credit / predicted if predicted else 0.0

    @property
    def recall(self) -> float:
        """Credit per gold span, in [0, 1]."""
        gold = self._paired + self.missed
        return self._credit / gold if gold else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = 2 * self._paired + self.missed + self.spurious
        return 2 * self._credit / both if both else 0.0

    def to_json(self) -> dict[str, Any]:
        """Precision, recall, F1 and the five counts."""
        scores = {name: getattr(self, name) for name in ("precision", "recall", "f1")}
        return {**scores, **asdict(self)}


def count_overlaps(
    gold: Iterable[Sequence[Span]], predicted: Iterable[Sequence[Span]]
) -> dict[str, OverlapCounts]:
    """The counts of each of ``MEASURES`` over sentences; spans are sorted and disjoint."""
    counts: dict[str, Counter[str]] = {measure: Counter() for measure in MEASURES}
    for truth, guess in zip(gold, predicted, strict=True):
        placed, typed = _pairs(truth, guess, by_label=False), _pairs(truth, guess, by_label=True)
        for measure in MEASURES:
            counts[measure].update(
                _judge(measure, *pair) for pair in (typed if measure == "type" else placed)
            )
    return {measure: OverlapCounts(**found) for measure, found in counts.items()}


Pair = tuple[Span | None, Span | None]
"""A gold span and its prediction; one of the two may be absent."""


def _pairs(gold: Sequence[Span], predicted: Sequence[Span], *, by_label: bool) -> list[Pair]:
    """Each prediction, from left to right, takes a gold span that is free and that it overlaps.

    It takes the first one; with ``by_label`` one of its own label if there is any, and among these
    the one whose boundaries are closest. Spans of one side are disjoint, so a gold span with the
    boundaries of a prediction is never taken by another one.
    """
    free = list(gold)
    pairs: list[Pair] = []
    for span in predicted:
        touching = [g for g in free if _overlap(g, span)]
        if not touching:
            pairs.append((None, span))
            continue
        taken = touching[0]
        if by_label and (alike := [g for g in touching if g.label == span.label]):
            taken = min(alike, key=lambda g: _distance(g, span))
        free.remove(taken)
        pairs.append((taken, span))
    return pairs + [(span, None) for span in free]


def _judge(measure: str, gold: Span | None, predicted: Span | None) -> str:
    if gold is None:
        return "spurious"
    if predicted is None:
        return "missed"
    same_place = _distance(gold, predicted) == 0
    same_label = gold.label == predicted.label
    right = {
        "strict": same_place and same_label,
        "exact": same_place,
        "type": same_label,
        "partial": same_place,
    }
    if right[measure]:
        return "correct"
    return "partial" if measure == "partial" else "incorrect"


def _overlap(a: Span, b: Span) -> bool:
    return a.word_start < b.word_end and b.word_start < a.word_end


def _distance(a: Span, b: Span) -> int:
    return abs(a.word_start - b.word_start) + abs(a.word_end - b.word_end)
