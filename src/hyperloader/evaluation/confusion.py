"""Predicted spans against gold ones: what each is compared with, and which labels get mixed up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from hyperloader.types import Span

MISSED, SPURIOUS, OTHER = "(missed)", "(spurious)", "(other)"


class Outcome(StrEnum):
    """What became of a gold span (the first five) or of a predicted one (the last two)."""

    CORRECT = "correct"
    WRONG_LABEL = "wrong label"
    WRONG_BOUNDARY = "wrong boundary"
    WRONG_BOTH = "wrong label and boundary"
    MISSED = "missed"
    SPURIOUS = "spurious"
    FRAGMENT = "fragment"

    @property
    def meaning(self) -> str:
        """One line for tables and documentation."""
        return _MEANINGS[self]


_MEANINGS = {
    Outcome.CORRECT: "gold span predicted with its boundaries and label",
    Outcome.WRONG_LABEL: "gold span predicted with its boundaries, another label",
    Outcome.WRONG_BOUNDARY: "gold span whose closest overlapping prediction has only its label",
    Outcome.WRONG_BOTH: "gold span whose closest overlapping prediction shares neither",
    Outcome.MISSED: "gold span without any overlapping prediction",
    Outcome.SPURIOUS: "predicted span without any overlapping gold span",
    Outcome.FRAGMENT: "predicted span on a gold span that another prediction fits better",
}


class Kind(NamedTuple):
    """A kind of error: what became of a span, its gold and its predicted label ("": none)."""

    outcome: Outcome
    gold: str
    predicted: str


@dataclass(frozen=True, slots=True)
class Match:
    """A gold span with the prediction it is compared with; one of the two may be absent."""

    gold: Span | None
    predicted: Span | None
    outcome: Outcome

    @property
    def kind(self) -> Kind:
        """The outcome with the labels of both sides."""
        gold, predicted = (s.label if s else "" for s in (self.gold, self.predicted))
        return Kind(self.outcome, gold, predicted)


@dataclass(frozen=True, slots=True)
class Table:
    """A labelled matrix for display: ``counts[i][j]`` belongs to ``rows[i]``, ``columns[j]``."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Labels of the gold spans against those of the predictions they are compared with.

    ``matrix`` has shape (labels + 1, labels + 1): a row for each gold label and a last one for
    spurious predictions, a column for each predicted label and a last one for missed gold spans.
    A label's row sums to its support; its diagonal holds the spans whose label is right, whether or
    not their boundaries are. ``outcomes`` counts every `Outcome`, boundaries included.
    """

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    outcomes: dict[str, int]

    def errors(self) -> dict[str, int]:
        """Per label, the entries of its row and its column off the diagonal."""
        columns = [sum(column) for column in zip(*self.matrix, strict=True)]
        return {
            label: sum(self.matrix[i]) + columns[i] - 2 * self.matrix[i][i]
            for i, label in enumerate(self.labels)
        }

    def table(self, top: int) -> Table:
        """The matrix of at most ``top`` labels, most errors first.

        More labels than that: those without errors, and then those with the fewest, share one
        row and one column ``(other)``, so that the entries always add up to the whole.
        """
        errors = self.errors()
        order = sorted(range(len(self.labels)), key=lambda i: (-errors[self.labels[i]], i))
        shown = order
        if len(order) > top:
            shown = [i for i in order if errors[self.labels[i]]][:top]
        left_out = sorted(set(order) - set(shown))
        last = len(self.labels)
        groups = [[i] for i in shown] + ([left_out] if left_out else []) + [[last]]
        names = tuple(self.labels[i] for i in shown) + ((OTHER,) if left_out else ())
        counts = tuple(
            tuple(sum(self.matrix[i][j] for i in row for j in column) for column in groups)
            for row in groups
        )
        return Table((*names, SPURIOUS), (*names, MISSED), counts)

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": [*self.labels, SPURIOUS],
            "columns": [*self.labels, MISSED],
            "matrix": [list(row) for row in self.matrix],
            "outcomes": dict(self.outcomes),
        }


def match_spans(gold: Sequence[Span], predicted: Sequence[Span]) -> tuple[Match, ...]:
    """Compare the spans of one sentence; sorted by position, every span is in the result.

    A gold span is compared with the overlapping prediction that shares most words with it (among
    equals: one of its label, then the first). A prediction may be compared with two gold spans.
    """
    matches = []
    used = set()
    for span in gold:
        touching = [(_overlap(span, p), p.label == span.label, -p.word_start, p) for p in predicted]
        best = max((t for t in touching if t[0]), default=(0, False, 0, None))[-1]
        used.add(best)
        matches.append(Match(span, best, _outcome(span, best)))
    for span in predicted:
        if span not in used:
            touches = any(_overlap(span, g) for g in gold)
            matches.append(Match(None, span, Outcome.FRAGMENT if touches else Outcome.SPURIOUS))
    return tuple(sorted(matches, key=_start))


def count_confusion(labels: Sequence[str], matches: Iterable[Match]) -> Confusion:
    """Count matches; ``labels`` must hold every label that occurs in them."""
    index = {label: i for i, label in enumerate(labels)}
    last = len(labels)
    matrix = [[0] * (last + 1) for _ in range(last + 1)]
    outcomes = dict.fromkeys((o.value for o in Outcome), 0)
    for m in matches:
        outcomes[m.outcome.value] += 1
        if m.outcome is not Outcome.FRAGMENT:
            row = index[m.gold.label] if m.gold else last
            matrix[row][index[m.predicted.label] if m.predicted else last] += 1
    return Confusion(tuple(labels), tuple(map(tuple, matrix)), outcomes)


def _overlap(a: Span, b: Span) -> int:
    return max(0, min(a.word_end, b.word_end) - max(a.word_start, b.word_start))


def _outcome(gold: Span, predicted: Span | None) -> Outcome:
    if predicted is None:
        return Outcome.MISSED
    label = predicted.label == gold.label
    if (predicted.word_start, predicted.word_end) == (gold.word_start, gold.word_end):
        return Outcome.CORRECT if label else Outcome.WRONG_LABEL
    return Outcome.WRONG_BOUNDARY if label else Outcome.WRONG_BOTH


def _start(match: Match) -> int:
    return min(s.word_start for s in (match.gold, match.predicted) if s is not None)
