"""Cutting and stitching: what is cut and stitched again is what it was, and each rule."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.codec.windows import Window, clip, cut, stitch
from hyperloader.types import Span, check_spans
from segmentations import COSTS, SIZES, segmentations


@settings(max_examples=300)
@given(costs=COSTS, overlap=st.integers(0, 20), **SIZES)
def test_windows_cover_all_words_within_their_limits(
    costs: list[int], max_words: int, max_cost: int, overlap: int
) -> None:
    windows = cut(costs, max_words=max_words, max_cost=max_cost, overlap=overlap)
    assert windows[0].start == 0
    assert windows[-1].end == len(costs)
    for window in windows:
        words = costs[window.start : window.end]
        assert len(words) <= max_words
        assert sum(words) <= max_cost or len(words) == 1
    for before, after in pairwise(windows):
        shared = before.end - after.start
        assert before.start < after.start <= before.end < after.end
        assert shared <= min(overlap, (before.end - before.start) // 2)
        # No more than the next word needs is given up of the overlap.
        if shared < min(overlap, (before.end - before.start) // 2):
            assert sum(costs[after.start - 1 : before.end + 1]) > max_cost
    assert len(windows) == 1 or len(costs) > max_words or sum(costs) > max_cost


def test_an_empty_sentence_is_one_empty_window() -> None:
    assert cut([], max_words=3, max_cost=9, overlap=1) == [Window(0, 0)]
    assert stitch([Window(0, 0)], [[]]) == []


def test_a_long_word_behind_the_overlap_leads_to_no_window_inside_another() -> None:
    windows = cut([1] * 10 + [9] + [1], max_words=99, max_cost=10, overlap=5)
    assert windows == [(0, 10), (9, 11), (10, 12)]


@settings(max_examples=300)
@given(data=st.data(), costs=COSTS, overlap=st.integers(0, 20), **SIZES)
def test_stitched_spans_are_sorted_and_disjoint_whatever_the_windows_say(
    data: st.DataObject, costs: list[int], max_words: int, max_cost: int, overlap: int
) -> None:
    windows = cut(costs, max_words=max_words, max_cost=max_cost, overlap=overlap)
    found = [data.draw(segmentations(w.end - w.start)) for w in windows]
    stitched = stitch(windows, found)
    check_spans(stitched, len(costs))
    assert {s.label for s in stitched} <= {s.label for spans in found for s in spans}
    if all(before.end == after.start for before, after in pairwise(windows)):
        assert stitched == [
            Span(s.word_start + w.start, s.word_end + w.start, s.label)
            for w, spans in zip(windows, found, strict=True)
            for s in spans
        ]


@settings(max_examples=300)
@given(
    data=st.data(),
    length=st.integers(0, 60),
    max_words=st.integers(4, 12),
    overlap=st.integers(1, 6),
    longest=st.integers(1, 9),
)
def test_clips_of_one_segmentation_stitch_to_it(
    data: st.DataObject, length: int, max_words: int, overlap: int, longest: int
) -> None:
    # With any overlap at all a span that crosses an edge is seen on both sides of it.
    spans = data.draw(segmentations(length, longest))
    windows = cut([1] * length, max_words=max_words, max_cost=length + 1, overlap=overlap)
    stitched = stitch(windows, [clip(spans, w) for w in windows])
    assert [(s.word_start, s.word_end, s.label) for s in stitched] == [
        (s.word_start, s.word_end, s.label) for s in spans
    ]


def test_clip_keeps_the_visible_part_and_drops_the_rest() -> None:
    spans = [Span(0, 3, "a"), Span(3, 4, "b"), Span(6, 9, "c"), Span(9, 10, "d")]
    assert clip(spans, Window(2, 8)) == [Span(0, 1, "a"), Span(1, 2, "b"), Span(4, 6, "c")]
    assert clip(spans, Window(4, 6)) == []


LEFT, RIGHT = Window(0, 10), Window(6, 16)


@pytest.mark.parametrize(
    ("left", "right", "stitched"),
    [
        pytest.param([(7, 9, "a")], [], [(7, 9, "a")], id="only the left one sees it"),
        pytest.param([], [(1, 3, "a")], [], id="the left one decides inside the overlap"),
        pytest.param([(6, 8, "a")], [(0, 2, "b")], [(6, 8, "a")], id="the left label stays"),
        pytest.param([(8, 10, "a")], [(2, 6, "a")], [(8, 12, "a")], id="across the edge, whole"),
        pytest.param([(3, 10, "a")], [(0, 6, "a")], [(3, 12, "a")], id="longer than the overlap"),
        pytest.param([(8, 10, "a")], [(2, 6, "b")], [(8, 12, "b")], id="cut off: right label"),
        pytest.param([], [(2, 6, "a")], [(8, 12, "a")], id="across the edge, new to the left"),
        pytest.param(
            [(6, 9, "a")], [(2, 6, "b")], [(6, 9, "a"), (9, 12, "b")], id="left keeps what it has"
        ),
        pytest.param(
            [(8, 10, "a")], [(4, 6, "a")], [(8, 10, "a"), (10, 12, "a")], id="starts at the edge"
        ),
        pytest.param(
            [(6, 8, "a"), (8, 10, "b")],
            [(1, 5, "b")],
            [(6, 8, "a"), (8, 11, "b")],
            id="replaced one and a kept one",
        ),
    ],
)
def test_stitching_rules(
    left: list[tuple], right: list[tuple], stitched: list[tuple[int, int, str]]
) -> None:
    found = stitch([LEFT, RIGHT], [[Span(*s) for s in left], [Span(*s) for s in right]])
    assert [(s.word_start, s.word_end, s.label) for s in found] == stitched


def test_scores_stay_with_their_spans() -> None:
    found = stitch(
        [LEFT, RIGHT],
        [[Span(1, 2, "a", 0.5), Span(8, 10, "b", 0.25)], [Span(2, 5, "b", 0.75)]],
    )
    assert [s.score for s in found] == [0.5, 0.75]
