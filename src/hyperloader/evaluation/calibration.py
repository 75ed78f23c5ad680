"""Fitting temperatures on validation sentences, and measuring what they do to spans' scores.

The temperature of a task is the one at which the gold decisions of its sentences are likeliest,
each made after the right ones before it (teacher forced). Only the grammar's options are compared,
as in decoding.
"""

from collections.abc import Callable, Mapping, Sequence

from hyperloader.calibration import Calibration, SpanCalibration, TaskCalibration
from hyperloader.codec.batch import encode_example
from hyperloader.codec.codec import Codec
from hyperloader.errors import DataError
from hyperloader.evaluation.evaluate import evenly, predict
from hyperloader.evaluation.metrics import ScoredExample
from hyperloader.evaluation.reliability import reliability
from hyperloader.modeling.attached import AttachedModel
from hyperloader.outputs.output import GoldScores
from hyperloader.outputs.registry import output_of
from hyperloader.types import Example

# A task with fewer sentences takes the temperature of all tasks together; with fewer in all
# nothing is fitted, since a handful of right answers would make every score 1.
ENOUGH = 50
# Sentences of a task that a temperature is fitted on, and that spans are predicted in, at most.
FITTED, MEASURED = 2000, 500
COLDEST, HOTTEST, HALVINGS = 0.1, 10.0, 24


def calibrate(
    model: AttachedModel,
    codec: Codec,
    validation: Mapping[str, Sequence[Example]],
    *,
    source: str,
    sentences: int = FITTED,
    tell: Callable[[str], None] = lambda task: None,
) -> Calibration:
    """Fit a temperature for every task of ``validation``, and measure it on predicted spans.

    Args:
        source: what the sentences are, for the record.
        sentences: of a task at most; they are taken evenly over the part.
        tell: told of each task that it comes to.

    Raises:
        DataError: fewer than ``ENOUGH`` sentences in all, or a label that the task has not.
    """
    chosen = {name: evenly(part, sentences) for name, part in validation.items() if part}
    total = sum(map(len, chosen.values()))
    if total < ENOUGH:
        raise DataError(
            f"{total} validation sentences are too few to fit a temperature, which takes {ENOUGH}; "
            "give labelled data with more (--data)"
        )
    gold: dict[str, list[GoldScores]] = {}
    for name, part in chosen.items():
        tell(name)
        gold[name] = gold_scores(model, codec, part)
    few = [name for name, part in chosen.items() if len(part) < ENOUGH]
    shared = fit_temperature([s for parts in gold.values() for s in parts]) if few else 1.0
    fitted = {
        name: round(shared if name in few else fit_temperature(gold[name]), 4) for name in chosen
    }
    before: dict[str, list[ScoredExample]] = {}
    after: dict[str, list[ScoredExample]] = {}
    for name, part in chosen.items():
        tell(name)
        measured = evenly(part, MEASURED)
        for found, temperatures in ((before, {}), (after, fitted)):
            found[name] = predict(model, codec, measured, temperatures=temperatures)
    tasks = {
        name: TaskCalibration(
            temperature=fitted[name],
            shared=name in few,
            sentences=len(part),
            decisions=sum(len(s.choice) for s in gold[name]),
            **_errors(before[name], after[name]).model_dump(),
        )
        for name, part in chosen.items()
    }
    overall = _errors(
        *([e for examples in found.values() for e in examples] for found in (before, after))
    )
    return Calibration(tasks=tasks, overall=overall, fitted_on=source)


def fit_temperature(gold: Sequence[GoldScores]) -> float:
    """The temperature in [0.1, 10] at which the gold choices are likeliest; 1 without any.

    The negative log-likelihood is convex in the inverse temperature, so the place where its
    derivative crosses zero is found by halving.
    """
    if not any(len(part.choice) for part in gold):
        return 1.0
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(HALVINGS):
        middle = (low * high) ** 0.5
        if _slope(gold, middle) > 0:
            high = middle
        else:
            low = middle
    return 1 / (low * high) ** 0.5


def _slope(gold: Sequence[GoldScores], inverse: float) -> float:
    """The derivative of the negative log-likelihood by the inverse temperature."""
    slope = 0.0
    for scores, choice in gold:
        weights = (inverse * scores).softmax(-1)
        expected = (weights * scores.masked_fill(weights == 0, 0.0)).sum(-1)
        slope += float((expected - scores.gather(1, choice[:, None])[:, 0]).double().sum())
    return slope


def gold_scores(
    model: AttachedModel, codec: Codec, examples: Sequence[Example]
) -> list[GoldScores]:
    """The scores of all gold decisions in ``examples`` of one task, on the CPU, batch by batch.

    Raises:
        DataError: a span has a label that the task has not.
    """
    windows = [w for example in examples for w in encode_example(codec, example)]
    return output_of(model).gold_scores(model, codec, windows)


def _errors(before: Sequence[ScoredExample], after: Sequence[ScoredExample]) -> SpanCalibration:
    first, second = reliability(before), reliability(after)
    return SpanCalibration(
        spans=second.spans, ece_before=round(first.ece, 6), ece_after=round(second.ece, 6)
    )
