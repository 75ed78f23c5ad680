"""From characters to words: every span is used or noted, and by the documented rule."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.corpora.alignment import (
    Aligned,
    AlignmentError,
    AlignPolicy,
    Note,
    RawSpan,
    Repair,
    align,
)
from hyperloader.words import split_words

TEXT = "Go to New York-based Paris. now"
#       0  3  6   10        21    26 28


def aligned(*raw: tuple[int, int, str], words: str = "whitespace", **policy: str) -> Aligned:
    return align(TEXT, split_words(TEXT, words), raw, AlignPolicy(**policy))  # type: ignore[arg-type]


def found(result: Aligned) -> list[tuple[str, str]]:
    """The texts of the spans with their labels."""
    return [
        (TEXT[result.offsets[s.word_start][0] : result.offsets[s.word_end - 1][1]], s.label)
        for s in result.spans
    ]


def repairs(result: Aligned) -> list[Repair]:
    return [note.repair for note in result.notes]


def test_spans_at_the_words_edges_need_no_repair() -> None:
    result = aligned((3, 20, "x"), (28, 31, "y"))
    assert found(result) == [("to New York-based", "x"), ("now", "y")]
    assert result.notes == ()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ((21, 26), "Paris."),  # without the full stop
        ((22, 27), "Paris."),
        ((3, 8), "to New"),  # into the next word, by more than half of it
        ((3, 7), "to"),  # by less
        ((4, 9), "to New"),  # half of a word is enough
        ((5, 7), "New"),  # a blank, which is trimmed, and less than half of the only word
        ((12, 13), "York-based"),
    ],
)
def test_a_span_snaps_to_the_words_that_it_covers_half_of(
    raw: tuple[int, int], expected: str
) -> None:
    result = aligned((*raw, "x"))
    assert found(result) == [(expected, "x")]
    assert result.notes[-1] == Note(Repair.SNAPPED, RawSpan(*raw, "x"))


def test_a_word_is_split_where_a_span_cuts_it() -> None:
    result = aligned((6, 14, "city"), (21, 26, "city"), misaligned="split")
    assert found(result) == [("New York", "city"), ("Paris", "city")]
    words = [TEXT[a:b] for a, b in result.offsets]
    assert words == ["Go", "to", "New", "York", "-based", "Paris", ".", "now"]
    assert repairs(result) == [Repair.SPLIT, Repair.SPLIT]


def test_no_word_is_split_for_a_span_that_is_left_out() -> None:
    result = aligned((6, 20, "place"), (6, 14, "city"), misaligned="split")
    assert found(result) == [("New York-based", "place")]
    assert list(result.offsets) == split_words(TEXT)
    assert repairs(result) == [Repair.OVERLAPPED]


def test_a_misaligned_span_can_be_left_out_or_refused() -> None:
    result = aligned((6, 14, "city"), (28, 31, "x"), misaligned="skip")
    assert found(result) == [("now", "x")]
    assert result.notes == (Note(Repair.SKIPPED, RawSpan(6, 14, "city")),)
    with pytest.raises(AlignmentError, match="6:14 'city' cuts through the word 'York-based'"):
        aligned((6, 14, "city"), misaligned="error")


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [("outermost", "acf"), ("innermost", "bdegf"), ("longest", "adegf")],
)
def test_which_of_overlapping_spans_stays(overlap: str, expected: str) -> None:
    text = "0123456789abcdef"
    offsets = [(i, i + 1) for i in range(16)]
    raw = [
        *((0, 3, "a"), (1, 2, "b")),  # nested
        *((5, 8, "c"), (5, 6, "d"), (6, 7, "e"), (7, 12, "g")),  # two in c, and g across it
        (13, 14, "f"),
    ]
    result = align(text, offsets, raw, AlignPolicy(overlap=overlap))  # type: ignore[arg-type]
    assert "".join(span.label for span in result.spans) == expected
    assert len(result.spans) + repairs(result).count(Repair.OVERLAPPED) == len(raw)


def test_overlap_can_be_refused() -> None:
    with pytest.raises(AlignmentError, match="6:9 'b' is inside or across 3:9 'a'"):
        aligned((6, 9, "b"), (3, 9, "a"), overlap="error")


def test_what_cannot_be_a_span_is_noted() -> None:
    raw = [(5, 6, "blank"), (3, 3, "empty"), (28, 99, "far"), (-2, 4, "far"), (4, 3, "far")]
    result = aligned(*raw, (2, 6, "x"), (3, 5, "x"))
    assert found(result) == [("to", "x")]
    assert repairs(result) == [
        *(Repair.EMPTY, Repair.EMPTY, Repair.OUTSIDE, Repair.OUTSIDE, Repair.OUTSIDE),
        *(Repair.TRIMMED, Repair.TWICE),
    ]


def test_spans_beside_the_tokens_that_a_file_gives_have_no_word() -> None:
    result = align("a b c", [(0, 1), (4, 5)], [(2, 3, "x")])
    assert (result.spans, repairs(result)) == ((), [Repair.EMPTY])


RAW = st.lists(
    st.tuples(st.integers(-2, 45), st.integers(-2, 45), st.sampled_from("ABC")), max_size=8
)
POLICIES = st.builds(
    AlignPolicy,
    st.sampled_from(["snap", "split", "skip"]),
    st.sampled_from(["outermost", "innermost", "longest"]),
)
LEFT_OUT = {Repair.EMPTY, Repair.OUTSIDE, Repair.TWICE, Repair.SKIPPED, Repair.OVERLAPPED}


@given(text=st.text("ab. -'\n", max_size=40), raw=RAW, policy=POLICIES, rule=st.booleans())
def test_every_span_is_used_or_noted(
    text: str, raw: list[tuple[int, int, str]], policy: AlignPolicy, rule: bool
) -> None:
    offsets = split_words(text, "text" if rule else "whitespace")
    result = align(text, offsets, raw, policy)
    lost = [note for note in result.notes if note.repair in LEFT_OUT]
    assert len(result.spans) + len(lost) == len(raw)
    assert all(a.word_end <= b.word_start for a, b in pairwise(result.spans))
    assert all(span.word_end <= len(result.offsets) for span in result.spans)
    covered = [i for a, b in result.offsets for i in range(a, b)]
    assert covered == [i for a, b in offsets for i in range(a, b)]
    if policy.misaligned != "split":
        assert list(result.offsets) == offsets


@given(data=st.data(), text=st.text("ab. -'", min_size=1, max_size=40), policy=POLICIES)
def test_spans_of_whole_words_come_back_as_they_are(
    data: st.DataObject, text: str, policy: AlignPolicy
) -> None:
    offsets = split_words(text, "text")
    borders = sorted(data.draw(st.sets(st.integers(0, len(offsets)), max_size=8)))
    spans = [(a, b, f"{a}") for a, b in pairwise(borders)]
    raw = [(offsets[a][0], offsets[b - 1][1], label) for a, b, label in spans]
    result = align(text, offsets, reversed(raw), policy)
    assert [(s.word_start, s.word_end, s.label) for s in result.spans] == spans
    assert result.notes == ()


@given(text=st.text("ab. -", min_size=1, max_size=40), raw=RAW)
def test_a_split_span_covers_exactly_its_visible_text(
    text: str, raw: list[tuple[int, int, str]]
) -> None:
    """What it covered as given, white space at its ends aside."""
    result = align(text, split_words(text), raw, AlignPolicy("split"))
    given_texts = {(text[max(a, 0) : max(b, 0)].strip(), label) for a, b, label in raw}
    for span in result.spans:
        start, end = result.offsets[span.word_start][0], result.offsets[span.word_end - 1][1]
        assert (text[start:end], span.label) in given_texts
