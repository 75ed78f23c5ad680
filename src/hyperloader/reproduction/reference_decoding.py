"""The published code's way from model to score, so that its numbers can be compared with.

Free greedy generation of 128 sub-tokens at most from inputs cut at 128, sentinels dropped from
the text, what is left aligned by order; the gold is cut at 128 sub-tokens too. Nothing here is
used for this project's own scores.
"""

from collections.abc import Callable, Sequence

import torch

from hyperloader.codec.batch import pad_rows
from hyperloader.errors import ConfigError
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.reproduction.reference_scoring import reference_f1
from hyperloader.types import Example, Span

MAX_LENGTH = 128


@torch.no_grad()
def reference_task_f1(
    model: TaggingModel,
    codec: SentTCodec,
    examples: Sequence[Example],
    *,
    batch_size: int = 32,
    advance: Callable[[int], None] = lambda sentences: None,
) -> float:
    """Micro F1 of one task's ``examples`` decoded, cut and scored as the published code does.

    Raises:
        ConfigError: the model writes no text.
    """
    if model.output != TaggingModel.output:
        raise ConfigError(
            f"reference scoring is for models that write text, and {model.config.method!r} has a "
            "tagging head; omit --scoring"
        )
    with evaluating(model):
        return _f1(model, codec, examples, batch_size, advance)


def _f1(
    model: TaggingModel,
    codec: SentTCodec,
    examples: Sequence[Example],
    batch_size: int,
    advance: Callable[[int], None],
) -> float:
    gold = [_text(codec, _target(codec, example)) for example in examples]
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
    return reference_f1(gold, predicted)


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
