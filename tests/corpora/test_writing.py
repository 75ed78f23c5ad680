"""What is written reads back: the published corpora, and any sentence that Hypothesis thinks of."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.formats import written
from hyperloader.corpora.formats.format import character_spans, surface
from hyperloader.corpora.registry import load_corpora, load_corpus, read_corpus
from hyperloader.corpora.writing import render_part, write_corpus, write_part
from hyperloader.errors import DataError
from hyperloader.types import Example, Span
from hyperloader.words import split_words

WHOLE = [name for name, found in written().items() if {"words", "intent"} <= found.holds]
OF_WORDS = [name for name, found in written().items() if "words" in found.holds]
OF_TEXT = [name for name, found in written().items() if "text" in found.holds]

PUBLISHED = [
    *("atis", "restaurant"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("mtod", "snips")),
]


@pytest.fixture(scope="module", params=PUBLISHED)
def published(shared: Path, request: pytest.FixtureRequest) -> Corpus:
    (corpus,) = load_corpora(shared / "data" / "labelled", [request.param]).values()
    return corpus


@pytest.mark.parametrize("to", list(written()))
def test_round_trip_of_published_corpora(published: Corpus, tmp_path: Path, to: str) -> None:
    name = published.name
    parts = {part: published.splits[part][:200] for part in SPLITS}
    if name != "restaurant" and "intent" not in written()[to].holds:
        with pytest.raises(DataError, match=r"train sentence 1 .* change its (words and )?intent"):
            write_corpus(parts, tmp_path / "out", to)
        assert list(tmp_path.iterdir()) == []
    losses = write_corpus(parts, tmp_path / "out", to, lossy=to not in WHOLE)
    back = load_corpus(tmp_path / "out", name).splits
    for part in SPLITS:
        for ours, theirs in zip(parts[part], back[part], strict=True):
            assert surface(ours) == surface(theirs) or "words" not in written()[to].holds
            assert surface(ours)[0] == surface(theirs)[0]
            assert character_spans(ours) == character_spans(theirs)
            assert theirs.intent in (ours.intent, None)
    assert ("intent" in losses) == (name != "restaurant" and "intent" not in written()[to].holds)
    if to in ("seq", "jsonl"):
        assert back == parts


WORD = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=4).filter(
    lambda word: word.split() == [word]
)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    words = draw(st.lists(st.one_of(WORD, st.sampled_from(["#", "O", "-DOCSTART-"])), min_size=1))
    borders = sorted(draw(st.sets(st.integers(0, len(words)), max_size=4)))
    spans = tuple(
        Span(a, b, draw(st.sampled_from(("x", "a-b", "ü/y"))))
        for a, b in zip(borders[::2], borders[1::2], strict=False)
    )
    gaps = draw(st.lists(st.sampled_from((" ", "  ", "\t", "\u2028")), min_size=len(words)))
    text, offsets = "", []
    for word, gap in zip(words, gaps, strict=False):
        offsets.append((len(text), len(text) + len(word)))
        text += word + gap
    intent = draw(st.sampled_from((None, "play", "a b")))
    if draw(st.booleans()):
        return Example(tuple(words), spans, "task", intent=intent)
    return Example(tuple(words), spans, "task", text=text, offsets=tuple(offsets), intent=intent)


@st.composite
def texts(draw: st.DrawFn) -> Example:
    """A sentence as raw text is read: its words are those of the splitter."""
    text = draw(
        st.text(
            st.sampled_from("ab Z9.,'-()@#&\u00e9\u4eac\U0001f600\u0301\t"), min_size=1, max_size=12
        )
    )
    offsets = tuple(split_words(text, "text"))
    words = tuple(text[start:end] for start, end in offsets)
    borders = sorted(draw(st.sets(st.integers(0, len(words)), max_size=4)))
    spans = tuple(
        Span(a, b, draw(st.sampled_from(("x", "a-b"))))
        for a, b in zip(borders[::2], borders[1::2], strict=False)
    )
    return Example(words, spans, "task", text=text, offsets=offsets)


@settings(max_examples=80, deadline=None)
@given(st.lists(examples(), min_size=1, max_size=3), st.sampled_from(list(written())))
def test_written_reads_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[Example], to: str
) -> None:
    folder = tmp_path_factory.mktemp("written") / "c"
    try:
        write_corpus({"train": sentences}, folder, to)
    except DataError:
        assert to not in ("jsonl", "prodigy"), "these hold every such sentence"
        return
    back = read_corpus(folder, "task").splits["train"]
    assert [(surface(e)[0], character_spans(e), e.intent) for e in back] == [
        (surface(e)[0], character_spans(e), e.intent) for e in sentences
    ]
    if to in OF_WORDS:
        assert [(e.words, e.spans) for e in back] == [(e.words, e.spans) for e in sentences]
    if to == "jsonl":
        assert list(back) == sentences


@pytest.mark.parametrize("to", OF_TEXT)
@settings(max_examples=40, deadline=None)
@given(st.lists(texts().filter(lambda example: example.words), min_size=1, max_size=3))
def test_raw_text_and_its_spans_come_back(
    tmp_path_factory: pytest.TempPathFactory, to: str, sentences: list[Example]
) -> None:
    """The same text and spans out; only labels in the text need brackets of their own."""
    folder = tmp_path_factory.mktemp("written") / "c"
    try:
        write_corpus({"train": sentences}, folder, to)
    except DataError as error:
        marked = any(example.spans for example in sentences)
        spaced = any(text.strip() != text for text in (surface(e)[0] for e in sentences))
        refused = spaced or not marked or "read" in str(error)
        if to == "inline" and refused:
            return
        raise
    back = read_corpus(folder, "task").splits["train"]
    assert list(back) == sentences


@pytest.mark.parametrize("to", [name for name in OF_WORDS if name not in OF_TEXT])
@settings(max_examples=40, deadline=None)
@given(st.lists(texts().filter(lambda example: example.words), min_size=1, max_size=3))
def test_words_of_raw_text_and_their_spans_come_back(
    tmp_path_factory: pytest.TempPathFactory, to: str, sentences: list[Example]
) -> None:
    folder = tmp_path_factory.mktemp("written") / "c"
    losses = write_corpus({"train": sentences}, folder, to, lossy=True)
    back = read_corpus(folder, "task").splits["train"]
    assert [(e.words, e.spans) for e in back] == [(e.words, e.spans) for e in sentences]
    regular = sum(surface(e) == surface(Example(e.words, (), "task")) for e in sentences)
    assert losses["text"] <= len(sentences) - regular


@pytest.mark.parametrize(
    ("example", "to", "message"),
    [
        (Example(("a", "b"), (), "t", text="a  b", offsets=((0, 1), (3, 4))), "conll",
         "change its text and offsets; write jsonl, which holds everything, or accept the loss wi"),
        (Example(("a",), (Span(0, 1, "x y"),), "t"), "seq", "2 tags for the 1 words"),
        (Example(("a",), (Span(0, 1, "x y"),), "t"), "brat", "not a line of brat"),
        (Example(("-DOCSTART-",), (), "t"), "conll", "no sentence in it"),
        (Example(("ann",), (), "t", text="Ann", offsets=((0, 3),)), "prodigy",
         "token 'ann' is not the text"),
        (Example(("\ud800",), (), "t"), "conll", "would not read back"),
        (Example(("a", "b"), (), "t", text="a\nb", offsets=((0, 1), (2, 3))), "brat",
         "would not read back as one sentence"),
        (Example(("don", "'t"), (Span(0, 1, "x"),), "t", text="don't", offsets=((0, 3), (3, 5))),
         "doccano", "change its words and spans"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused(example: Example, to: str, message: str) -> None:
    first = Example(("word", "1"), (Span(1, 2, "n"),), "t")
    with pytest.raises(DataError) as caught:
        render_part([first, example], to, "test")
    assert message in str(caught.value)
    assert "test sentence 2" in str(caught.value)


def test_a_byte_order_mark_as_text_is_refused() -> None:
    with pytest.raises(DataError, match=r"test sentence 1 .* change its words"):
        render_part([Example(("\ufeffa",), (), "t")], "conll", "test")


def test_regular_text_is_no_loss() -> None:
    whole = Example(("a", "b"), (), "t", text="a b", offsets=((0, 1), (2, 3)))
    assert render_part([whole], "conll", "test") == ({".conll": b"a\tO\nb\tO\n\n"}, Counter())


def test_losses_that_are_accepted_are_counted(tmp_path: Path) -> None:
    offsets = ((0, 2), (3, 6), (6, 7))
    spoken = Example(("to", "Ely", "."), (Span(1, 2, "city"),), "t", "to Ely.", offsets)
    told = Example(("stop",), (), "t", intent="halt")
    path = tmp_path / "train.conll"
    assert write_part([spoken, told], path, "conll", lossy=True) == {
        "text": 1, "offsets": 1, "intent": 1,
    }  # fmt: skip
    assert path.read_text() == "to\tO\nEly\tB-city\n.\tO\n\nstop\tO\n\n"


def test_notes_beside_a_part_are_never_replaced(tmp_path: Path) -> None:
    part, example = tmp_path / "train", Example(("Oslo",), (Span(0, 1, "city"),), "trips")
    for _ in range(2):
        write_part([example], part, "brat", force=True)
    (part / "notes.txt").write_text("ask Ruth")
    with pytest.raises(DataError, match=r"notes\.txt: not a corpus file"):
        write_part([example], part, "brat", force=True)
    assert (part / "notes.txt").read_text() == "ask Ruth"


def test_label_studio_counts_utf_16_units(tmp_path: Path) -> None:
    """What its front end shows must be the span: JavaScript cuts strings by UTF-16 units."""
    example = Example(("\U0001f600", "Ely"), (Span(1, 2, "city"),), "t")
    files, _ = render_part([example], "label-studio", "test")
    assert b'"start": 3, "end": 6, "text": "Ely"' in files[".json"]
