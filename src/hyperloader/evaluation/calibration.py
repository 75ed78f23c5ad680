"""Fitting temperatures on validation sentences, and keeping only those that help.

The temperature of a task is the one at which the gold decisions of its sentences are likeliest,
each made after the right ones before it (teacher forced). Only the grammar's options are compared,
as in decoding. Whether it helps is measured by cross-validation: the sentences are dealt into
``FOLDS`` parts, and each part is scored at a temperature that was fitted on the others. It is kept
if the gold decisions of the parts are likelier than at temperature 1, and if the expected
calibration error of the spans that are predicted in them is no higher.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from hyperloader.calibration import Calibration, SpanCalibration, TaskCalibration
from hyperloader.checkpoint import calibrate_checkpoint, checkpoint_folder
from hyperloader.codec.batch import encode_example
from hyperloader.codec.codec import Codec
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import DataError
from hyperloader.evaluation.evaluate import evenly, load_for, predict, run_data
from hyperloader.evaluation.metrics import ScoredExample
from hyperloader.evaluation.reliability import reliability
from hyperloader.modeling.attached import AttachedModel
from hyperloader.outputs.output import Gold
from hyperloader.outputs.registry import output_of
from hyperloader.tagging import whole
from hyperloader.types import Example

if TYPE_CHECKING:
    from hyperloader.tagger import Tagger

# A task with fewer sentences takes the temperature of all tasks together; with fewer in all
# nothing is fitted, since a handful of right answers would make every score 1.
ENOUGH = 50
# Sentences of a task that a temperature is fitted on and judged by, at most.
SENTENCES = 500
# A task with more labels has fewer of them, or it would take as much longer.
MANY_LABELS = 100
FOLDS = 5
COLDEST, HOTTEST = 0.1, 10.0
# Of a temperature's logarithm: how far the first step goes, and how well it is to be known.
FIRST_STEP, EXACT = 0.1, 1e-5


def calibrate_tagger(
    tagger: "Tagger",
    path: Path,
    corpora: Mapping[str, Corpus],
    *,
    sentences: int = SENTENCES,
    tell: Callable[[str], None] = lambda task: None,
) -> Calibration:
    """Fit ``tagger`` on the validation parts of ``corpora`` and write what was found into the
    checkpoint, or the run's best checkpoint, at ``path`` that it was loaded from.

    Raises:
        DataError: as `calibrate`.
        CheckpointError: the checkpoint is damaged or cannot be written.
    """
    for name in corpora:
        tagger.labels(name)
    validation = {name: corpus.splits["validation"] for name, corpus in corpora.items()}
    labels = tagger.codec.labels
    total = sum(
        min(len(part), _most(sentences, len(labels[name]))) for name, part in validation.items()
    )
    found = calibrate(
        whole(tagger.model),
        tagger.codec,
        validation,
        source=f"{total:,} validation sentences of {', '.join(validation)}",
        sentences=sentences,
        tell=tell,
    )
    calibrate_checkpoint(checkpoint_folder(path), found)
    return found


def calibration_data(path: Path, data: Path | None, tasks: Sequence[str]) -> dict[str, Corpus]:
    """The corpora that the run or checkpoint at ``path`` is to be calibrated on.

    Those of a run are its own share of them. ``data`` is where they lie if not where the run found
    them; ``tasks`` are the model's.

    Raises:
        ConfigError: ``path`` does not say what it was trained on, and no ``data`` is given.
        DataError: the data cannot be read.
    """
    from hyperloader.training.run import RUN, RunFolder
    from hyperloader.training.setup import select_data

    folder = data or run_data(path)
    if not (path / RUN).is_file():
        return load_for(folder, tasks, None, "validation")
    run = RunFolder(path)
    own = load_for(folder, tasks, run.about()["tasks"], "validation", whole=False)
    return select_data(run.recipe(), own)


def calibrate(
    model: AttachedModel,
    codec: Codec,
    validation: Mapping[str, Sequence[Example]],
    *,
    source: str,
    sentences: int = SENTENCES,
    tell: Callable[[str], None] = lambda task: None,
) -> Calibration:
    """Fit a temperature for every task of ``validation``, and keep it where it helps.

    Args:
        source: what the sentences are, for the record.
        sentences: per task at most; they are taken evenly over the part. A task with more than
            ``MANY_LABELS`` labels has fewer, ``ENOUGH`` at least.
        tell: told of each task that it comes to.

    Raises:
        DataError: fewer than ``ENOUGH`` sentences in all, or a label that the task does not have.
    """
    folds = {
        name: _folds(evenly(part, _most(sentences, len(codec.labels[name]))))
        for name, part in validation.items()
        if part
    }
    sizes = {name: sum(map(len, parts)) for name, parts in folds.items()}
    if (total := sum(sizes.values())) < ENOUGH:
        raise DataError(
            f"{total} validation sentences are too few to fit a temperature, which takes {ENOUGH}; "
            "give labelled data with more (--data)"
        )
    gold: dict[str, list[Sequence[Gold]]] = {}
    for name, parts in folds.items():
        tell(name)
        gold[name] = [gold_scores(model, codec, part) for part in parts]

    def fit(names: Sequence[str], without: int | None = None, near: float = 1.0) -> float:
        """The temperature of some tasks' sentences, those of one fold left out."""
        chosen = [s for n in names for k, fold in enumerate(gold[n]) if k != without for s in fold]
        return round(fit_temperature(chosen, near), 4)

    def judge(name: str, temperatures: Sequence[float]) -> tuple[float, list[ScoredExample]]:
        """Mean unlikelihood of gold decisions, and tagged sentences, each fold at its own
        temperature."""
        total = sum(_unlikelihood(*fold) for fold in zip(gold[name], temperatures, strict=True))
        tagged = [
            example
            for part, temperature in zip(folds[name], temperatures, strict=True)
            for example in predict(model, codec, part, temperatures={name: temperature})
        ]
        # Rounding may leave a hair less than nothing.
        return max(0.0, total) / max(_decisions(gold[name]), 1), tagged

    tasks: dict[str, TaskCalibration] = {}
    spans: tuple[list[ScoredExample], list[ScoredExample]] = ([], [])
    for name in folds:
        tell(name)
        shared = sizes[name] < ENOUGH
        names = list(folds) if shared else [name]
        fitted = fit(names)
        nll_before, before = judge(name, [1.0] * FOLDS)
        nll_after, after = judge(name, [fit(names, k, near=fitted) for k in range(FOLDS)])
        errors = _errors(before, after)
        kept = nll_after < nll_before and errors.ece_after <= errors.ece_before
        tasks[name] = TaskCalibration(
            temperature=fitted if kept else 1.0,
            shared=shared,
            sentences=sizes[name],
            decisions=_decisions(gold[name]),
            kept=kept,
            fitted=fitted,
            nll_before=round(nll_before, 6),
            nll_after=round(nll_after, 6),
            **errors.model_dump(),
        )
        spans[0].extend(before)
        spans[1].extend(after if kept else before)
    return Calibration(tasks=tasks, overall=_errors(*spans), fitted_on=source)


def _most(sentences: int, labels: int) -> int:
    """How many of so many ``sentences`` a task with ``labels`` is calibrated on."""
    if labels <= MANY_LABELS:
        return sentences
    return min(sentences, max(ENOUGH, sentences * MANY_LABELS // labels))


def outcome(name: str, found: TaskCalibration) -> str:
    """What became of one task's temperature, in one line."""
    fitted = found.temperature if found.fitted is None else found.fitted
    of_all = " (of all tasks together)" if found.shared else ""
    held_out = f"ECE {found.ece_before:.4f} -> {found.ece_after:.4f}"
    if found.nll_before is not None and found.nll_after is not None:
        held_out = f"NLL {found.nll_before:.4f} -> {found.nll_after:.4f}, {held_out}"
    if found.kept:
        return f"{name}: temperature {fitted:.3f}{of_all} kept; held-out {held_out}"
    return (
        f"{name}: temperature {fitted:.3f}{of_all} not kept, because it does not make held-out "
        f"scores better ({held_out}); its scores stay as they are"
    )


def fit_temperature(gold: Sequence[Gold], near: float = 1.0) -> float:
    """The temperature in [0.1, 10] at which the gold choices are likeliest; 1 without any.

    The negative log-likelihood is convex in the inverse temperature, so its derivative crosses zero
    once: looked for by the secant method from ``near``, and by halving where that leaves what is
    known to hold the place.
    """
    if not any(part.decisions for part in gold):
        return 1.0
    low, high = -math.log(HOTTEST), -math.log(COLDEST)
    at, before = -math.log(near), None
    while high - low > EXACT:
        slope = _slope(gold, math.exp(at))
        low, high = (low, at) if slope > 0 else (at, high)
        if before is None:
            following = at - math.copysign(FIRST_STEP, slope)
        elif slope != before[1]:
            following = at - slope * (at - before[0]) / (slope - before[1])
        else:  # as flat as numbers are: halve
            following = high
        before = at, slope
        if abs(following - at) <= EXACT:
            break
        at = following if low < following < high else (low + high) / 2
    return math.exp(-at)


def _slope(gold: Sequence[Gold], inverse: float) -> float:
    """The derivative of the negative log-likelihood by the inverse temperature."""
    by = torch.tensor(inverse, requires_grad=True)
    slope = 0.0
    for part in gold:
        (slope_of_part,) = torch.autograd.grad(part.unlikelihood(by), by)
        slope += float(slope_of_part)
    return slope


def _unlikelihood(gold: Sequence[Gold], temperature: float) -> float:
    """The summed negative log-likelihood of the gold answers."""
    return sum(float(part.unlikelihood(1 / temperature)) for part in gold)


def _decisions(folds: Sequence[Sequence[Gold]]) -> int:
    return sum(part.decisions for fold in folds for part in fold)


def _folds(examples: Sequence[Example]) -> list[list[Example]]:
    """``FOLDS`` parts of equal size, dealt at random, always alike; each in its old order."""
    numbers = list(range(len(examples)))
    random.Random(0).shuffle(numbers)
    return [[examples[i] for i in sorted(numbers[k::FOLDS])] for k in range(FOLDS)]


def _errors(before: Sequence[ScoredExample], after: Sequence[ScoredExample]) -> SpanCalibration:
    first, second = reliability(before), reliability(after)
    return SpanCalibration(
        spans=second.spans, ece_before=round(first.ece, 6), ece_after=round(second.ece, 6)
    )


def gold_scores(model: AttachedModel, codec: Codec, examples: Sequence[Example]) -> Sequence[Gold]:
    """The scores of all gold decisions in ``examples`` of one task, on the CPU, batch by batch.

    Raises:
        DataError: a span has a label that the task does not have.
    """
    windows = [w for example in examples for w in encode_example(codec, example)]
    return output_of(model).gold_scores(model, codec, windows) if windows else []
