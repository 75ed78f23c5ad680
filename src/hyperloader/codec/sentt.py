"""The SentT' format (paper, section 3.6 and Table 1): tagging as text to text.

A sentence x1 … xL becomes s0 x1 s1 … xL sL with T5's sentinels between the words, its tags
become s0 t1 s1 … tL sL with t the label at a span's first word, I inside and O outside.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from transformers import PreTrainedTokenizerBase

from hyperloader.codec.labels import LabelStyle, verbalise
from hyperloader.codec.pieces import WordPieces
from hyperloader.codec.windows import Window, cut
from hyperloader.errors import ConfigError, DataError
from hyperloader.tags import INSIDE, OUTSIDE, spans_to_sbio
from hyperloader.types import Span


class CodecConfig(BaseModel):
    """How sentences become token ids."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label_text: LabelStyle = "raw"
    max_source_tokens: int = Field(512, ge=8, description="sub-tokens of a window, all included")
    max_words: int | None = Field(None, ge=1, description="words of a window; default: sentinels-1")
    overlap: int = Field(16, ge=0, description="words that neighbouring windows share")
    truncation: Literal["window", "error"] = "window"


def sentt_text(tokens: Sequence[str]) -> str:
    """The SentT' text of ``tokens`` (words or tags), as Table 1 prints it."""
    return " ".join(
        ["<extra_id_0>", *(f"{token} <extra_id_{i}>" for i, token in enumerate(tokens, start=1))]
    )


class SentTCodec:
    """Words and spans to token ids and back, for the labels of every task.

    Args:
        tokenizer: any tokenizer of the T5 family.
        labels: the slot types of each task.
        config: see :class:`CodecConfig`.

    Raises:
        ConfigError: labels that collide with one another or with O and I, as texts or as ids.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        labels: Mapping[str, Sequence[str]],
        config: CodecConfig | None = None,
    ) -> None:
        self.config = config or CodecConfig()
        self.tokenizer = tokenizer
        self.pieces = WordPieces(tokenizer)
        self.labels = {task: tuple(names) for task, names in labels.items()}
        self.max_words = len(self.pieces.sentinels) - 1
        if self.config.max_words is not None:
            self.max_words = min(self.max_words, self.config.max_words)
        self.tag_ids = {task: self._tag_ids(task) for task in self.labels}

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

    def windows(self, words: Sequence[str], overlap: int | None = None) -> list[Window]:
        """The windows of a sentence: one unless it has too many words or sub-tokens.

        Raises:
            DataError: more than one is needed and ``truncation`` is ``error``.
        """
        windows = cut(
            [len(ids) + 1 for ids in self._bounded(words)],
            max_words=self.max_words,
            max_cost=self.config.max_source_tokens - 2,
            overlap=self.config.overlap if overlap is None else overlap,
        )
        if len(windows) > 1 and self.config.truncation == "error":
            raise DataError(
                f"a sentence of {len(words)} words does not fit one window of {self.max_words} "
                f"words and {self.config.max_source_tokens} sub-tokens (truncation: error); "
                "split it or use truncation: window"
            )
        return windows

    def encode_source(self, words: Sequence[str]) -> list[int]:
        """Token ids of s0 x1 s1 … xL sL and the end token, for the words of one window."""
        return self._interleave(self._bounded(words))

    def encode_target(self, spans: Sequence[Span], length: int, task: str) -> list[int]:
        """Token ids of s0 t1 s1 … tL sL and the end token, for a window of ``length`` words."""
        tag_ids = self.tag_ids[task]
        try:
            return self._interleave([tag_ids[tag] for tag in spans_to_sbio(spans, length)])
        except KeyError as error:
            raise DataError(
                f"task {task!r} has no label {error.args[0]!r} (known: "
                f"{', '.join(self.labels[task])}); train with the labels of all splits"
            ) from None

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

    def _bounded(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Sub-tokens of each word; of a word that no window could hold, its head and its tail."""
        limit = self.config.max_source_tokens - 3
        bounded = []
        for word, ids in zip(words, self.pieces(words), strict=True):
            if len(ids) > limit:
                if self.config.truncation == "error":
                    raise DataError(
                        f"the word {word[:20]!r}… alone has {len(ids)} sub-tokens, more than a "
                        f"window of {self.config.max_source_tokens} (truncation: error)"
                    )
                ids = ids[: (limit + 1) // 2] + ids[len(ids) - limit // 2 :]
            bounded.append(ids)
        return bounded
