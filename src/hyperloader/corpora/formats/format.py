"""What a file format is: a name, a way to recognise it, to read it and perhaps to write it."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hyperloader.corpora.reading.source import Source
from hyperloader.types import Example

Files = dict[str, bytes]
"""Contents by what follows the part's name: ``.conll``; ``/seq.in`` and ``/seq.out``."""


class Guess(NamedTuple):
    """How sure a format is that a file is of its kind (0 to 1), and what it goes by."""

    confidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Format:
    """A format of labelled files.

    ``extensions`` of its files; ``folder``: whether a part may be a folder of files. ``example``:
    a few lines of a file.
    ``sniff(source)`` recognises it by content, None if it is something else. ``read(source)``
    gives the sentences, raising DataError with file and line, or ValueError.
    ``write(examples)`` gives the files of one part. ``holds`` names what of a sentence comes back
    when written files are read: ``words`` (with spans of words) or only ``text`` (with spans of
    characters), or both, and ``intent``.
    """

    name: str
    description: str
    extensions: tuple[str, ...]
    example: str
    sniff: Callable[[Source], Guess | None]
    read: Callable[[Source], Sequence[Example]]
    write: Callable[[Sequence[Example]], Files] | None = None
    holds: frozenset[str] = frozenset()
    folder: bool = False


def surface(example: Example) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The text of a sentence and the places of its words; words joined by spaces if it has none."""
    if example.text is not None and example.offsets is not None:
        return example.text, example.offsets
    offsets, place = [], 0
    for word in example.words:
        offsets.append((place, place + len(word)))
        place += len(word) + 1
    return " ".join(example.words), tuple(offsets)


def character_spans(example: Example) -> list[tuple[int, int, str]]:
    """The spans of a sentence in characters of its surface: start, end (exclusive), label."""
    _, places = surface(example)
    return [
        (places[span.word_start][0], places[span.word_end - 1][1], span.label)
        for span in example.spans
    ]


def json_lines(records: Iterable[Any]) -> bytes:
    """One JSON value per line."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in records)
    return "".join(lines).encode(errors="backslashreplace")
