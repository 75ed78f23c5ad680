"""The SentT' format (paper, section 3.6 and Table 1): tagging as text to text.

A sentence x1 … xL becomes s0 x1 s1 … xL sL with T5's sentinels between the words, its tags
become s0 t1 s1 … tL sL with t the label at a span's first word, I inside and O outside.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from hyperloader.codec.codec import Codec, CodecConfig, task_prefixes
from hyperloader.codec.labels import verbalise
from hyperloader.codec.pieces import WordPieces
from hyperloader.codec.windows import EncodedWindow, Pieces, Window
from hyperloader.errors import ConfigError
from hyperloader.tags import INSIDE, OUTSIDE, spans_to_sbio
from hyperloader.types import Span

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from hyperloader.codec.light_tokenizer import LightTokenizer

# The first sentinel and the end token; a sentinel after every word.
FIXED, PER_WORD = 2, 1


def sentt_text(tokens: Sequence[str]) -> str:
    """The SentT' text of ``tokens`` (words or tags), as Table 1 prints it."""
    return " ".join(
        ["<extra_id_0>", *(f"{token} <extra_id_{i}>" for i, token in enumerate(tokens, start=1))]
    )


class SentTCodec(Codec[WordPieces]):
    """Words and spans to token ids and back, for the labels of every task.

    Args:
        tokenizer: any tokenizer of the T5 family.
        labels: the slot types of each task.
        config: see :class:`CodecConfig`. With ``task_prefix`` the source is the task's name, as
            it is, and then the SentT' text.

    Raises:
        ConfigError: labels that collide with one another or with O and I, as texts or as ids;
            with ``task_prefix`` also names of tasks that do, or leave no room for a word.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase | LightTokenizer",
        labels: Mapping[str, Sequence[str]],
        config: CodecConfig | None = None,
    ) -> None:
        config, pieces = config or CodecConfig(), WordPieces(tokenizer)
        self.prefixes = task_prefixes(pieces, labels, config, FIXED + PER_WORD)
        super().__init__(
            pieces,
            labels,
            config,
            # Room for the longest name whatever the task, so that windows do not depend on it.
            fixed=FIXED + max(map(len, self.prefixes.values()), default=0),
            per_word=PER_WORD,
            max_words=len(pieces.sentinels) - 1,
        )
        self.tag_ids = {task: self._tag_ids(task) for task in self.labels}

    def only(self, tasks: Sequence[str]) -> "SentTCodec":
        """See :meth:`Codec.only`."""
        other = super().only(tasks)
        other.tag_ids = {task: self.tag_ids[task] for task in tasks}
        return other

    def _tag_ids(self, task: str) -> dict[str, tuple[int, ...]]:
        texts = {
            OUTSIDE: OUTSIDE,
            INSIDE: INSIDE,
            **verbalise(self.labels[task], self.config.label_text),
        }
        ids: dict[str, tuple[int, ...]] = {}
        for tag, text in texts.items():
            made = tuple(i for word in self.pieces(text.split()) for i in word)
            if made in ids.values():
                other = next(name for name, i in ids.items() if i == made)
                raise ConfigError(
                    f"task {task!r}: the tokenizer writes {other!r} and {tag!r} the same way; "
                    "rename one label or use another label_text"
                )
            ids[tag] = made
        return ids

    def encode_window(
        self, words: Sequence[str], window: Window, task: str, spans: Sequence[Span] | None
    ) -> EncodedWindow:
        """See :meth:`Codec.encode_window`."""
        target = [] if spans is None else self.encode_target(spans, len(words), task)
        pieces = tuple(self._bounded(words))
        begin = len(self.prefixes.get(task, ())) + 1
        first = tuple(accumulate((len(ids) + PER_WORD for ids in pieces), initial=begin))[:-1]
        return EncodedWindow(self._source(pieces, task), target, task, pieces, window, first)

    def encode_source(self, words: Sequence[str], task: str | None = None) -> list[int]:
        """Token ids of s0 x1 s1 … xL sL and the end token, for the words of one window.

        The task's name comes first if it is to; without a ``task`` that is a ValueError.
        """
        if task is None and self.prefixes:
            raise ValueError("the source begins with the name of the task: say which")
        return self._source(self._bounded(words), task)

    def _source(self, pieces: Sequence[Pieces], task: str | None) -> list[int]:
        prefix = self.prefixes[task] if task is not None and self.prefixes else ()
        return [*prefix, *self._interleave(pieces)]

    def encode_target(self, spans: Sequence[Span], length: int, task: str) -> list[int]:
        """Token ids of s0 t1 s1 … tL sL and the end token, for a window of ``length`` words."""
        tag_ids = self.tag_ids[task]
        try:
            return self._interleave([tag_ids[tag] for tag in spans_to_sbio(spans, length)])
        except KeyError as error:
            raise self._no_label(error.args[0], task) from None

    def decode_target(self, ids: Sequence[int], length: int, task: str) -> list[str]:
        """sBIO tags of ``length`` words from freely generated ids, aligned by sentinel.

        What stands between sentinel i-1 and the next sentinel is the tag of word i. A word whose
        sentinel is missing, or whose tag is no tag of the task, is O.
        """
        by_ids = {tag_ids: tag for tag, tag_ids in self.tag_ids[task].items()}
        number = {sentinel: i for i, sentinel in enumerate(self.pieces.sentinels)}
        tags = [OUTSIDE] * length
        word, start = None, 0
        stop = {self.pieces.eos, self.pieces.pad}
        for position, token in enumerate([*ids, self.pieces.eos]):
            if token not in number and token not in stop:
                continue
            if word is not None and word < length:
                tags[word] = by_ids.get(tuple(ids[start:position]), OUTSIDE)
            word, start = number.get(token), position + 1
        opened = False
        for i, tag in enumerate(tags):
            if tag == INSIDE and not opened:
                tags[i] = OUTSIDE
            opened = tags[i] != OUTSIDE
        return tags

    def _interleave(self, parts: Sequence[Sequence[int]]) -> list[int]:
        if len(parts) > self.max_words:
            raise ValueError(f"{len(parts)} words do not fit a window of {self.max_words}")
        ids = [self.pieces.sentinels[0]]
        for part, sentinel in zip(parts, self.pieces.sentinels[1:], strict=False):
            ids += part
            ids.append(sentinel)
        ids.append(self.pieces.eos)
        return ids
