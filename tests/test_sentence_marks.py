"""Sentence marks are cut off spans of raw text, unless the task has spans that end in them."""

from pathlib import Path

import pytest

from helpers import tiny_codec, tiny_model
from hyperloader.codec.codec import CodecConfig
from hyperloader.corpora.word_rule import span_marks
from hyperloader.outputs.decoded import DecodedWindow
from hyperloader.tagger import Tagger
from hyperloader.tagging import tagged_text
from hyperloader.types import Example, Span
from hyperloader.words import SENTENCE_MARKS, split_words
from training_helpers import cli, write_data

TEXT = "at Chez Panisse, tonight ?"
PLACES = split_words(TEXT, "punctuation")
WORDS = tuple(TEXT[a:b] for a, b in PLACES)


def test_marks_of_training_spans_are_found() -> None:
    words = ("go", ",", "Yahoo", "!", "a", ".", "b")
    spans = (Span(2, 4, "x"), Span(4, 7, "x"))
    assert span_marks([Example(words, spans, "t")]) == ("!",)  # the full stop is inside of a span
    assert span_marks([]) == ()


@pytest.mark.parametrize(
    ("span", "cut", "expected"),
    [
        ((1, 4), SENTENCE_MARKS, (1, 3, "Chez Panisse")),
        ((1, 4), SENTENCE_MARKS - {","}, (1, 4, "Chez Panisse,")),
        ((3, 5), SENTENCE_MARKS, (4, 5, "tonight")),
        ((3, 6), SENTENCE_MARKS, (4, 5, "tonight")),
        ((5, 6), SENTENCE_MARKS, (5, 6, "?")),
        ((1, 5), SENTENCE_MARKS, (1, 5, "Chez Panisse, tonight")),
    ],
)
def test_marks_are_cut_off_both_ends(
    span: tuple[int, int], cut: frozenset[str], expected: tuple[int, int, str]
) -> None:
    found = DecodedWindow([Span(*span, "x", 0.5)])
    (tagged,) = tagged_text(TEXT, WORDS, PLACES, "t", found, 0.0, cut).spans
    assert (tagged.word_start, tagged.word_end, tagged.text) == expected
    assert TEXT[tagged.start : tagged.end] == tagged.text


class OneSpan:
    """A decoder that takes every window for one span."""

    def decode(self, windows: list, **_: int) -> list[DecodedWindow]:
        return [DecodedWindow([Span(0, window.words, "thing", 1.0)]) for window in windows]


@pytest.mark.parametrize(
    ("marks", "ends"), [(None, True), ({"one": ("?",)}, True), ({"one": ()}, False)]
)
def test_raw_text_is_cut_and_given_words_are_not(
    marks: dict[str, tuple[str, ...]] | None, ends: bool
) -> None:
    codec = tiny_codec({"one": ("thing",)})
    codec.config = CodecConfig(words="punctuation", marks=marks)
    tagger = Tagger(tiny_model(codec), codec)
    tagger._now = tagger._now._replace(decoder=OneSpan())
    (span,) = tagger.tag("when is lunch?", "one").spans
    assert span.text == ("when is lunch?" if ends else "when is lunch")
    (span,) = tagger.tag_words(["when", "?"], "one").spans
    assert span.text == "when ?"


def test_training_keeps_them(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    options = ("--backbone", "scratch:tiny", "--steps", 1, "--no-calibrate")
    assert cli("train", "--data", data, "--out", tmp_path / "run", *options).code == 0
    tagger = Tagger.from_pretrained(tmp_path / "run")
    assert tagger.codec.config.marks == dict.fromkeys(tagger.tasks, ())
