"""Tagging word by word with an encoder: sub-tokens in, one BIO tag per word out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hyperloader.codec.codec import Codec, CodecConfig, task_prefixes
from hyperloader.codec.pieces import SubTokens
from hyperloader.codec.windows import EncodedWindow, Window
from hyperloader.tags import OUTSIDE, spans_to_bio
from hyperloader.types import Span
from hyperloader.word_shapes import word_shapes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# What frames a sentence: [CLS] and [SEP].
FIXED, PER_WORD = 2, 0


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The tags of a task with ``labels``: O, and B and I of each."""
    return (OUTSIDE, *(f"{prefix}-{name}" for name in labels for prefix in "BI"))


class TokenCodec(Codec[SubTokens]):
    """Words and spans to sub-tokens and tag numbers, for the labels of every task.

    A word is read by all of its sub-tokens and tagged at its first. Nothing of a label is ever
    written, so ``label_text`` has no effect. With ``task_prefix`` the source begins with the
    task's name.

    Attributes:
        tags: of each task O, and B and I of every label; a tag's number is its place.

    Args:
        tokenizer: any fast or slow tokenizer of the BERT family.
        labels: the slot types of each task.
        config: see :class:`CodecConfig`.

    Raises:
        ConfigError: a tokenizer of another kind; with ``task_prefix`` also names of tasks that
            the tokenizer writes alike, or that leave no room.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase",
        labels: Mapping[str, Sequence[str]],
        config: CodecConfig | None = None,
    ) -> None:
        config, pieces = config or CodecConfig(), SubTokens(tokenizer)
        self.prefixes = task_prefixes(pieces, labels, config, FIXED + PER_WORD)
        fixed = FIXED + max(map(len, self.prefixes.values()), default=0)
        super().__init__(
            pieces,
            labels,
            config,
            fixed=fixed,
            per_word=PER_WORD,
            max_words=config.max_source_tokens - fixed,
        )
        self.tags = {task: tag_names(names) for task, names in self.labels.items()}
        self._number = {
            task: {tag: number for number, tag in enumerate(tags)}
            for task, tags in self.tags.items()
        }

    def encode_window(
        self, words: Sequence[str], window: Window, task: str, spans: Sequence[Span] | None
    ) -> EncodedWindow:
        """See :meth:`Codec.encode_window`; the target is the number of every word's tag."""
        pieces, first = tuple(self._bounded(words)), []
        source = [self.pieces.first, *self.prefixes.get(task, ())]
        for ids in pieces:
            first.append(len(source))
            source += ids
        source.append(self.pieces.last)
        target = [] if spans is None else self._target(spans, len(words), task)
        shapes = word_shapes(words, begins=window.start == 0)
        return EncodedWindow(source, target, task, pieces, window, tuple(first), shapes)

    def _target(self, spans: Sequence[Span], length: int, task: str) -> list[int]:
        try:
            return [self._number[task][tag] for tag in spans_to_bio(spans, length)]
        except KeyError as error:
            raise self._no_label(error.args[0][2:], task) from None
