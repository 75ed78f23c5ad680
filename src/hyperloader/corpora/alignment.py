"""From spans of characters to spans of words, whatever the annotators left behind.

Spans that do not fit the words, or each other, are repaired by the rules below, and every repair
is noted: a bad span never stops a corpus and never disappears unseen. In this order:

1. White space at either end of a span is trimmed. Spans outside the text, without a visible
   character, and given twice are left out.
2. ``misaligned`` decides about a span that begins or ends inside a word. ``snap``: the span takes
   the words of which it covers at least half; if there are none, all that it touches. ``split``:
   the word is split there, so the sentence has more words. ``skip``: the span is left out.
3. ``overlap`` decides which of several spans over one word stays: the ``outermost``, the
   ``innermost`` (of spans that cross, these two keep the one on the left), or the ``longest``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

from hyperloader.types import Span

Offsets = Sequence[tuple[int, int]]


class RawSpan(NamedTuple):
    """A labelled run of characters, end exclusive."""

    start: int
    end: int
    label: str


class Repair(StrEnum):
    """What was done to a span, as the plural noun phrase that a report counts."""

    TRIMMED = "spans with white space at an end, trimmed"
    EMPTY = "spans without a word, left out"
    OUTSIDE = "spans outside the text, left out"
    TWICE = "spans given twice, kept once"
    SNAPPED = "spans that cut through a word, moved to the nearest whole words"
    SPLIT = "spans that cut through a word, which is split there"
    SKIPPED = "spans that cut through a word, left out"
    OVERLAPPED = "spans inside or across another, left out"


class Note(NamedTuple):
    """One repair, and the span as it was given."""

    repair: Repair
    span: RawSpan


class AlignmentError(ValueError):
    """A span that does not fit, where the policy is ``error``."""


@dataclass(frozen=True, slots=True)
class AlignPolicy:
    """What happens to spans that cut through words, and to spans over the same words."""

    misaligned: Literal["snap", "split", "skip", "error"] = "snap"
    overlap: Literal["outermost", "innermost", "longest", "error"] = "outermost"


@dataclass(frozen=True, slots=True)
class Aligned:
    """Spans of words, sorted and apart; the words' ``offsets`` (finer with ``split``); repairs."""

    spans: tuple[Span, ...]
    offsets: tuple[tuple[int, int], ...]
    notes: tuple[Note, ...]


class _Placed(NamedTuple):
    """A span as it was ``given``, and where it begins and ends now: in characters, or words."""

    start: int
    end: int
    given: RawSpan


_ORDER: dict[str, Callable[[_Placed], tuple[int, int]]] = {
    "outermost": lambda span: (span.start, -span.end),
    "innermost": lambda span: (span.end, -span.start),
    "longest": lambda span: (span.start - span.end, span.start),
    "error": lambda span: (span.start, -span.end),
}


def align(
    text: str,
    offsets: Offsets,
    raw: Iterable[tuple[int, int, str]],
    policy: AlignPolicy | None = None,
) -> Aligned:
    """The spans of words that ``raw`` spans of characters mean, by the rules of this module.

    Args:
        offsets: start and end of every word in characters, ascending.

    Raises:
        AlignmentError: a span that cuts through a word, or is inside or across another, where
            the policy says ``error``.
    """
    policy = policy or AlignPolicy()
    notes: list[Note] = []
    words = tuple(offsets)
    spans = _trimmed(text, raw, notes)
    if policy.misaligned == "split":
        spans = _apart(spans, policy.overlap, notes)
        words = _split(words, spans, notes)
    placed = [
        _Placed(first, end, span.given)
        for span in spans
        for first, end in _words_of(span, text, words, policy.misaligned, notes)
    ]
    kept = sorted(_apart(placed, policy.overlap, notes))
    return Aligned(
        tuple(Span(first, end, given.label) for first, end, given in kept), words, tuple(notes)
    )


def _trimmed(text: str, raw: Iterable[tuple[int, int, str]], notes: list[Note]) -> list[_Placed]:
    spans: dict[tuple[int, int, str], _Placed] = {}
    for start, end, label in raw:
        given = RawSpan(start, end, label)
        if not 0 <= start <= end <= len(text):
            notes.append(Note(Repair.OUTSIDE, given))
            continue
        inside = text[start:end]
        first = start + len(inside) - len(inside.lstrip())
        last = first + len(inside.strip())
        if first == last:
            notes.append(Note(Repair.EMPTY, given))
        elif (first, last, label) in spans:
            notes.append(Note(Repair.TWICE, given))
        else:
            spans[first, last, label] = _Placed(first, last, given)
            if (first, last) != (start, end):
                notes.append(Note(Repair.TRIMMED, given))
    return list(spans.values())


def _split(
    words: tuple[tuple[int, int], ...], spans: Sequence[_Placed], notes: list[Note]
) -> tuple[tuple[int, int], ...]:
    """The words, split wherever a span begins or ends inside one."""
    borders = {place for word in words for place in word}
    notes += [
        Note(Repair.SPLIT, span.given) for span in spans if not {span.start, span.end} <= borders
    ]
    edges = sorted({edge for span in spans for edge in (span.start, span.end)})
    finer: list[tuple[int, int]] = []
    for start, end in words:
        inside = edges[bisect_right(edges, start) : bisect_left(edges, end)]
        finer += zip([start, *inside], [*inside, end], strict=True)
    return tuple(finer)


def _words_of(
    span: _Placed,
    text: str,
    words: tuple[tuple[int, int], ...],
    misaligned: str,
    notes: list[Note],
) -> list[tuple[int, int]]:
    """The words that a span takes: first and end, or nothing where it takes none."""
    first = bisect_right(words, span.start, key=lambda word: word[1])
    end = bisect_left(words, span.end, key=lambda word: word[0])
    if first >= end:
        notes.append(Note(Repair.EMPTY, span.given))
        return []
    if words[first][0] >= span.start and words[end - 1][1] <= span.end:
        return [(first, end)]
    if misaligned == "error":
        cut = first if words[first][0] < span.start else end - 1
        raise AlignmentError(
            f"span {span.given.start}:{span.given.end} {span.given.label!r} cuts through the word "
            f"{text[slice(*words[cut])]!r}; move it to the word's edge"
        )
    if misaligned == "skip":
        notes.append(Note(Repair.SKIPPED, span.given))
        return []
    notes.append(Note(Repair.SNAPPED, span.given))
    if _share(words[first], span) < 0.5 or _share(words[end - 1], span) < 0.5:
        inner = [i for i in range(first, end) if _share(words[i], span) >= 0.5]
        if inner:
            return [(inner[0], inner[-1] + 1)]
    return [(first, end)]


def _share(word: tuple[int, int], span: _Placed) -> float:
    """How much of a word a span covers, from 0 to 1."""
    return (min(word[1], span.end) - max(word[0], span.start)) / (word[1] - word[0])


def _apart(spans: Sequence[_Placed], overlap: str, notes: list[Note]) -> list[_Placed]:
    """Those of the spans that stay, none over another."""
    kept: list[_Placed] = []  # sorted
    for span in sorted(spans, key=_ORDER[overlap]):
        place = bisect_left(kept, span.start, key=lambda other: other.end - 1)
        if place < len(kept) and kept[place].start < span.end:
            if overlap == "error":
                raise AlignmentError(
                    f"span {span.given.start}:{span.given.end} {span.given.label!r} is inside or "
                    f"across {kept[place].given.start}:{kept[place].given.end} "
                    f"{kept[place].given.label!r}; keep one of them"
                )
            notes.append(Note(Repair.OVERLAPPED, span.given))
        else:
            kept.insert(place, span)
    return kept
