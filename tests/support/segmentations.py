"""Hypothesis strategies for cutting and stitching."""

from hypothesis import strategies as st

from hyperloader.types import Span


@st.composite
def segmentations(draw: st.DrawFn, length: int, longest: int = 6) -> list[Span]:
    """Any disjoint spans of ``length`` words, some of them adjacent, with labels a and b."""
    spans, at = [], 0
    while at < length:
        size = draw(st.integers(1, longest))
        end = min(length, at + size)
        label = draw(st.sampled_from(["", "a", "b"]))
        if label:
            spans.append(Span(at, end, label, draw(st.sampled_from([0.25, 0.5, 1.0]))))
        at = end
    return spans


COSTS = st.lists(st.sampled_from([1, 1, 1, 2, 3, 9]), max_size=60)
SIZES = {"max_words": st.integers(1, 12), "max_cost": st.integers(2, 20)}
