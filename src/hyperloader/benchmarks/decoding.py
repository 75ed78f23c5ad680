"""How fast decoding is: the decoder, Hugging Face ``generate`` and the floor, in one run.

Who runs against whom: :mod:`hyperloader.benchmarks.contenders`.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from hyperloader.benchmarks.contenders import (
    AT_ONCE,
    CONSTRAINED,
    CONSTRAINED_UP_TO,
    DECODER,
    GENERATE,
    PASS,
    SPACY,
    WARM,
    WHOLE_PASS,
    Sentence,
    Trial,
    generating,
    has_spacy,
    passing,
    spacy_ner,
)
from hyperloader.benchmarks.models import SEED, MeasuredModel, ModelSpec
from hyperloader.benchmarks.timing import (
    Contender,
    Measured,
    in_fresh_process,
    medians,
    peak_memory,
    take_turns,
)
from hyperloader.codec.windows import EncodedWindow

BATCHES = (1, 8, 32, 128)

Advance = Callable[[str], None]


@dataclass(slots=True)
class Measurement:
    """Times of one batch size.

    Attributes:
        seconds: the median time of a batch by ``decoder`` (without a memory), ``decoder warm``
            (that has read other sentences of the task), ``generate``, ``constrained generate``,
            ``pass``, ``pass with vocabulary`` and, where it is installed, ``spaCy NER``.
        repeats: how many times each median is of.
        ratios: ``generate / decoder``, ``decoder / pass`` and the same of ``decoder warm``.
        target_tokens: of the batch's answer; in ``work``, ``fed`` and ``fed warm`` are how many
            the decoder fed for each of them, ``passes`` and ``passes warm`` how many it took.
        same_as_constrained: share of sentences that constrained generation tags alike (of a run).
    """

    batch: int
    target_tokens: int
    seconds: dict[str, float] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    same_as_constrained: float | None = None


@dataclass(slots=True)
class SubjectResult:
    """What was measured of one model.

    Attributes:
        mixed_over_single: the time of ``AT_ONCE`` sentences whose rows have all ``mixed_tasks``
            tasks in turn, over that of the same sentences as one task; the mean over the tasks
            where their answers differ.
        peak_memory: bytes above the loaded model that ``decoder`` and ``generate`` take at their
            peak for a batch of ``memory_batch``; empty where it was not measured.
        memory_ratio: ``generate / decoder`` of these.
    """

    name: str
    precision: str
    parameters: int
    words_per_sentence: float
    outside_share: float
    measurements: list[Measurement]
    mixed_tasks: int = 1
    mixed_over_single: float | None = None
    memory_batch: int = AT_ONCE
    peak_memory: dict[str, int] = field(default_factory=dict)
    memory_ratio: float | None = None


@dataclass(slots=True, kw_only=True)
class BenchmarkResult(Measured):
    """A whole run."""

    subjects: list[SubjectResult]


def device_name(device: torch.device) -> str:
    """The device in words."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return f"{device.type} ({name})"


def run_benchmark(
    subjects: Sequence[MeasuredModel],
    *,
    batch_sizes: Sequence[int] = BATCHES,
    generate: bool = True,
    memory: bool = True,
    repeats: int = 3,
    advance: Advance = lambda what: None,
) -> BenchmarkResult:
    """Measure ``subjects`` (one at least), whose models are on the device in question.

    Args:
        generate: also time ``generate``, which takes most of the time.
        memory: also compare peak memory, of subjects that another process can make.
        repeats: of each time at least, but for what is very slow.
        advance: is told what is measured next.
    """
    measured = []
    for subject in subjects:
        result = _measure_subject(subject, batch_sizes, generate, repeats, advance)
        if memory and generate and subject.spec is not None:
            advance(f"{subject.name}: memory")
            _compare_memory(subject.spec, result)
        measured.append(result)
    device = device_name(subjects[0].model.device)
    return BenchmarkResult(device=device, seed=SEED, subjects=measured)


@torch.no_grad()
def _measure_subject(
    subject: MeasuredModel,
    batch_sizes: Sequence[int],
    generate: bool,
    repeats: int,
    advance: Advance,
) -> SubjectResult:
    advance(f"{subject.name}: {len(subject.earlier)} earlier sentences")
    trial = Trial(subject)
    _ = trial.warm
    measurements = []
    for size in batch_sizes:
        advance(f"{subject.name}: batch {size}")
        answered = trial.answered(trial.middle(size))
        measurements.append(_measure(trial, answered, generate, repeats))
    shown = [sentence.window for sentence in trial.middle(AT_ONCE)]
    words = sum(window.words for window in shown)
    spans = [span for found in trial.decoded(shown) for span in found.spans]
    result = SubjectResult(
        subject.name,
        subject.spec.precision if subject.spec else "float32",
        trial.model.parameter_counts()["total"],
        words / len(shown),
        1 - sum(span.word_end - span.word_start for span in spans) / words,
        measurements,
    )
    if len(subject.tasks) > 1:
        advance(f"{subject.name}: {len(subject.tasks)} tasks in one batch")
        result.mixed_tasks = len(subject.tasks)
        result.mixed_over_single = _mixed_over_single(trial, shown, repeats)
    return result


def _measure(
    trial: Trial, sentences: Sequence[Sentence], generate: bool, repeats: int
) -> Measurement:
    """``sentences`` are one batch, with the decoder's answers as its targets."""
    windows = [sentence.window for sentence in sentences]
    result = Measurement(len(windows), sum(len(window.target) for window in windows))
    constrained = generate and len(windows) <= CONSTRAINED_UP_TO
    contenders = {
        DECODER: trial.decoding(windows),
        WARM: trial.decoding(windows, trial.warm),
        PASS: passing(trial, windows),
        WHOLE_PASS: passing(trial, windows, vocabulary=True),
    }
    if generate:
        contenders[GENERATE] = generating(trial, windows)
    if constrained:
        contenders[CONSTRAINED] = generating(trial, windows, constrained=True)
    if has_spacy():
        contenders[SPACY] = spacy_ner(trial, sentences)
    times = take_turns(contenders, trial.model.device, repeats=repeats)
    result.seconds = medians(times)
    result.repeats = {name: len(taken) for name, taken in times.items()}
    if constrained and not trial.subject.planted:
        rows = contenders[CONSTRAINED].run().tolist()  # type: ignore[attr-defined]
        alike = [r[1 : len(w.target)] == w.target[:-1] for r, w in zip(rows, windows, strict=True)]
        result.same_as_constrained = sum(alike) / len(alike)
    for name, decoder in ((DECODER, trial.cold), (WARM, trial.warm)):
        suffix = name.removeprefix(DECODER)
        work = trial.work(windows, decoder)
        result.work[f"passes{suffix}"] = work.passes
        result.work[f"fed{suffix}"] = work.tokens / result.target_tokens
        result.ratios[f"{name} / {PASS}"] = result.seconds[name] / result.seconds[PASS]
        if generate:
            result.ratios[f"{GENERATE} / {name}"] = result.seconds[GENERATE] / result.seconds[name]
    return result


def _mixed_over_single(trial: Trial, windows: Sequence[EncodedWindow], repeats: int) -> float:
    """Every sentence is tagged as every task on both sides, unless all tasks' answers are alike."""
    tasks = trial.subject.tasks
    count = 1 if trial.subject.planted else len(tasks)

    def batch(chosen: Sequence[str]) -> Contender:
        rows = [replace(w, task=chosen[i % len(chosen)]) for i, w in enumerate(windows)]
        return trial.decoding(rows)

    contenders = {f"single {i}": batch([tasks[i]]) for i in range(count)}
    contenders |= {f"mixed {i}": batch([*tasks[i:], *tasks[:i]]) for i in range(count)}
    seconds = medians(take_turns(contenders, trial.model.device, repeats=repeats, enough=1.0))
    mixed = sum(taken for name, taken in seconds.items() if name.startswith("mixed"))
    return mixed / sum(taken for name, taken in seconds.items() if name.startswith("single"))


def _compare_memory(wanted: ModelSpec, result: SubjectResult) -> None:
    for name in (DECODER, GENERATE):
        peak = in_fresh_process(peak_of, wanted, name, AT_ONCE)
        if peak is None:
            return
        result.peak_memory[name] = peak
    result.memory_ratio = result.peak_memory[GENERATE] / max(1, result.peak_memory[DECODER])


@torch.no_grad()
def peak_of(wanted: ModelSpec, contender: str, batch: int) -> int | None:
    """Bytes above the loaded model that ``decoder`` or ``generate`` takes at its peak.

    Meant for a process of its own: see :func:`~hyperloader.benchmarks.timing.peak_memory`.
    """
    trial = Trial(wanted.make())
    make = trial.decoding if contender == DECODER else lambda w: generating(trial, w)
    windows = [sentence.window for sentence in trial.answered(trial.middle(batch))]
    first = make(windows[:1])
    first.prepare()
    first.run()  # what libraries set up once is not counted
    measured = make(windows)
    measured.prepare()
    return peak_memory(measured.run, trial.model.device)
