"""Checked sentences: from words with spans of words, and from text with spans of characters."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

from hyperloader.corpora.alignment import Aligned, AlignPolicy, align
from hyperloader.corpora.reading.source import Source
from hyperloader.types import Example, Span
from hyperloader.words import split_words

Offsets = Sequence[tuple[int, int]]


class Mark(NamedTuple):
    """A labelled run of characters; ``copy`` is the text that the file says it is, if any."""

    start: int
    end: int
    label: str
    copy: str | None = None


class WordError(ValueError):
    """A word that is empty or has white space; ``index`` is its place in the sentence."""

    def __init__(self, index: int, word: str):
        super().__init__(f"{word!r} is not one word: a word is not empty and has no white space")
        self.index = index


def sentence(
    words: Sequence[str],
    spans: Sequence[Span],
    task: str,
    *,
    text: str | None = None,
    offsets: Offsets | None = None,
    intent: str | None = None,
) -> Example:
    """An Example whose parts are checked. Raises ValueError: the caller knows file and line."""
    if not words:
        raise ValueError("a sentence without words")
    joined = " ".join(words)
    joined.encode()  # a UnicodeEncodeError, which is a ValueError, for half of a character
    if joined.split() != list(words):
        raise next(WordError(i, word) for i, word in enumerate(words) if word.split() != [word])
    for span in spans:
        check_label(span.label)
    places = None if offsets is None else tuple(offsets)
    ordered = tuple(sorted(spans))
    return Example(tuple(words), ordered, task, text=text, offsets=places, intent=intent or None)


def check_label(label: str) -> None:
    """Raise ValueError for a label that tags could not tell from the outside or inside of spans."""
    if not label.strip():
        raise ValueError("a span without a label")
    if label in ("O", "I"):
        raise ValueError(f"a label may not be named {label!r}, which tags use; rename the label")


def marked_sentence(
    source: Source,
    line: int | None,
    text: str,
    marks: Iterable[Mark],
    *,
    offsets: Offsets | None = None,
    intent: str | None = None,
    units: Literal["characters", "utf-16"] = "characters",
) -> Example | None:
    """The sentence of a text with spans of characters; None, and noted, where it has no word.

    ``offsets``: the places of its words, found by ``source.options.words`` when not given.
    ``units``: what the marks count where neither a copy nor the options say it. Spans that do not
    fit words or each other are repaired and noted. Raises ValueError for a span outside the text
    or whose copy is another text.
    """
    if offsets is None:
        offsets = split_words(text, source.options.words)
    if not offsets:
        source.notes.add("records without a word, which are left out", line)
        return None
    raw = [_located(source, line, text, mark, source.options.units or units) for mark in marks]
    aligned = _aligned(source, line, text, offsets, raw)
    words = [text[start:end] for start, end in aligned.offsets]
    return sentence(
        words, aligned.spans, source.task, text=text, offsets=aligned.offsets, intent=intent
    )


def nested_sentence(
    source: Source, line: int | None, words: Sequence[str], spans: Iterable[tuple[int, int, str]]
) -> Example:
    """The sentence of words with spans of words (end exclusive) that may overlap."""
    joined = " ".join(words)
    offsets, place = [], 0
    for word in words:
        offsets.append((place, place + len(word)))
        place += len(word) + 1
    raw = []
    for start, end, label in spans:
        check_label(label)
        if not 0 <= start < end <= len(words):
            raise ValueError(f"span {start}:{end} {label!r} does not fit {len(words)} words")
        raw.append((offsets[start][0], offsets[end - 1][1], label))
    return sentence(words, _aligned(source, line, joined, offsets, raw).spans, source.task)


def _aligned(
    source: Source,
    line: int | None,
    text: str,
    offsets: Offsets,
    raw: Sequence[tuple[int, int, str]],
) -> Aligned:
    """Spans of words by the reading options, every repair noted. Raises ValueError if strict."""
    options = source.options
    if options.strict:
        policy = AlignPolicy("error", "error")
    else:
        policy = AlignPolicy(options.misaligned, options.overlap)
    aligned = align(text, offsets, raw, policy)
    for note in aligned.notes:
        source.notes.repair(note.repair.value, line)
    return aligned


def token_places(text: str, tokens: Iterable[tuple[int, int]]) -> Offsets:
    """The places of tokens that are words (not white space only). ValueError if out of order."""
    places = [(start, end) for start, end in tokens if text[start:end].strip()]
    check_places(places, len(text))
    return places


def check_places(places: Offsets, length: int) -> None:
    """Raise ValueError unless the places ascend inside a text of ``length`` characters."""
    borders = [0, *(border for place in places for border in place), length]
    if borders != sorted(borders) or any(start == end for start, end in places):
        raise ValueError(f"word places do not ascend inside a text of {length} characters")


def _located(
    source: Source, line: int | None, text: str, mark: Mark, units: str
) -> tuple[int, int, str]:
    """A mark in characters, by whichever way of counting gives the copy of its text."""
    check_label(mark.label)
    where = f"{mark.start}:{mark.end}"
    wide = any(char > "\uffff" for char in text)
    if wide and mark.copy is None and source.options.units is None:
        source.notes.add(
            "spans with no copy of their text beside characters beyond U+FFFF, taken to count "
            f"{_NAMES[units]} (reading option 'units')",
            line,
        )
    for counted, borders in _ways_of_counting(text, units, wide):
        try:
            start, end = borders.index(mark.start), len(borders) - 1 - borders[::-1].index(mark.end)
        except ValueError:
            continue
        if mark.copy is not None and not _same(text[start:end], mark.copy):
            continue
        if not start < end:
            raise ValueError(f"span {where} {mark.label!r} is empty; remove it")
        if counted != _NAMES[units]:
            source.notes.add(f"spans whose offsets count {counted}, as their texts show", line)
        return start, end, mark.label
    if mark.copy is not None and 0 <= mark.start < mark.end <= len(text):
        raise ValueError(
            f"the text at {where} is not {mark.copy!r}: offsets differ; export the file again, or "
            "remove the span"
        )
    raise ValueError(
        f"span {where} {mark.label!r} does not fit a text of {len(text)} characters; correct its "
        "offsets"
    )


_NAMES = {"characters": "characters", "utf-16": "UTF-16 units"}


def _ways_of_counting(text: str, units: str, wide: bool) -> Iterable[tuple[str, Sequence[int]]]:
    """Ways in which offsets may count, the likelier first, and the offsets of all borders."""
    if not wide:
        yield _NAMES[units], range(len(text) + 1)
    else:
        for name in sorted(_NAMES, key=lambda name: name != units):
            yield _NAMES[name], _borders(text, wide=name == "utf-16")
    if "\r\n" in text:
        yield "a Windows line end as one character", _borders(text, crlf=True)
        if wide:
            yield "a Windows line end as one UTF-16 unit", _borders(text, wide=True, crlf=True)


def _borders(text: str, wide: bool = False, crlf: bool = False) -> list[int]:
    borders = [0]
    for char, after in pairwise(text + "\0"):
        size = 2 if wide and char > "\uffff" else 0 if crlf and char + after == "\r\n" else 1
        borders.append(borders[-1] + size)
    return borders


def _same(found: str, copy: str) -> bool:
    return found == copy or found.replace("\r\n", "\n") == copy.replace("\r\n", "\n")
