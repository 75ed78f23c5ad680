"""Tagging word by word with a BERT-family encoder: sub-tokens in, one BIO tag a word out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from hyperloader.codec.batch import IGNORED
from hyperloader.codec.codec import Codec, CodecConfig
from hyperloader.codec.pieces import SubTokens
from hyperloader.codec.windows import EncodedWindow, Window
from hyperloader.errors import ConfigError
from hyperloader.tags import OUTSIDE, spans_to_bio
from hyperloader.types import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What frames a sentence: [CLS] and [SEP].
FIXED, PER_WORD = 2, 0


class TokenCodec(Codec[SubTokens]):
    """Words and spans to sub-tokens and tag numbers, for the labels of one task.

    A word is read by all of its sub-tokens and tagged at its first. Nothing of a label is ever
    written, so ``label_text`` has no effect.

    Attributes:
        tags: O, and B and I of every label; a tag's number is its place.

    Args:
        tokenizer: any fast or slow tokenizer of the BERT family.
        labels: the slot types of the task.
        config: see :class:`CodecConfig`.

    Raises:
        ConfigError: not exactly one task, or its name is to be put before the text.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        labels: Mapping[str, Sequence[str]],
        config: CodecConfig | None = None,
    ) -> None:
        config = config or CodecConfig()
        if len(labels) != 1:
            raise ConfigError(
                f"a tagging head is for one task, not {len(labels)}: train one model a task"
            )
        if config.task_prefix:
            raise ConfigError(
                "task_prefix has no use with a tagging head, which knows one task; leave it away"
            )
        super().__init__(
            SubTokens(tokenizer),
            labels,
            config,
            fixed=FIXED,
            per_word=PER_WORD,
            max_words=config.max_source_tokens - FIXED,
        )
        ((_, names),) = self.labels.items()
        self.tags = (OUTSIDE, *(f"{prefix}-{name}" for name in names for prefix in "BI"))
        self._number = {tag: number for number, tag in enumerate(self.tags)}

    def encode_window(
        self, words: Sequence[str], window: Window, task: str, spans: Sequence[Span] | None
    ) -> EncodedWindow:
        """See :meth:`Codec.encode_window`; the target is the number of every word's tag."""
        source, first = [self.pieces.first], []
        for ids in self._bounded(words):
            first.append(len(source))
            source += ids
        source.append(self.pieces.last)
        target = [] if spans is None else self._target(spans, len(words), task)
        return EncodedWindow(source, target, task, len(words), window, tuple(first))

    def _target(self, spans: Sequence[Span], length: int, task: str) -> list[int]:
        try:
            return [self._number[tag] for tag in spans_to_bio(spans, length)]
        except KeyError as error:
            raise self._no_label(error.args[0][2:], task) from None


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """Padded windows.

    ``input_ids`` and ``attention_mask`` are (batch, source length), ``first`` (batch, words) the
    places of the words' first sub-tokens, 0 beyond a row's last word, ``labels`` (batch, words)
    tag numbers, -100 there, or None.
    """

    input_ids: Tensor
    attention_mask: Tensor
    first: Tensor
    labels: Tensor | None


def collate_tokens(windows: Sequence[EncodedWindow], pad: int) -> TokenBatch:
    """Pad ``windows`` (at least one) of a :class:`TokenCodec` to one batch.

    Rows are as long as the longest and no longer: gates see the padding.
    """
    ids, mask = ([w.source for w in windows], [[1] * len(w.source) for w in windows])
    known = all(len(w.target) == w.words for w in windows)
    return TokenBatch(
        _pad(ids, pad),
        _pad(mask, 0),
        _pad([w.first for w in windows], 0),
        _pad([w.target for w in windows], IGNORED) if known else None,
    )


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
