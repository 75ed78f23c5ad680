"""Label texts: readable ones lead back, and what could not be told apart is refused."""

import pytest

from helpers import mt5_like_tokenizer, tiny_codec
from hyperloader.codec.labels import label_text
from hyperloader.errors import ConfigError, DataError
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.types import Span


def test_labels_that_contain_special_tokens_are_text() -> None:
    codec = tiny_codec({"t": ("</s>", "<extra_id_1>", "<pad> x")})
    ids = codec.encode_target([Span(0, 1, "</s>"), Span(1, 2, "<extra_id_1>")], 2, "t")
    assert ids.count(codec.pieces.eos) == 1
    assert ids.count(codec.pieces.sentinels[1]) == 1
    assert codec.decode_target(ids, 2, "t") == ["</s>", "<extra_id_1>"]


@pytest.mark.parametrize(
    ("labels", "style", "message"),
    [
        (("O",), "raw", "'O' would be read as the tag 'O', which means no span"),
        (("I",), "raw", "'I' would be read as the tag 'I', which means inside a span"),
        (("O",), "readable", "'O' would be read as the tag 'O'"),
        (("I",), "readable", "'I' would be read as the tag 'I'"),
        (("a", "a"), "raw", "'a' and 'a' would both be written 'a'"),
        (("a.b", "a_b"), "readable", "would both be written 'a b'; rename one or use label_text"),
        (("",), "raw", "may not be blank"),
        (("  ",), "raw", "may not be blank"),
        (("a b", "a  b"), "raw", "the tokenizer writes 'a b' and 'a  b' the same way"),
        ((" O",), "raw", "the tokenizer writes 'O' and ' O' the same way"),
        (("é", "e\u0301"), "raw", "the same way"),
    ],
)
def test_colliding_labels_are_refused(labels: tuple[str, ...], style: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        tiny_codec({"t": labels}, label_text=style)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_that_a_tokenizer_cannot_tell_apart_are_refused() -> None:
    SentTCodec(mt5_like_tokenizer(), {"t": ("☃",)})
    with pytest.raises(ConfigError, match="writes '☃' and '☂' the same way"):
        SentTCodec(mt5_like_tokenizer(), {"t": ("☃", "☂")})


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("MUSIC_ITEM", "music item"),
        ("fromloc.city_name", "fromloc city name"),
        ("RATINGS_AVERAGE", "ratings average"),
        ("bestRating", "best rating"),
        ("_", "_"),
    ],
)
def test_readable_label_texts(label: str, text: str) -> None:
    assert label_text(label, "readable") == text
    assert label_text(label) == label


def test_unknown_label_names_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"task 'one' has no label 'x' \(known: thing\)"):
        tiny_codec().encode_target([Span(0, 1, "x")], 1, "one")
