"""From character spans to word spans.

A mark is ``(start, end, label)`` in characters of the text, end exclusive; ``offsets`` are the
character places of the words, ascending.
"""

import re
from collections.abc import Iterable, Sequence

from hyperloader.types import Span

Mark = tuple[int, int, str]
Offsets = Sequence[tuple[int, int]]


def split_words(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Words of ``text`` between white space, and their character places."""
    found = list(re.finditer(r"\S+", text))
    return [match.group() for match in found], [match.span() for match in found]


def exact_spans(marks: Iterable[Mark], text: str, offsets: Offsets) -> list[Span]:
    """Word spans of marks that start and end at word borders (white space around is allowed).

    Raises ValueError for a mark outside the text, without a word, or that cuts through a word.
    """
    spans = []
    for start, end, label in marks:
        mark = f"span {start}:{end} {label!r}"
        if not 0 <= start < end <= len(text):
            raise ValueError(f"{mark} does not fit a text of {len(text)} characters")
        hit = [i for i, (a, b) in enumerate(offsets) if a < end and start < b]
        if not hit:
            raise ValueError(f"{mark} covers no word")
        for i, cut in ((hit[0], start), (hit[-1], end)):
            a, b = offsets[i]
            if a < cut < b:
                raise ValueError(
                    f"{mark} cuts through the word {text[a:b]!r} ({a}:{b}); "
                    "move it to the word's border or give 'tokens' that split the word"
                )
        spans.append(Span(hit[0], hit[-1] + 1, label))
    return spans


def overlap_spans(marks: Iterable[Mark], offsets: Offsets) -> tuple[list[Span], int]:
    """Word spans by the rule that gives mTOD's published tags, and how many marks have none.

    A word takes the mark it overlaps; of nested marks the outermost counts, of several over one
    word the leftmost. Marks that get no word this way are counted, not refused.
    """
    ordered = sorted(marks, key=lambda mark: (mark[0], -mark[1]))
    spans: list[Span] = []
    reach = used = 0  # characters covered, and words taken, so far
    for start, end, label in ordered:
        hit = [i for i, (a, b) in enumerate(offsets) if i >= used and a < end and start < b]
        if end > reach and hit:
            spans.append(Span(hit[0], hit[-1] + 1, label))
            reach, used = end, hit[-1] + 1
    return spans, len(ordered) - len(spans)
