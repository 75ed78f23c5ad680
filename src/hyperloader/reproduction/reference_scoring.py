"""The published code's own way from a model to F1, so that its numbers can be compared with ours.

It generates freely and greedily, at most 128 sub-tokens, from inputs cut at 128; gold is cut at 128
too. Its scorer sees the decoded text: one string of simplified-BIO tags per sentence, sentinels
dropped, tags separated by white space. Tags are aligned by their order alone, so a missing one
shifts all that follow. None of this is used for this project's own scores, which come from
`hyperloader.evaluation.metrics`; it is checked against numbers from the published code.
"""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

import torch

from hyperloader.codec.batch import pad_rows
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import ConfigError, DataError
from hyperloader.evaluation.evaluate import seen_in_training, select_examples
from hyperloader.evaluation.metrics import score_task
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tags import INSIDE, OUTSIDE, parse_tags
from hyperloader.types import Example, Span

if TYPE_CHECKING:
    from hyperloader.tagger import Tagger

MAX_LENGTH = 128


def reference_evaluation(
    tagger: "Tagger",
    corpora: Mapping[str, Corpus],
    split: str,
    batch_size: int = 32,
    advance: Callable[[str, int], None] = lambda task, sentences: None,
) -> dict[str, Any]:
    """F1 of one split of each corpus and the mean over tasks, as plain values.

    Args:
        tagger: loaded with ``tagging_only=False``, since the model has to generate.
        advance: told of every batch: the task, and how many sentences it had.

    Raises:
        ConfigError: the model writes no text.
        DataError: a corpus has no sentence in the split.
    """
    tasks: dict[str, Any] = {}
    for name, examples in select_examples(corpora, split).items():
        tagger.labels(name)
        f1 = reference_task_f1(
            tagger.model,
            tagger.codec,
            examples,
            batch_size=batch_size,
            advance=lambda n, name=name: advance(name, n),  # type: ignore[misc]
        )
        tasks[name] = {
            "sentences": len(examples),
            "reference": {"f1": f1},
            "test_in_train": seen_in_training(corpora[name], split),
        }
    mean = fmean(task["reference"]["f1"] for task in tasks.values())
    return {"tasks": tasks, "average": {"tasks": len(tasks), "reference": {"f1": mean}}}


def reference_task_f1(
    model: Any,
    codec: Any,
    examples: Sequence[Example],
    *,
    batch_size: int = 32,
    advance: Callable[[int], None] = lambda sentences: None,
) -> float:
    """Micro F1 of one task's ``examples``, decoded, cut and scored as the published code does.

    Raises:
        ConfigError: the model writes no text.
    """
    if model.output != TaggingModel.output:
        raise ConfigError(
            f"reference scoring is for models that write text, and {model.config.method!r} has a "
            "tagging head; omit --scoring"
        )
    with evaluating(model), torch.no_grad():
        predicted = _generated(model, codec, examples, batch_size, advance)
    return reference_f1([_text(codec, _target(codec, e)) for e in examples], predicted)


def _generated(
    model: TaggingModel,
    codec: SentTCodec,
    examples: Sequence[Example],
    batch_size: int,
    advance: Callable[[int], None],
) -> list[str]:
    """What the model writes for each example, as text."""
    predicted = [""] * len(examples)
    order = sorted(range(len(examples)), key=lambda i: -len(examples[i].words))
    for start in range(0, len(order), batch_size):
        chunk = order[start : start + batch_size]
        sources = [
            _cut(codec.encode_source(examples[i].words[: codec.max_words], examples[i].task))
            for i in chunk
        ]
        pad = codec.pieces.pad
        ids = pad_rows(sources, pad).to(model.device)
        out = model.generate(
            ids,
            task=examples[chunk[0]].task,
            attention_mask=(ids != pad).long(),
            max_length=MAX_LENGTH,
            do_sample=False,
            num_beams=1,
        )
        for i, row in zip(chunk, out.tolist(), strict=True):
            predicted[i] = _text(codec, row)
        advance(len(chunk))
    return predicted


def reference_f1(gold: Sequence[str], predicted: Sequence[str]) -> float:
    """Micro F1 of simplified-BIO strings, one per sentence.

    Each prediction is cut, or padded with ``O``, to the number of its sentence's gold tags. The
    published code also cuts gold at 128 sub-tokens; a caller who wants that passes cut gold.
    Without any span on either side the result is 0.0.

    Raises:
        DataError: the numbers of sentences differ or are zero.
    """
    if len(gold) != len(predicted) or not gold:
        raise DataError(
            f"{len(gold)} gold and {len(predicted)} predicted sentences; "
            "give one prediction for every gold sentence, and at least one"
        )
    truth = [sbio_to_bio(text) for text in gold]
    guess = [_fit(sbio_to_bio(text), len(t)) for text, t in zip(predicted, truth, strict=True)]
    gold_spans, spans = ([parse_tags(t, scheme="bio") for t in side] for side in (truth, guess))
    return score_task("reference", gold_spans, spans, [len(t) for t in truth]).default.f1


def sbio_to_bio(text: str) -> list[str]:
    """BIO tags of a string of simplified-BIO tags; an ``I`` without a span becomes ``O``."""
    tags: list[str] = []
    inside = OUTSIDE
    for tag in text.split():
        if tag == INSIDE:
            tags.append(inside)
        else:
            tags.append(OUTSIDE if tag == OUTSIDE else f"B-{tag}")
            inside = OUTSIDE if tag == OUTSIDE else f"I-{tag}"
    return tags


def _fit(tags: list[str], length: int) -> list[str]:
    return tags[:length] + [OUTSIDE] * (length - len(tags))


def _target(codec: SentTCodec, example: Example) -> list[int]:
    words = min(len(example.words), codec.max_words)
    known = set(codec.labels[example.task])
    spans = [
        Span(s.word_start, min(s.word_end, words), s.label)
        for s in example.spans
        if s.word_start < words and s.label in known
    ]
    return _cut(codec.encode_target(spans, words, example.task))


def _cut(ids: list[int]) -> list[int]:
    return ids if len(ids) <= MAX_LENGTH else [*ids[: MAX_LENGTH - 1], ids[-1]]


def _text(codec: SentTCodec, ids: Sequence[int]) -> str:
    """The text of ``ids``; each sentinel becomes a space, so that tags stay apart."""
    special = {*codec.pieces.sentinels, codec.pieces.pad, codec.pieces.eos}
    parts: list[list[int]] = [[]]
    for token in ids:
        if token in special:
            parts.append([])
        else:
            parts[-1].append(token)
    texts = (codec.tokenizer.decode(part).strip() for part in parts if part)
    return " ".join(text for text in texts if text)
