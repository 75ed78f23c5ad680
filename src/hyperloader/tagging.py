"""What stands around a tagger's model: texts become words, decoded words become tagged texts."""

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import TypedDict

from hyperloader.errors import HyperloaderError
from hyperloader.outputs.decoded import DecodedWindow
from hyperloader.types import TaggedSpan, TaggedText

Places = Sequence[tuple[int, int]]
_WORD = re.compile(r"\S+")


class TagOptions(TypedDict, total=False):
    """What every call that tags takes besides texts and tasks: see ``Tagger.tag``."""

    batch_size: int
    min_score: float
    alternatives: int


def check_options(batch_size: int, min_score: float, alternatives: int) -> None:
    """Raise HyperloaderError for numbers out of their range."""
    if batch_size < 1:
        raise HyperloaderError(f"a batch size of {batch_size} tags nothing; give at least 1")
    if not 0 <= min_score <= 1:
        raise HyperloaderError(
            f"a score lies in [0, 1]: {min_score} cannot be the smallest; give a number from 0 to 1"
        )
    if alternatives < 0:
        raise HyperloaderError(f"{alternatives} alternatives per word: give 0 (none) or more")


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


def word_places(text: str) -> list[tuple[int, int]]:
    """Where the words of ``text`` are, in characters (end exclusive)."""
    return [match.span() for match in _WORD.finditer(text)]


def joined_places(words: Sequence[str]) -> list[tuple[int, int]]:
    """Where ``words`` are in their text, which joins them by single spaces."""
    starts = accumulate((len(word) + 1 for word in words[:-1]), initial=0)
    return [(start, start + len(word)) for start, word in zip(starts, words, strict=False)]


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
) -> TaggedText:
    """What was ``found`` in the ``words`` of ``text``, which lie at ``places``."""
    spans = []
    for span in found.spans:
        score = 1.0 if span.score is None else span.score
        if score < min_score:
            continue
        start, end = places[span.word_start][0], places[span.word_end - 1][1]
        surface = text[start:end]
        spans.append(
            TaggedSpan(start, end, surface, span.label, score, span.word_start, span.word_end)
        )
    others = None if found.alternatives is None else tuple(found.alternatives)
    return TaggedText(text, words, tuple(places), tuple(spans), task, others)
