"""Tagging schemes: round trips, the published corpora, and seqeval's answer to odd tags."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Tokens

from hyperloader.tags import (
    SCHEMES,
    TagError,
    detect_scheme,
    parse_tags,
    sbio_to_spans,
    spans_to_bio,
    spans_to_sbio,
    strict_spans,
)
from hyperloader.types import Span

LABELS = ("a", "b-c", "fromloc.city_name", "x/y", "Ü")
ODD = {"mtod/train": [1308], "mtod/test": [305, 1433]}


@st.composite
def tagged(draw: st.DrawFn) -> tuple[tuple[Span, ...], int]:
    """Disjoint spans, often adjacent and of the same label, and the number of words."""
    spans, place = [], 0
    for gap, size, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(LABELS)))
    ):
        spans.append(Span(place + gap, place + gap + size, label))
        place += gap + size
    return tuple(spans), place + draw(st.integers(0, 2))


def letters_of(spans: tuple[Span, ...], length: int, single: str, last: str) -> list[str]:
    tags = spans_to_bio(spans, length)
    for span in spans:
        if span.word_end - span.word_start == 1:
            tags[span.word_start] = f"{single}-{span.label}"
        else:
            tags[span.word_end - 1] = f"{last}-{span.label}"
    return tags


def iob1_of(spans: tuple[Span, ...], length: int) -> list[str]:
    tags = spans_to_bio(spans, length)
    follows = {(span.word_end, span.label) for span in spans}
    for span in spans:
        if (span.word_start, span.label) not in follows:
            tags[span.word_start] = f"I-{span.label}"
    return tags


@given(tagged(), st.sampled_from(("bio", "iob1", "bilou", "bioes")))
def test_every_scheme_round_trips(case: tuple[tuple[Span, ...], int], scheme: str) -> None:
    spans, length = case
    tags = {
        "bio": spans_to_bio(spans, length),
        "iob1": iob1_of(spans, length),
        "bilou": letters_of(spans, length, "U", "L"),
        "bioes": letters_of(spans, length, "S", "E"),
    }[scheme]
    assert parse_tags(tags, scheme=scheme) == spans
    assert parse_tags(tags) == spans
    if spans and scheme != "bio":
        assert detect_scheme([tags]) == scheme


@given(tagged())
def test_simplified_bio_round_trips(case: tuple[tuple[Span, ...], int]) -> None:
    spans, length = case
    assert sbio_to_spans(spans_to_sbio(spans, length)) == spans


@pytest.mark.parametrize("prefixes", ["BI", "BIES"])
@given(data=st.data())
def test_any_sequence_reads_as_seqeval_reads_it(prefixes: str, data: st.DataObject) -> None:
    tag = st.sampled_from(["O", *(f"{p}-{label}" for p in prefixes for label in LABELS)])
    tags = data.draw(st.lists(tag, max_size=12))
    expected = [Span(start, end + 1, label) for label, start, end in get_entities(tags)]
    assert list(parse_tags(tags)) == sorted(expected)


@pytest.mark.parametrize(
    ("scheme", "prefixes", "theirs"),
    [("bio", "BI", IOB2), ("bioes", "BIES", IOBES), ("bilou", "BILU", BILOU)],
)
@given(data=st.data())
def test_strict_reading_is_seqevals(
    scheme: str, prefixes: str, theirs: type, data: st.DataObject
) -> None:
    tag = st.sampled_from(["O", *(f"{p}-{label}" for p in prefixes for label in ("a", "b"))])
    tags = data.draw(st.lists(tag, max_size=12))
    expected = [Span(e.start, e.end, e.tag) for e in Tokens(tags, theirs).entities]
    assert list(strict_spans(tags, scheme=scheme)) == expected


@given(tagged(), st.sampled_from(("bio", "iob1", "bilou", "bioes")))
def test_well_formed_tags_read_the_same_strictly(
    case: tuple[tuple[Span, ...], int], scheme: str
) -> None:
    spans, length = case
    single, last = {"bilou": "UL", "bioes": "SE"}.get(scheme, "BI")
    tags = iob1_of(spans, length) if scheme == "iob1" else letters_of(spans, length, single, last)
    assert strict_spans(tags, scheme=scheme) == spans


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ([["B-x", "I-x", "O", "I-x"], ["O"]], "bio"),
        ([["I-x", "I-x", "O"], ["I-x", "B-x"]], "iob1"),
        ([["B-x", "L-x"]], "bilou"),
        ([["O", "S-x"]], "bioes"),
        ([["O"], []], "bio"),
    ],
)
def test_scheme_of_a_file(tags: list[list[str]], scheme: str) -> None:
    assert detect_scheme(tags) == scheme


@pytest.mark.parametrize("tag", ["B-", "B", "I", "", "x", "M-x", "Bx", "-x", "o", "b-x"])
def test_not_a_tag(tag: str) -> None:
    with pytest.raises(TagError, match="is not a tag") as caught:
        parse_tags(["O", tag])
    assert caught.value.index == 1


def test_prefix_of_another_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="'E-x' is not a tag of the bilou scheme"):
        parse_tags(["B-x", "E-x"], scheme="bilou")
    with pytest.raises(ValueError, match="unknown tagging scheme 'iob9'"):
        parse_tags(["O"], scheme="iob9")
    assert set(SCHEMES) == {"bio", "iob1", "bilou", "bioes", "auto"}


@pytest.mark.parametrize("tags", [["I"], ["O", "I"], ["x", "O", "I"], [""]])
def test_simplified_bio_refuses(tags: list[str]) -> None:
    with pytest.raises(ValueError, match="tag"):
        sbio_to_spans(tags)


@pytest.mark.parametrize("label", ["O", "I", ""])
def test_simplified_bio_refuses_labels_that_collide(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        spans_to_sbio([Span(0, 1, label)], 1)


def published_tags(shared: Path) -> dict[str, list[list[str]]]:
    """The tags of every sentence of the seven corpora, read without the project's readers."""
    root = shared / "data" / "labelled"
    files = {}
    for path in sorted(root.glob("*/*/seq.out")):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        files[name] = [row.split() for row in path.read_text("utf-8").splitlines()]
    for path in sorted(root.glob("*/*.bio")):
        blocks = path.read_text("utf-8").strip("\n").split("\n\n")
        files[path.stem] = [[row.split("\t")[0] for row in b.split("\n")] for b in blocks]
    return files


def test_published_tags_come_back_but_for_the_three_odd_ones(shared: Path) -> None:
    files = published_tags(shared)
    assert len(files) == 18
    assert sum(map(len, files.values())) == 117_134
    changed = {}
    for name, sentences in files.items():
        assert detect_scheme(sentences) == "bio", name
        rows = [
            line
            for line, tags in enumerate(sentences, start=1)
            if spans_to_bio(parse_tags(tags, scheme="bio"), len(tags)) != tags
        ]
        if rows:
            changed[name] = rows
    assert changed == ODD
