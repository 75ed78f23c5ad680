"""Span scores of one task: precision, recall and F1, overall and per label.

A predicted span is right when its first word, its last word and its label are those of a gold span.
The numbers are those of seqeval's default mode, which reads tags by the CoNLL rule (`tags.py`), and
of its strict mode, which reads as a span only what is written out as the tagging scheme demands.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from hyperloader.errors import DataError
from hyperloader.evaluation.confusion import Confusion, Match, count_confusion, match_spans
from hyperloader.evaluation.overlap import MEASURES, OverlapCounts, count_overlaps
from hyperloader.types import Example, Span, check_spans

Sentences = Sequence[Sequence[Span]]
"""The spans of each sentence, sorted and disjoint, in word indices."""


@dataclass(frozen=True, slots=True)
class PRF:
    """Precision, recall and F1 in [0, 1] (0.0 where undefined); support counts gold spans."""

    precision: float
    recall: float
    f1: float
    support: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Counts:
    """How many spans are ``correct`` among the ``predicted`` and the ``gold`` ones."""

    correct: int
    predicted: int
    gold: int

    @property
    def prf(self) -> PRF:
        """The scores; 0.0 where there is nothing to divide by."""
        return PRF(
            self.correct / self.predicted if self.predicted else 0.0,
            self.correct / self.gold if self.gold else 0.0,
            2 * self.correct / (self.predicted + self.gold) if self.predicted + self.gold else 0.0,
            self.gold,
        )

    def to_json(self) -> dict[str, Any]:
        return {**self.prf.to_json(), "predicted": self.predicted}


@dataclass(frozen=True, slots=True)
class TaskScores:
    """Scores of one task.

    Attributes:
        default: micro average, by the CoNLL rule (seqeval's default mode).
        strict: micro average in seqeval's strict mode. It differs from ``default`` only where
            sentences were read from tags that are ill-formed (see `score_task`).
        per_label: counts of each label that is in gold or predicted, in alphabetical order.
        confusion: what became of each span, and which labels are mixed up.
        overlap: the counts of each of `overlap.MEASURES`, which give partial credit.
    """

    task: str
    sentences: int
    default: PRF
    strict: PRF
    per_label: dict[str, Counts]
    confusion: Confusion
    overlap: dict[str, OverlapCounts] = field(default_factory=dict)

    @property
    def macro(self) -> PRF:
        """The unweighted mean over labels."""
        return self._mean([1.0] * len(self.per_label))

    @property
    def weighted(self) -> PRF:
        """The mean over labels, weighted by their gold spans."""
        return self._mean([float(counts.gold) for counts in self.per_label.values()])

    def _mean(self, weights: Sequence[float]) -> PRF:
        total = sum(weights)
        rows = [counts.prf for counts in self.per_label.values()]

        def mean(name: str) -> float:
            values = [getattr(row, name) for row in rows]
            return sum(w * v for w, v in zip(weights, values, strict=True)) / (total or 1.0)

        return PRF(mean("precision"), mean("recall"), mean("f1"), sum(r.support for r in rows))

    @property
    def undefined(self) -> list[str]:
        """What has nothing to divide by and counts as 0, a line for each kind; usually none."""
        lines = []
        if never := [x for x, counts in self.per_label.items() if not counts.predicted]:
            lines.append(
                f"never predicted, so precision is undefined and counts as 0: {_few(never)}"
            )
        if absent := [x for x, counts in self.per_label.items() if not counts.gold]:
            lines.append(f"not in gold, so recall is undefined and counts as 0: {_few(absent)}")
        if not self.per_label:
            lines.append("no span in gold and none predicted: every score is undefined, 0 is shown")
        return lines

    def to_json(self) -> dict[str, Any]:
        averages = ("default", "strict", "macro", "weighted")
        return {
            "task": self.task,
            "sentences": self.sentences,
            **{name: getattr(self, name).to_json() for name in averages},
            "overlap": {measure: found.to_json() for measure, found in self.overlap.items()},
            "per_label": {label: counts.to_json() for label, counts in self.per_label.items()},
            "confusion": self.confusion.to_json(),
        }


@dataclass(frozen=True, slots=True)
class ScoredExample:
    """A gold example and the spans predicted for it (sorted, disjoint, in word indices)."""

    example: Example
    predicted: tuple[Span, ...]

    def matches(self) -> tuple[Match, ...]:
        """Every gold and predicted span, as `match_spans` compares them."""
        return match_spans(self.example.spans, self.predicted)


def score_task(
    task: str,
    gold: Sentences,
    predicted: Sentences,
    lengths: Sequence[int],
    *,
    strict: tuple[Sentences, Sentences] | None = None,
) -> TaskScores:
    """Score the predicted spans of a task's sentences; ``lengths`` are in words.

    Args:
        strict: gold and predicted spans as the strict mode reads them, where they come from tags
            (`tags.strict_spans`). Without it both modes are of the same spans and equal.

    Without a gold span recall is 0.0, without a predicted one precision is 0.0, without both F1 is
    0.0 too; `TaskScores.undefined` says so.

    Raises:
        DataError: the sequences differ in length (nothing is padded or cut), there is no sentence,
            or spans overlap, are not sorted or leave their sentence.
    """
    _check(task, gold, predicted, lengths)
    per_label = count_labels(gold, predicted)
    default = _total(per_label.values()).prf
    matches = [m for pair in zip(gold, predicted, strict=True) for m in match_spans(*pair)]
    return TaskScores(
        task,
        len(lengths),
        default,
        default if strict is None else _total(count_labels(*strict).values()).prf,
        per_label,
        count_confusion(tuple(per_label), matches),
        count_overlaps(gold, predicted),
    )


def count_labels(gold: Sentences, predicted: Sentences) -> dict[str, Counts]:
    """The counts of each label in gold or predicted spans, in alphabetical order."""
    golds = Counter(s.label for spans in gold for s in spans)
    guesses = Counter(s.label for spans in predicted for s in spans)
    hits = Counter(
        s.label
        for truth, guess in zip(gold, predicted, strict=True)
        for s in set(truth) & set(guess)
    )
    return {x: Counts(hits[x], guesses[x], golds[x]) for x in sorted({*golds, *guesses})}


def _total(counts: Iterable[Counts]) -> Counts:
    rows = list(counts)
    return Counts(
        sum(r.correct for r in rows), sum(r.predicted for r in rows), sum(r.gold for r in rows)
    )


def score_examples(task: str, examples: Sequence[ScoredExample]) -> TaskScores:
    """`score_task` for examples that carry their predictions."""
    return score_task(
        task,
        [e.example.spans for e in examples],
        [e.predicted for e in examples],
        [len(e.example.words) for e in examples],
    )


def average(scores: Mapping[str, TaskScores]) -> dict[str, Any]:
    """Unweighted mean over tasks of the micro scores, as in the paper's tables 3 and 4.

    Returns ``{"tasks": n, "default": {"precision", "recall", "f1"}, "strict": {...}, "overlap":
    {measure: {...}}}``. Raises DataError when there is no task.
    """
    if not scores:
        raise DataError("no task to average: score at least one task first")

    def means(rows: Iterable[Any]) -> dict[str, float]:
        found = list(rows)
        return {
            name: sum(getattr(row, name) for row in found) / len(found)
            for name in ("precision", "recall", "f1")
        }

    every = list(scores.values())
    measures = [m for m in MEASURES if all(m in s.overlap for s in every)]
    return {
        "tasks": len(every),
        "default": means(s.default for s in every),
        "strict": means(s.strict for s in every),
        "overlap": {m: means(s.overlap[m] for s in every) for m in measures},
    }


def _check(
    task: str,
    gold: Sentences,
    predicted: Sentences,
    lengths: Sequence[int],
) -> None:
    if not len(gold) == len(predicted) == len(lengths):
        raise DataError(
            f"task {task!r}: {len(gold)} gold sentences, {len(predicted)} predicted ones and "
            f"{len(lengths)} lengths; give one of each for every sentence"
        )
    if not lengths:
        raise DataError(f"task {task!r} has no sentence to score; choose a split that has some")
    for side, sentences in (("gold", gold), ("predicted", predicted)):
        for number, (spans, length) in enumerate(zip(sentences, lengths, strict=True), 1):
            try:
                check_spans(spans, length)
            except ValueError as error:
                raise DataError(
                    f"task {task!r}, sentence {number}, {side}: {error}; spans must be sorted, "
                    "disjoint and inside the sentence"
                ) from error


def _few(labels: Sequence[str], most: int = 12) -> str:
    rest = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(labels[:most]) + rest
