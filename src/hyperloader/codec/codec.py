"""What every codec does: it cuts a sentence into windows that hold all of its words."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from hyperloader.codec.labels import LabelStyle
from hyperloader.codec.pieces import Pieces
from hyperloader.codec.windows import EncodedWindow, Window, cut
from hyperloader.errors import ConfigError, DataError
from hyperloader.types import Span
from hyperloader.words import WordRule

P = TypeVar("P", bound=Pieces)


class CodecConfig(BaseModel):
    """How sentences become token ids."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label_text: LabelStyle = "raw"
    task_prefix: bool = Field(
        False, description="whether the source begins with the task's name; default: the method's"
    )
    max_source_tokens: int = Field(512, ge=8, description="sub-tokens of a window, all included")
    max_words: int | None = Field(None, ge=1, description="words of a window; default: sentinels-1")
    overlap: int = Field(16, ge=0, description="words that neighbouring windows share")
    truncation: Literal["window", "error"] = "window"
    words: WordRule = Field(
        "whitespace", description="how raw text is split into words (docs/words.md)"
    )
    marks: dict[str, tuple[str, ...]] | None = Field(
        None,
        description="of each task the sentence marks at which its spans begin or end; other marks "
        "are cut off the spans of raw text; default: those of the training spans",
    )


class Codec(ABC, Generic[P]):
    """Words and spans to token ids, for the labels of every task.

    Args:
        pieces: the sub-tokens of words.
        labels: the slot types of each task.
        config: see :class:`CodecConfig`.
        fixed: sub-tokens that every window needs besides those of its words.
        per_word: sub-tokens that every word needs besides its own.
        max_words: of a window, whatever ``config`` says.
    """

    def __init__(
        self,
        pieces: P,
        labels: Mapping[str, Sequence[str]],
        config: CodecConfig,
        *,
        fixed: int,
        per_word: int,
        max_words: int,
    ) -> None:
        self.config, self.pieces, self.tokenizer = config, pieces, pieces.tokenizer
        self.labels = {task: tuple(names) for task, names in labels.items()}
        self.max_words = max_words
        if config.max_words is not None:
            self.max_words = min(max_words, config.max_words)
        self._room, self._per_word = config.max_source_tokens - fixed, per_word

    @abstractmethod
    def encode_window(
        self, words: Sequence[str], window: Window, task: str, spans: Sequence[Span] | None
    ) -> EncodedWindow:
        """The words of one ``window`` of a sentence as ids, with the answer if it is known.

        Args:
            words: those of the window.
            spans: counted from the window's first word; None: not known.

        Raises:
            DataError: a span has a label that the task has not.
        """

    def only(self, tasks: Sequence[str]) -> Self:
        """The same codec for some of its tasks."""
        other = copy.copy(self)
        other.labels = {task: self.labels[task] for task in tasks}
        return other

    def windows(self, words: Sequence[str], overlap: int | None = None) -> list[Window]:
        """The windows of a sentence: one unless it has too many words or sub-tokens.

        Raises:
            DataError: more than one is needed and ``truncation`` is ``error``.
        """
        windows = cut(
            [len(ids) + self._per_word for ids in self._bounded(words)],
            max_words=self.max_words,
            max_cost=self._room,
            overlap=self.config.overlap if overlap is None else overlap,
        )
        if len(windows) > 1 and self.config.truncation == "error":
            raise DataError(
                f"a sentence of {len(words)} words does not fit one window of {self.max_words} "
                f"words and {self.config.max_source_tokens} sub-tokens (truncation: error); "
                "split it or use truncation: window"
            )
        return windows

    def _bounded(self, words: Sequence[str]) -> list[tuple[int, ...]]:
        """Sub-tokens of each word; of a word that no window could hold, its head and its tail."""
        limit = self._room - self._per_word
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

    def _no_label(self, label: str, task: str) -> DataError:
        return DataError(
            f"task {task!r} has no label {label!r} (known: {', '.join(self.labels[task])}); "
            "train with the labels of all splits"
        )


def task_prefixes(
    pieces: Pieces, tasks: Iterable[str], config: CodecConfig, needed: int
) -> dict[str, tuple[int, ...]]:
    """The ids of every task's name, where sources begin with it.

    ``needed`` is how many sub-tokens a window of one word takes besides the word's own.

    Raises:
        ConfigError: two names that the tokenizer writes alike, or one that leaves no room.
    """
    if not config.task_prefix:
        return {}
    prefixes: dict[str, tuple[int, ...]] = {}
    for task in tasks:
        (ids,) = pieces([task])
        if ids in prefixes.values():
            other = next(name for name, made in prefixes.items() if made == ids)
            raise ConfigError(
                f"the tokenizer writes the tasks {other!r} and {task!r} the same way, and the "
                "source has to name them (task_prefix); rename one"
            )
        if len(ids) + needed >= config.max_source_tokens:
            raise ConfigError(
                f"the name of task {task!r} has {len(ids)} sub-tokens and leaves no room for a "
                f"word in max_source_tokens {config.max_source_tokens}; raise it or rename the task"
            )
        prefixes[task] = ids
    return prefixes
