"""Span scores of one task: micro P, R, F1 by seqeval, and scores per label."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_precision_recall_fscore
from seqeval.scheme import IOB2

from hyperloader.errors import DataError
from hyperloader.evaluation.confusion import Confusion, Match, Outcome, count_confusion, match_spans
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example, Span, check_spans


@dataclass(frozen=True, slots=True)
class PRF:
    """Precision, recall and F1 in [0, 1] (0.0 where undefined); support counts gold spans."""

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def from_counts(cls, correct: int, predicted: int, gold: int) -> "PRF":
        """Scores of ``correct`` spans out of ``predicted`` and ``gold`` ones."""
        return cls(
            correct / predicted if predicted else 0.0,
            correct / gold if gold else 0.0,
            2 * correct / (predicted + gold) if predicted + gold else 0.0,
            gold,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TaskScores:
    """Scores of one task: seqeval's micro average in both modes, and per label."""

    task: str
    sentences: int
    default: PRF
    strict: PRF
    per_label: dict[str, PRF]
    confusion: Confusion

    def to_json(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "sentences": self.sentences,
            "default": self.default.to_json(),
            "strict": self.strict.to_json(),
            "per_label": {label: prf.to_json() for label, prf in self.per_label.items()},
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
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    lengths: Sequence[int],
) -> TaskScores:
    """Score the predicted spans of a task's sentences; ``lengths`` are in words.

    Micro precision, recall and F1 come from seqeval: ``default`` (the CoNLL convention, as the
    paper's tables) and ``strict`` (IOB2). Without a gold span recall is 0.0, without a predicted
    one precision is 0.0, without both F1 is 0.0 too, as in seqeval.

    Raises DataError when the three sequences differ in length (nothing is padded or cut), when
    there is no sentence, and for spans that overlap, are not sorted or leave their sentence.
    """
    _check(task, gold, predicted, lengths)
    labels = tuple(sorted({s.label for side in (gold, predicted) for spans in side for s in spans}))
    truth, guess = _tags(gold, lengths, labels), _tags(predicted, lengths, labels)
    default = precision_recall_fscore_support(truth, guess, average="micro", zero_division=0)
    strict = strict_precision_recall_fscore(
        truth, guess, average="micro", zero_division=0, scheme=IOB2
    )
    matches = [m for pair in zip(gold, predicted, strict=True) for m in match_spans(*pair)]
    return TaskScores(
        task,
        len(lengths),
        _prf(*default),
        _prf(*strict),
        _per_label(labels, gold, predicted, matches),
        count_confusion(labels, matches),
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

    Returns ``{"tasks": n, "default": {"precision", "recall", "f1"}, "strict": {...}}``.
    Raises DataError when there is no task.
    """
    if not scores:
        raise DataError("no task to average: score at least one task first")

    def mean(mode: str, name: str) -> float:
        return sum(getattr(getattr(s, mode), name) for s in scores.values()) / len(scores)

    names = ("precision", "recall", "f1")
    modes = {mode: {name: mean(mode, name) for name in names} for mode in ("default", "strict")}
    return {"tasks": len(scores), **modes}


def _check(
    task: str,
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
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


def _tags(
    sentences: Sequence[Sequence[Span]], lengths: Sequence[int], labels: tuple[str, ...]
) -> list[list[str]]:
    # Labels are numbered because seqeval's strict mode strips hyphens off both their ends and
    # both modes read an empty one as "_": two different labels could count as the same.
    number = {label: str(i) for i, label in enumerate(labels)}
    return [
        spans_to_bio([Span(s.word_start, s.word_end, number[s.label]) for s in spans], length)
        for spans, length in zip(sentences, lengths, strict=True)
    ]


def _prf(precision: float, recall: float, f1: float, support: int) -> PRF:
    # seqeval returns NumPy scalars, which JSON refuses.
    return PRF(float(precision), float(recall), float(f1), int(support))


def _per_label(
    labels: tuple[str, ...],
    gold: Sequence[Sequence[Span]],
    predicted: Sequence[Sequence[Span]],
    matches: Sequence[Match],
) -> dict[str, PRF]:
    golds = Counter(s.label for spans in gold for s in spans)
    guesses = Counter(s.label for spans in predicted for s in spans)
    hits = Counter(m.gold.label for m in matches if m.gold and m.outcome is Outcome.CORRECT)
    return {x: PRF.from_counts(hits[x], guesses[x], golds[x]) for x in labels}
