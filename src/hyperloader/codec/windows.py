"""Cutting long sentences into overlapping windows and putting their spans together again."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple, TypeAlias

from hyperloader.types import Span


class Window(NamedTuple):
    """Words ``start`` to ``end`` (exclusive) of a longer sentence."""

    start: int
    end: int


Pieces: TypeAlias = tuple[int, ...]
"""The sub-token ids of one word."""


@dataclass(frozen=True, slots=True)
class EncodedWindow:
    """One window of one sentence as token ids.

    Attributes:
        source: what the model reads.
        target: what it should answer; empty when nothing is known of it.
        task: its task.
        pieces: the sub-tokens of each of its words.
        window: where in the sentence they are.
        first: the place in ``source`` of each word's first sub-token.
        shapes: how each word is written (:mod:`hyperloader.word_shapes`).
    """

    source: list[int]
    target: list[int]
    task: str
    pieces: tuple[Pieces, ...]
    window: Window
    first: tuple[int, ...] = ()
    shapes: tuple[int, ...] = ()

    @property
    def last(self) -> tuple[int, ...]:
        """The place in ``source`` of each word's last sub-token."""
        return tuple(a + len(ids) - 1 for a, ids in zip(self.first, self.pieces, strict=True))

    @property
    def words(self) -> int:
        """How many words the window holds."""
        return len(self.pieces)


def cut(costs: Sequence[int], *, max_words: int, max_cost: int, overlap: int) -> list[Window]:
    """Windows of at most ``max_words`` words and ``max_cost`` sub-tokens that cover every word.

    Args:
        costs: sub-tokens of each word. A word that alone costs more gets a window of its own.
        overlap: words that two neighbours share at most (never more than half a window, and less
            where a long word leaves no room: every window reaches beyond the one before).
    """
    total = list(accumulate(costs, initial=0))
    windows: list[Window] = []
    start = 0
    while True:
        end = start + 1
        while (
            end < len(costs)
            and end - start < max_words
            and total[end + 1] - total[start] <= max_cost
        ):
            end += 1
        windows.append(Window(start, min(end, len(costs))))
        if end >= len(costs):
            return windows
        start = end - min(overlap, (end - start) // 2)
        while start < end and total[end + 1] - total[start] > max_cost:
            start += 1


def clip(spans: Sequence[Span], window: Window) -> list[Span]:
    """The spans inside ``window``, counted from its start; cut ones keep their visible part."""
    return [
        Span(
            max(s.word_start, window.start) - window.start,
            min(s.word_end, window.end) - window.start,
            s.label,
        )
        for s in spans
        if s.word_start < window.end and s.word_end > window.start
    ]


class Stitched(NamedTuple):
    """One sentence put together: its ``spans``, and for every word the number of the window that
    ``answers`` for it."""

    spans: list[Span]
    answers: list[int]


def stitch(windows: Sequence[Window], spans: Sequence[Sequence[Span]]) -> list[Span]:
    """The spans of :func:`stitch_words`."""
    return stitch_words(windows, spans).spans


def stitch_words(windows: Sequence[Window], spans: Sequence[Sequence[Span]]) -> Stitched:
    """Put the spans of overlapping windows (each counted from its window's start) together.

    Where two windows overlap the left one decides, since it has seen more of what comes before.
    A span that the right one sees across the left one's edge is kept whole: it takes the place of
    a left span that the edge cuts off, from its own first word on; of one label, the two are one
    span. What it has in common with other left spans is theirs.

    A span has the score of the window it was taken from; one that no window saw whole has the
    smaller score of its two parts.
    """
    stitched: list[Span] = []
    answers: list[int] = []
    edge = 0
    for number, (window, found) in enumerate(zip(windows, spans, strict=True)):
        first = edge  # the first word that this window answers for
        for span in found:
            span = Span(
                span.word_start + window.start, span.word_end + window.start, span.label, span.score
            )
            if span.word_end <= edge:
                continue
            if span.word_start < edge:
                left = stitched[-1] if stitched and stitched[-1].word_end == edge else None
                if (
                    left is not None
                    and left.label == span.label
                    and left.word_start < span.word_start
                ):
                    score = _smaller(left.score, span.score)
                    stitched[-1] = Span(left.word_start, span.word_end, span.label, score)
                    continue
                if left is not None:
                    stitched.pop()
                    if left.word_start < span.word_start:
                        stitched.append(
                            Span(left.word_start, span.word_start, left.label, left.score)
                        )
                first = max(span.word_start, stitched[-1].word_end if stitched else 0)
                span = Span(first, span.word_end, span.label, span.score)
            stitched.append(span)
        answers[first:] = [number] * (window.end - first)
        edge = window.end
    return Stitched(stitched, answers)


def _smaller(one: float | None, other: float | None) -> float | None:
    return min((score for score in (one, other) if score is not None), default=None)
