"""How fast decoding is: the decoder, Hugging Face ``generate`` and the floor, in one run.

The floor is one teacher-forced pass over the answer, without and with the product with the whole
vocabulary. ``generate`` runs on the same weights and makes as many tokens as the answer has, freely
and (small batches) under the grammar as a prefix constraint.
"""

import copy
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor

from hyperloader.codec.collate import Batch, EncodedWindow, collate, encode_example, encode_words
from hyperloader.codec.sentt import SentTCodec
from hyperloader.decoding.benchmark_models import Planted, Subject
from hyperloader.decoding.constraint import prefix_constraint
from hyperloader.decoding.engine import DecodedWindow, Decoder
from hyperloader.types import Example

ENOUGH_SECONDS, MOST_REPEATS = 2.0, 7
CONSTRAINED_UP_TO = 8
MIXED_BATCH = 32


@dataclass(slots=True)
class Measurement:
    """Times of one batch size.

    Attributes:
        seconds: the median time of a batch by ``decoder`` (without a memory), ``decoder warm``
            (that has read other sentences of the task), ``generate``, ``constrained generate``,
            ``pass`` and ``pass with vocabulary``.
        ratios: ``generate / decoder``, ``decoder / pass`` and the same of ``decoder warm``.
        target_tokens: of the batch's answer; ``fed`` and ``fed warm`` are how many the decoder fed
            for each of them, ``passes`` and ``passes warm`` how many passes it took.
        same_as_constrained: share of sentences that constrained generation tags alike (of a run).
        peak_memory: bytes, on CUDA only.
    """

    batch: int
    target_tokens: int
    seconds: dict[str, float] = field(default_factory=dict)
    ratios: dict[str, float] = field(default_factory=dict)
    work: dict[str, float] = field(default_factory=dict)
    same_as_constrained: float | None = None
    peak_memory: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class SubjectResult:
    """What was measured of one model.

    ``mixed_over_single`` is the time of a batch whose rows have ``mixed_tasks`` tasks over that of
    the same sentences as one task (of planted answers, which are then the same).
    """

    name: str
    parameters: int
    words_per_sentence: float
    outside_share: float
    measurements: list[Measurement]
    mixed_tasks: int = 1
    mixed_over_single: float | None = None


@dataclass(slots=True)
class BenchmarkResult:
    """A whole run."""

    device: str
    threads: int
    torch: str
    subjects: list[SubjectResult]

    def to_json(self) -> dict[str, object]:
        """Plain values for ``json.dumps``."""
        return asdict(self)


def run_benchmark(
    subjects: Sequence[Subject],
    *,
    batch_sizes: Sequence[int] = (1, 8, 32),
    generate: bool = True,
    advance: Callable[[str], None] = lambda what: None,
) -> BenchmarkResult:
    """Measure ``subjects`` (one at least), whose models are on the device in question.

    Args:
        generate: also time ``generate``, which takes most of the time.
        advance: is told what is measured next.
    """
    device = subjects[0].model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    measured = [_measure_subject(s, batch_sizes, generate, advance) for s in subjects]
    return BenchmarkResult(
        f"{device.type} ({name})", torch.get_num_threads(), torch.__version__, measured
    )


@torch.no_grad()
def _measure_subject(
    subject: Subject, batch_sizes: Sequence[int], generate: bool, advance: Callable[[str], None]
) -> SubjectResult:
    model, codec = subject.model.eval(), subject.codec
    warm, cold = Decoder(model, codec), Decoder(model, codec, learn=False)

    def decoded(windows: Sequence[EncodedWindow], decoder: Decoder) -> list[DecodedWindow]:
        batch = collate(windows, codec.pieces.pad)
        if subject.planted:
            decoder.judge = Planted(decoder.paths, codec, windows)
        return decoder.decode_batch(batch)

    advance(f"{subject.name}: {len(subject.earlier)} earlier sentences")
    earlier = _windows(subject, subject.earlier)
    for start in range(0, len(earlier), MIXED_BATCH):
        decoded(earlier[start : start + MIXED_BATCH], warm)
    windows = _windows(subject, subject.sentences)
    measurements = []
    for size in batch_sizes:
        advance(f"{subject.name}: batch {size}")
        chosen = _middle(windows, size)
        found = decoded(chosen, cold)
        warm.judge = cold.judge
        answered = [_answered(codec, w, f) for w, f in zip(chosen, found, strict=True)]
        measurements.append(_measure(warm, cold, answered, generate))
    shown = _middle(windows, MIXED_BATCH)
    words = sum(window.words for window in shown)
    spans = [span for found in decoded(shown, cold) for span in found.spans]
    result = SubjectResult(
        subject.name,
        model.parameter_counts()["total"],
        words / len(shown),
        1 - sum(span.end - span.start for span in spans) / words,
        measurements,
    )
    # The tasks of a run have other answers, of other lengths: nothing to compare.
    if subject.planted:
        result.mixed_tasks = len(subject.tasks)
        advance(f"{subject.name}: {len(subject.tasks)} tasks in one batch")
        tasks = [subject.tasks[i % len(subject.tasks)] for i in range(len(shown))]
        mixed = [
            EncodedWindow(w.source, w.target, name, w.words, w.window)
            for w, name in zip(shown, tasks, strict=True)
        ]
        one, several = (
            _median(model.device, lambda rows=rows: decoded(rows, cold))  # type: ignore[misc]
            for rows in (shown, mixed)
        )
        result.mixed_over_single = several / one
    return result


def _measure(
    warm: Decoder, cold: Decoder, answered: Sequence[EncodedWindow], generate: bool
) -> Measurement:
    """``answered`` is one batch, with the decoder's answers as its targets."""
    model, codec, device = cold.model, cold.codec, cold.model.device
    batch = _to(collate(answered, codec.pieces.pad), device)
    assert batch.labels is not None
    labels, ids = batch.labels, model.task_ids(batch.tasks)
    longest = max(len(window.target) for window in answered)
    result = Measurement(len(answered), sum(len(window.target) for window in answered))
    memory, current = warm.memory, [cold]

    def decode() -> None:
        current[0].decode_batch(batch)

    def fresh() -> None:  # every repetition sees the sentences for the first time
        warm.memory = copy.deepcopy(memory)
        current[0] = warm

    def states() -> Tensor:
        return model.decoder_states(batch.input_ids, batch.attention_mask, labels, task_ids=ids)

    def free(**more: object) -> Tensor:
        return model.generate(
            batch.input_ids,
            task=ids,
            attention_mask=batch.attention_mask,
            max_new_tokens=longest,
            min_new_tokens=longest,
            do_sample=False,
            num_beams=1,
            use_cache=True,
            **more,
        )

    for name, decoder, prepare in (
        ("decoder", cold, lambda: None),
        ("decoder warm", warm, fresh),
    ):
        suffix = name.removeprefix("decoder")
        result.seconds[name] = _timed(result, name, device, decode, prepare)
        prepare()
        decoder.work.passes = decoder.work.tokens = 0
        decode()
        result.work[f"passes{suffix}"] = decoder.work.passes
        result.work[f"fed{suffix}"] = decoder.work.tokens / result.target_tokens
    warm.memory = memory
    _timed(result, "pass", device, states)
    _timed(result, "pass with vocabulary", device, lambda: model.backbone.lm_head(states()))
    if generate:
        _timed(result, "generate", device, free)
        if len(answered) <= CONSTRAINED_UP_TO:
            allow = prefix_constraint(codec, answered)
            _timed(
                result, "constrained generate", device, lambda: free(prefix_allowed_tokens_fn=allow)
            )
        if len(answered) <= CONSTRAINED_UP_TO and cold.judge is None:
            rows = free(prefix_allowed_tokens_fn=allow).tolist()
            alike = [
                row[1 : len(w.target)] == w.target[:-1]
                for row, w in zip(rows, answered, strict=True)
            ]
            result.same_as_constrained = sum(alike) / len(alike)
    for name in ("decoder", "decoder warm"):
        result.ratios[f"{name} / pass"] = result.seconds[name] / result.seconds["pass"]
        if generate:
            result.ratios[f"generate / {name}"] = result.seconds["generate"] / result.seconds[name]
    return result


def _timed(
    result: Measurement,
    name: str,
    device: torch.device,
    run: Callable[[], object],
    prepare: Callable[[], object] = lambda: None,
) -> float:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    result.seconds[name] = _median(device, run, prepare)
    if device.type == "cuda":
        result.peak_memory[name] = torch.cuda.max_memory_allocated(device)
    return result.seconds[name]


def _median(
    device: torch.device,
    run: Callable[[], object],
    prepare: Callable[[], object] = lambda: None,
) -> float:
    """The median time of several runs after one to warm up; of one where they take long."""
    times: list[float] = []
    for _ in range(MOST_REPEATS + 1):
        prepare()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
        if sum(times) > ENOUGH_SECONDS:
            break
    return statistics.median(times[1:] or times)


def _windows(subject: Subject, sentences: Sequence[Example]) -> list[EncodedWindow]:
    """The windows of ``sentences``; with their gold targets where these are planted."""
    task = subject.tasks[0]
    if not subject.planted:
        return [w for e in sentences for w in encode_words(subject.codec, e.words, task)]
    gold = (Example(e.words, e.spans, task) for e in sentences)
    return [window for example in gold for window in encode_example(subject.codec, example)]


def _middle(windows: Sequence[EncodedWindow], size: int) -> list[EncodedWindow]:
    """``size`` windows around the median length, repeated where there are fewer."""
    ordered = sorted(windows, key=lambda window: window.words)
    start = max(0, (len(ordered) - size) // 2)
    return [ordered[(start + i) % len(ordered)] for i in range(size)]


def _answered(codec: SentTCodec, window: EncodedWindow, found: DecodedWindow) -> EncodedWindow:
    target = codec.encode_target(found.spans, window.words, window.task)
    return EncodedWindow(window.source, target, window.task, window.words, window.window)


def _to(batch: Batch, device: torch.device) -> Batch:
    assert batch.labels is not None
    return Batch(
        batch.input_ids.to(device),
        batch.attention_mask.to(device),
        batch.labels.to(device),
        batch.tasks,
        batch.words,
    )
