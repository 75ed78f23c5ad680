"""What stands around a tagger's model: texts become words, decoded words become tagged texts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Any, TypedDict, TypeVar

import torch

from hyperloader.errors import ConfigError, HyperloaderError, unknown
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.quantised import quantise
from hyperloader.outputs.decoded import DecodedWindow
from hyperloader.outputs.registry import Answering
from hyperloader.outputs.token_tags.onnx.model import OnnxTagger
from hyperloader.outputs.token_tags.zero_shot import ZeroShotTagger
from hyperloader.types import Span, TaggedSequence, TaggedSpan, TaggedText

T = TypeVar("T")
Places = Sequence[tuple[int, int]]
# Labels that are asked for: names, or names with descriptions that they are read by.
Asked = Sequence[str] | Mapping[str, str]
FEW = 8
# The task of labels that a tagger was never trained on.
ZERO_SHOT = "zero-shot"
# Of one text; memory grows with them.
MOST_SEQUENCES = 1000
PRECISIONS = ("float32", "bfloat16", "int8")


class TagOptions(TypedDict, total=False):
    """What every call that tags takes besides texts and tasks: see ``Tagger.tag``."""

    batch_size: int
    min_score: float
    alternatives: int
    sequences: int


def check_options(batch_size: int, min_score: float, alternatives: int, sequences: int = 0) -> None:
    """Raise HyperloaderError for numbers out of their range."""
    if batch_size < 1:
        raise HyperloaderError(f"a batch size of {batch_size} tags nothing; give at least 1")
    if not 0 <= min_score <= 1:
        raise HyperloaderError(
            f"a score lies in [0, 1]: {min_score} cannot be the smallest; give a number from 0 to 1"
        )
    if alternatives < 0:
        raise HyperloaderError(f"{alternatives} alternatives per word: give 0 (none) or more")
    if not 0 <= sequences <= MOST_SEQUENCES:
        raise HyperloaderError(
            f"{sequences} sequences per text: give 0 (none) to {MOST_SEQUENCES:,}"
        )


def check_precision(name: str, known: Iterable[str] = PRECISIONS) -> None:
    """Raise ConfigError for an unknown precision."""
    if name not in known:
        raise ConfigError(unknown("precision", name, known))


def whole(model: Answering) -> AttachedModel:
    """``model`` with its parameters. Raises ConfigError for one in ONNX, which has none."""
    if isinstance(model, OnnxTagger):
        raise ConfigError(
            "a tagger in ONNX tags and does nothing else; use the checkpoint that it was exported "
            "from"
        )
    if isinstance(model, ZeroShotTagger):
        raise ConfigError(
            "a tagger for other labels tags and does nothing else; save the one that it was made of"
        )
    return model


def place(model: Answering, device: str | None, precision: str) -> None:
    """Bring ``model`` to a device, and let it compute in float32, bfloat16 or int8.

    Raises:
        HyperloaderError: the device cannot be used.
        ConfigError: no such precision, or int8 where it cannot be.
    """
    check_precision(precision)
    if isinstance(model, OnnxTagger):
        if device not in (None, "cpu"):
            raise HyperloaderError(
                f"a tagger in ONNX runs on the CPU, not on {device!r}; leave the device out, or "
                "use the checkpoint that it was exported from"
            )
        if precision != "float32":
            raise ConfigError(
                f"the precision of a tagger in ONNX is chosen when it is exported (this one is in "
                f"{model.about.precision}); leave {precision!r} out here"
            )
        return
    if device is not None:
        try:
            model.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise HyperloaderError(
                f"the device {device!r} cannot be used: {reason}; try cpu"
            ) from error
    if precision == "bfloat16":
        model.to(torch.bfloat16)
    elif precision == "int8":
        quantise(whole(model))


def known_task(task: str | None, tasks: Sequence[str]) -> str:
    """``task``, or the only one of ``tasks``. Raises HyperloaderError for an unknown one."""
    if task is None:
        if len(tasks) > 1:
            raise HyperloaderError(f"give a task (one of: {', '.join(tasks)})")
        return tasks[0]
    if task not in tasks:
        raise HyperloaderError(unknown("task", task, tasks))
    return task


def in_step(
    texts: Iterable[T], tasks: Iterable[str], size: int
) -> Iterator[tuple[list[T], list[str]]]:
    """``size`` texts at a time with as many tasks.

    Raises:
        HyperloaderError: the tasks end before the texts do.
    """
    rest, names = iter(texts), iter(tasks)
    while some := list(islice(rest, size)):
        chosen = list(islice(names, len(some)))
        if len(chosen) < len(some):
            raise HyperloaderError("the tasks end before the texts do: give one per text")
        yield some, chosen


def check_labels(labels: Asked) -> dict[str, str]:
    """What each of ``labels`` is read by: the description that it is mapped to, or its own text.

    Raises HyperloaderError where they are none, or two have one description.
    """
    if isinstance(labels, str):
        raise HyperloaderError("labels are a list of names, not one string; give a list")
    pairs = labels.items() if isinstance(labels, Mapping) else [(one, one) for one in labels]
    texts: dict[str, str] = {}
    for i, (label, text) in enumerate(pairs):
        for given, what in ((label, f"label {i}"), (text, f"what describes label {i}")):
            check_text(given, what)
            if not given.strip():
                raise HyperloaderError(f"{what} is blank; give it a text")
        same = next((other for other in texts if texts[other] == text and other != label), None)
        if same is not None:
            raise HyperloaderError(f"{same!r} and {label!r} have one description; tell them apart")
        texts[label] = text
    if not texts:
        raise HyperloaderError("no labels are asked for; give at least one, or leave them out")
    return texts


def check_count(texts: int, tasks: int) -> None:
    """Raise HyperloaderError unless there is a task for each text."""
    if texts != tasks:
        raise HyperloaderError(f"{texts} texts but {tasks} tasks: give one per text")


def shown(tasks: Sequence[str]) -> str:
    """The first few of ``tasks``, and how many more there are."""
    names = list(tasks[:FEW])
    if len(tasks) > FEW:
        names.append(f"and {len(tasks) - FEW} more")
    return ", ".join(names)


def check_text(text: object, what: str) -> None:
    """Raise HyperloaderError unless ``text`` is a string of whole characters."""
    if not isinstance(text, str):
        hint = "; decode it first" if isinstance(text, bytes) else ""
        raise HyperloaderError(f"{what} is not a string but of type {type(text).__name__}{hint}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise HyperloaderError(
            f"{what} is not valid Unicode at character {error.start} (a lone surrogate); "
            "decode it as UTF-8"
        ) from error


def joined_places(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where ``words`` are in their text, which joins them by single spaces."""
    starts = accumulate((len(word) + 1 for word in words[:-1]), initial=0)
    return [(start, start + len(word)) for start, word in zip(starts, words, strict=False)]


def map_rows(
    tag: Callable[..., Any],
    task: str,
    text_column: str,
    column: str,
    options: TagOptions,
    rows: Mapping[str, Any],
) -> dict[str, Any]:
    """The ``column`` of spans of ``rows``: one row, or columns of many; see ``map_function``."""
    if text_column not in rows:
        raise HyperloaderError(unknown("column", text_column, rows))
    texts = rows[text_column]
    found = tag(texts, task, **options)
    if isinstance(texts, str):
        return {column: span_records(found)}
    return {column: [span_records(tagged) for tagged in found]}


def span_records(tagged: TaggedText) -> list[dict[str, Any]]:
    """The spans of a text with what a table needs of them."""
    fields = ("start", "end", "text", "label", "score")
    return [{name: getattr(span, name) for name in fields} for span in tagged.spans]


def check_words(sentences: Sequence[Sequence[str]]) -> None:
    """Raise HyperloaderError unless ``sentences`` are sequences of words that are not empty."""
    for i, sentence in enumerate(sentences):
        if isinstance(sentence, str):
            raise HyperloaderError(f"sentence {i} is a string; give a list of words, or use tag")
        for j, word in enumerate(sentence):
            check_text(word, f"word {j} of sentence {i}")
            if not word:
                raise HyperloaderError(f"word {j} of sentence {i} is empty; leave it out")


def tagged_text(
    text: str,
    words: tuple[str, ...],
    places: Places,
    task: str,
    found: DecodedWindow,
    min_score: float,
    cut: frozenset[str] = frozenset(),
    *,
    zero_shot: bool = False,
) -> TaggedText:
    """What was ``found`` in the ``words`` of ``text``, which lie at ``places``.

    Words in ``cut`` are cut off both ends of spans; a span of nothing else stays.
    """

    def tagged(span: Span) -> TaggedSpan:
        score = 1.0 if span.score is None else span.score
        first, behind = trimmed(words, span.word_start, span.word_end, cut)
        start, end = places[first][0], places[behind - 1][1]
        return TaggedSpan(start, end, text[start:end], span.label, score, first, behind)

    spans = tuple(span for span in map(tagged, found.spans) if span.score >= min_score)
    others = None if found.alternatives is None else tuple(found.alternatives)
    whole = found.sequences and tuple(
        TaggedSequence(tuple(map(tagged, one.spans)), one.probability) for one in found.sequences
    )
    return TaggedText(text, words, tuple(places), spans, task, others, whole or None, zero_shot)


def trimmed(words: Sequence[str], start: int, end: int, cut: frozenset[str]) -> tuple[int, int]:
    """The span ``start`` to ``end`` (exclusive) of ``words`` without those in ``cut`` at its ends;
    one of nothing else stays."""
    kept = [i for i in range(start, end) if words[i] not in cut]
    return (kept[0], kept[-1] + 1) if kept else (start, end)
