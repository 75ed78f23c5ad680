"""How the cost of decoding grows with words, labels, tasks and the batch.

One model on one backbone, with made-up labels and planted answers: the sample sentences, their
spans labelled again. A row of a growth is one value of what grows, everything else being equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from random import Random
from typing import Literal, get_args

import torch

from hyperloader.benchmarks.contenders import (
    AT_ONCE,
    DECODER,
    GENERATE,
    PASS,
    Trial,
    generating,
    passing,
)
from hyperloader.benchmarks.decoding import Advance, device_name
from hyperloader.benchmarks.models import (
    SAMPLE_TASK,
    SEED,
    MeasuredModel,
    planted_model,
)
from hyperloader.benchmarks.timing import Contender, Measured, medians, take_turns
from hyperloader.builtin import BUILTIN
from hyperloader.corpora.sample import sample_corpora
from hyperloader.errors import ConfigError, unknown
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.tagging import place
from hyperloader.types import Example, Span

Axis = Literal["words", "labels", "tasks", "batch"]
AXES: tuple[Axis, ...] = get_args(Axis)
VALUES: dict[Axis, tuple[int, ...]] = {
    "words": (8, 16, 32, 64, 128, 256, 512),
    "labels": (2, 10, 30, 100, 300, 1000),
    "tasks": (1, 6, 30, 100, 300, 1000),
    "batch": (1, 2, 4, 8, 16, 32, 64, 128, 256),
}
MIXED, NEW_TASK, MAKING = "mixed tasks", "new task", "making a decoder"
ENOUGH_SECONDS = 0.5
# Two words make a label: 32 times 32 of them.
KINDS = (
    "first last early late main other local foreign old new public private direct final daily "
    "weekly annual total partial common special maximum minimum average current former future "
    "recent home work open closed"
)
THINGS = (
    "name place date time price city street country person company product colour size number "
    "title language meal drink song film book team sport road airport hotel room seat ticket "
    "weather event distance"
)


@dataclass(slots=True)
class GrowthRow:
    """One value: median ``seconds`` of each contender and ``ratios``: of the decoder's time to the
    first row's (``growth``), ``generate / decoder`` and ``decoder / pass``."""

    value: int
    seconds: dict[str, float]
    ratios: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Growth(Measured):
    """How cost grows along ``axis`` on ``model``."""

    axis: Axis
    model: str
    precision: str
    rows: list[GrowthRow]


def measure_growth(
    axis: Axis,
    *,
    shape: str = BUILTIN,
    values: Sequence[int] | None = None,
    device: str = "cpu",
    precision: str = "float32",
    repeats: int = 3,
    advance: Advance = lambda what: None,
) -> Growth:
    """Measure the values of ``axis`` (default: ``VALUES``) on the backbone ``shape``.

    ``words``: one sentence of so many, in windows where it does not fit one. ``labels``: of the
    task of 32 sentences. ``tasks``: that the model knows, 32 sentences being of one of them, or of
    as many as there are (``mixed tasks``); ``new task`` also generates a task's weights. ``batch``:
    sentences of one task.

    Raises:
        ConfigError: no such axis or shape, or more labels than can be made up.
    """
    if axis not in AXES:
        raise ConfigError(unknown("axis of growth", axis, AXES))
    rows: list[GrowthRow] = []
    for value in values or VALUES[axis]:
        advance(f"{axis}: {value}")
        with torch.no_grad():
            trial = Trial(_subject(axis, value, shape, device, precision))
            contenders = _contenders(axis, trial, value)
            times = take_turns(
                contenders, trial.model.device, repeats=repeats, enough=ENOUGH_SECONDS
            )
        row = GrowthRow(value, medians(times))
        decoder = row.seconds[DECODER]
        row.ratios = {"growth": decoder / (rows[0].seconds[DECODER] if rows else decoder)}
        if GENERATE in row.seconds:
            row.ratios[f"{GENERATE} / {DECODER}"] = row.seconds[GENERATE] / decoder
        row.ratios[f"{DECODER} / {PASS}"] = decoder / row.seconds[PASS]
        rows.append(row)
    return Growth(
        axis=axis,
        model=shape,
        precision=precision,
        device=device_name(trial.model.device),
        seed=SEED,
        rows=rows,
    )


def _subject(axis: Axis, value: int, shape: str, device: str, precision: str) -> MeasuredModel:
    corpus = sample_corpora()[SAMPLE_TASK]
    labels: Sequence[str] = corpus.labels()
    sentences: Sequence[Example] = corpus.splits["test"]
    if axis == "labels":
        labels = made_up_labels(value)
        random = Random(SEED)
        sentences = [relabelled(e, lambda: random.choice(labels)) for e in sentences]
    if axis == "words":
        sentences = [stretched(sentences, value)]
    count = value if axis == "tasks" else 1
    tasks = tuple(f"{SAMPLE_TASK} {i}" for i in range(1, count + 1))
    model, codec = planted_model(shape, dict.fromkeys(tasks, labels))
    place(model, device, precision)
    return MeasuredModel(shape, model, codec, tasks, tuple(sentences), (), planted=True)


def _contenders(axis: Axis, trial: Trial, value: int) -> dict[str, Contender]:
    size = {"words": len(trial.sentences), "batch": value}.get(axis, AT_ONCE)
    windows = [sentence.window for sentence in trial.middle(size)]
    contenders = {DECODER: trial.decoding(windows), PASS: passing(trial, windows)}
    if axis == "tasks":
        tasks, decoding = trial.subject.tasks, contenders[DECODER]
        mixed = [replace(w, task=tasks[i % len(tasks)]) for i, w in enumerate(windows)]
        contenders[MIXED] = trial.decoding(mixed)

        def forget() -> None:
            decoding.prepare()
            # A write to a parameter, if of its own value, ends what was generated from it.
            next(trial.model.source.parameters()).add_(0)

        contenders[NEW_TASK] = Contender(decoding.run, forget)
        contenders[MAKING] = Contender(lambda: SentTDecoder(trial.model, trial.codec))
    else:
        contenders[GENERATE] = generating(trial, windows)
    return contenders


def made_up_labels(count: int) -> tuple[str, ...]:
    """``count`` labels of two words. Raises ConfigError for more than there are."""
    every = [f"{kind}_{thing}" for kind in KINDS.split() for thing in THINGS.split()]
    if count > len(every):
        raise ConfigError(f"at most {len(every)} labels can be made up, not {count}; ask for less")
    return tuple(Random(SEED).sample(every, count))


def relabelled(example: Example, label: Callable[[], str]) -> Example:
    """``example`` with labels from ``label``, which is asked once a span."""
    spans = tuple(Span(s.word_start, s.word_end, label()) for s in example.spans)
    return Example(example.words, spans, example.task)


def stretched(sentences: Sequence[Example], words: int) -> Example:
    """One sentence of exactly so many ``words``: ``sentences`` one after the other, over and over.

    A span that the end cuts is left out.
    """
    chosen: list[Example] = []
    total = 0
    while total < words:
        chosen.append(sentences[len(chosen) % len(sentences)])
        total += len(chosen[-1].words)
    starts = accumulate((len(e.words) for e in chosen), initial=0)
    spans = [
        Span(s.word_start + start, s.word_end + start, s.label)
        for e, start in zip(chosen, starts, strict=False)
        for s in e.spans
        if s.word_end + start <= words
    ]
    every = [word for e in chosen for word in e.words]
    return Example(tuple(every[:words]), tuple(spans), chosen[0].task)
