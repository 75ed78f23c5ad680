"""From spans of characters to spans of words."""

import re
from collections.abc import Sequence

from hyperloader.corpora.reading.source import Source
from hyperloader.types import Span

_RULES = {"whitespace": re.compile(r"\S+"), "text": re.compile(r"\w+|[^\w\s]")}


def split_words(text: str, rule: str) -> list[tuple[int, int]]:
    """The places of the words of a text."""
    return [match.span() for match in _RULES[rule].finditer(text)]


def align_marks(
    source: Source,
    line: int | None,
    text: str,
    offsets: Sequence[tuple[int, int]],
    marks: Sequence[tuple[int, int, str]],
) -> tuple[Span, ...]:
    """Spans of words; every repair is noted."""
    spans: list[Span] = []
    for start, end, label in sorted(marks, key=lambda mark: (mark[0], -mark[1])):
        hit = [i for i, (a, b) in enumerate(offsets) if a < end and start < b]
        if not hit:
            source.notes.repair("spans of white space only, which are left out", line)
        elif spans and hit[0] < spans[-1].word_end:
            source.notes.repair("spans inside or across another, which are left out", line)
        else:
            if offsets[hit[0]][0] < start or end < offsets[hit[-1]][1]:
                source.notes.repair("spans that cut a word, widened to whole words", line)
            spans.append(Span(hit[0], hit[-1] + 1, label))
    return tuple(spans)
