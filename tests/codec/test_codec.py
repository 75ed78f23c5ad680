"""The codec against the paper, the published encoder, every real sentence and hostile words."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from helpers import LABELS, mt5_like_tokenizer, tiny_codec, tiny_tokenizer
from hyperloader.codec.batch import collate, encode_example, encode_words
from hyperloader.codec.labels import verbalise
from hyperloader.codec.pieces import WordPieces
from hyperloader.codec.tokenizer import train_tokenizer
from hyperloader.codec.windows import clip
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import ConfigError, DataError
from hyperloader.outputs.sentt.codec import CodecConfig, SentTCodec, sentt_text
from hyperloader.tags import sbio_to_spans, spans_to_sbio
from hyperloader.types import Example, Span

HOSTILE = (
    *(
        "😀",
        "👩‍👩‍👧",
        "שלום",
        "مرحبا",
        "\u200b",
        "a\u200db",
        "\ufeff",
        "",
        " ",
        "▁",
        "é",
        "e\u0301",
        "\x00",
    ),
    *("<extra_id_5>", "</s>", "<pad>", "<unk>", "▁</s>", "<extra_id_0><extra_id_1>", "<0x41>"),
    *("x<pad>y", "＜/s＞", "<s>", "O", "I", "<extra_id_99>"),
)
WORDS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))


TOKENIZERS = {"ours": tiny_tokenizer, "mt5": mt5_like_tokenizer}
CODECS = {
    name: SentTCodec(make(), {"t": ("ab", "abc", "abc d", "I_x")})
    for name, make in TOKENIZERS.items()
}


@pytest.fixture(scope="session")
def real_tokenizer(corpora: dict[str, Corpus]) -> PreTrainedTokenizerFast:
    sentences = (e for corpus in corpora.values() for e in corpus.splits["test"][:500])
    return train_tokenizer((" ".join(e.words) for e in sentences), vocab_size=2000)


def test_text_is_what_the_published_encoder_writes(shared: Path) -> None:
    golden = json.loads((shared / "reference" / "golden" / "golden_scoring.json").read_text())
    assert len(golden["encoding"]) == 3
    for entry in golden["encoding"]:
        assert sentt_text(entry["tokens"]) == entry["encoded"]


def test_table_1_of_the_paper() -> None:
    words = ["play", "the", "song", "little", "robin", "redbreast"]
    codec = tiny_codec({"snips": ("MUSIC_ITEM", "TRACK")})
    tags = spans_to_sbio([Span(2, 3, "MUSIC_ITEM"), Span(3, 6, "TRACK")], 6)
    printed = (
        "<extra_id_0> O <extra_id_1> O <extra_id_2> MUSIC_ITEM <extra_id_3> TRACK "
        "<extra_id_4> I <extra_id_5> I <extra_id_6>"
    )
    assert sentt_text(tags) == printed
    decode = codec.tokenizer.decode
    assert decode(codec.encode_source(words)).replace(" ", "") == (
        sentt_text(words).replace(" ", "") + "</s>"
    )
    ids = codec.encode_target(sbio_to_spans(tags), 6, "snips")
    assert decode(ids).replace(" ", "") == printed.replace(" ", "") + "</s>"


@pytest.mark.parametrize("style", ["raw", "readable"])
def test_every_real_sentence_round_trips(
    corpora: dict[str, Corpus], real_tokenizer: PreTrainedTokenizerFast, style: str
) -> None:
    labels = {name: corpus.labels() for name, corpus in corpora.items()}
    codec = SentTCodec(real_tokenizer, labels, CodecConfig(label_text=style))
    sentences = 0
    for name, corpus in corpora.items():
        for found in (e for part in corpus.splits.values() for e in part):
            length = len(found.words)
            ids = codec.encode_target(found.spans, length, name)
            tags = codec.decode_target(ids, length, name)
            assert sbio_to_spans(tags) == found.spans
            sentences += 1
    assert sentences == 117_134  # Table 2


def test_no_real_corpus_has_labels_that_collide_when_written_readably(
    corpora: dict[str, Corpus],
) -> None:
    for corpus in corpora.values():
        texts = verbalise(corpus.labels(), "readable")
        assert len(set(texts.values())) == len(corpus.labels())
    assert verbalise(corpora["atis"].labels(), "readable")["fromloc.city_name"] == (
        "fromloc city name"
    )


def test_real_sentences_are_encoded_as_a_whole_tokenizer_would(
    corpora: dict[str, Corpus], real_tokenizer: PreTrainedTokenizerFast
) -> None:
    codec = SentTCodec(real_tokenizer, {"atis": corpora["atis"].labels()})
    for found in corpora["atis"].splits["test"]:
        (window,) = encode_example(codec, found)
        pieces = [i for i in window.source if i not in codec.pieces.sentinels]
        assert pieces == real_tokenizer(" ".join(found.words))["input_ids"]


def check_source(codec: SentTCodec, words: list[str]) -> None:
    """Words between the sentinels in order, and nothing special among them."""
    pieces = codec.pieces
    covered = set()
    for window in codec.windows(words):
        ids = codec.encode_source(words[window.start : window.end])
        assert len(ids) <= codec.config.max_source_tokens
        assert window.end - window.start <= codec.max_words
        covered |= set(range(window.start, window.end))
        marks = pieces.sentinels[: window.end - window.start + 1]
        assert [i for i in ids if i in pieces.sentinels] == marks
        assert (ids[0], ids[-2:]) == (marks[0], [marks[-1], pieces.eos])
        where = [ids.index(mark) for mark in marks]
        special = {*codec.tokenizer.all_special_ids, *pieces.sentinels} - {pieces.unk}
        for word, start, end in zip(words[window.start :], where, where[1:], strict=False):
            part = ids[start + 1 : end]
            assert part
            assert special.isdisjoint(part)
            (whole,) = pieces([word])
            assert set(part) <= set(whole)
            assert len(part) == len(whole) or len(whole) > codec.config.max_source_tokens - 3
    assert covered == set(range(len(words)))


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=150)
@given(words=st.lists(WORDS, min_size=1, max_size=30))
@example(words=list(HOSTILE))
def test_user_text_is_never_special_and_no_word_is_lost(name: str, words: list[str]) -> None:
    check_source(CODECS[name], words)


@settings(max_examples=100)
@given(
    words=st.lists(WORDS, max_size=60),
    tokens=st.integers(8, 40),
    max_words=st.integers(1, 20),
    overlap=st.integers(0, 12),
)
def test_windows_keep_their_budgets(
    words: list[str], tokens: int, max_words: int, overlap: int
) -> None:
    codec = SentTCodec(
        tiny_tokenizer(),
        {"t": ()},
        CodecConfig(max_source_tokens=tokens, max_words=max_words, overlap=overlap),
    )
    check_source(codec, words)
    windows = codec.windows(words)
    for before, after in pairwise(windows):
        assert before.start < after.start <= before.end < after.end
        assert before.end - after.start <= overlap


def test_ten_thousand_words_and_one_word_of_ten_thousand_letters() -> None:
    words = [f"w{i % 977}" for i in range(10_000)]
    check_source(tiny_codec(), words)
    codec = tiny_codec(max_source_tokens=2048)
    check_source(codec, words)
    # 99 words a window with 16 in common: every further window brings 83.
    assert len(codec.windows(words, overlap=16)) == 1 + -(-(10_000 - 99) // 83)

    codec = tiny_codec()
    long = "".join(chr(ord("a") + i % 26) for i in range(10_000))
    (whole,) = codec.pieces([long])
    ids = codec.encode_source([long])
    assert len(ids) == codec.config.max_source_tokens < len(whole)
    kept = ids[1:-2]
    assert kept == [*whole[: (len(kept) + 1) // 2], *whole[-(len(kept) // 2) :]]
    check_source(codec, ["before", long, "after"])


def test_nothing_is_cut_where_that_is_asked_for() -> None:
    codec = tiny_codec(truncation="error", max_words=5, max_source_tokens=32)
    assert len(codec.windows(["a"] * 5)) == 1
    with pytest.raises(DataError, match=r"6 words does not fit one window of 5 words and 32 sub"):
        codec.windows(["a"] * 6)
    with pytest.raises(DataError, match=r"the word 'xxxx.* alone has \d+ sub-tokens"):
        codec.windows(["x" * 200])
    with pytest.raises(ValueError, match="6 words do not fit a window of 5"):
        codec.encode_source(["a"] * 6)


def test_sentinels_are_looked_up_by_name_even_in_reversed_order() -> None:
    pieces = WordPieces(mt5_like_tokenizer())
    names = mt5_like_tokenizer().convert_ids_to_tokens(pieces.sentinels)
    assert names == [f"▁<extra_id_{i}>" for i in range(100)]
    assert pieces.sentinels[0] > pieces.sentinels[99]
    bare = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram([("<unk>", 0.0)], unk_id=0)), unk_token="<unk>"
    )
    with pytest.raises(ConfigError, match="no sentinels"):
        WordPieces(bare)


def test_few_sentinels_make_small_windows() -> None:
    codec = SentTCodec(tiny_tokenizer(sentinels=4), {"t": ()}, CodecConfig(overlap=1))
    assert codec.max_words == 3
    check_source(codec, ["a"] * 11)


@pytest.mark.parametrize("name", CODECS)
@settings(max_examples=100)
@given(data=st.data())
def test_targets_round_trip(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    drawn = data.draw(st.lists(st.sampled_from(["O", "I", *codec.labels["t"]]), max_size=40))
    tags: list[str] = []
    for tag in drawn:
        opened = bool(tags) and tags[-1] != "O"
        tags.append("O" if tag == "I" and not opened else tag)
    ids = codec.encode_target(sbio_to_spans(tags), len(tags), "t")
    assert codec.decode_target(ids, len(tags), "t") == tags


@settings(max_examples=200)
@given(data=st.data(), length=st.integers(0, 12))
def test_any_generated_ids_give_one_valid_tag_a_word(data: st.DataObject, length: int) -> None:
    codec = tiny_codec()
    allowed = [i for ids in codec.tag_ids["music"].values() for i in ids]
    allowed += [*codec.pieces.sentinels[:14], codec.pieces.eos, codec.pieces.pad]
    ids = data.draw(st.lists(st.sampled_from(allowed), max_size=40))
    tags = codec.decode_target(ids, length, "music")
    assert len(tags) == length
    assert {s.label for s in sbio_to_spans(tags)} <= set(LABELS["music"])


def test_a_missing_tag_does_not_shift_the_others() -> None:
    codec = tiny_codec()
    spans = (Span(1, 2, "ITEM"), Span(3, 5, "TRACK_TITLE"))
    ids = codec.encode_target(spans, 5, "music")
    s = codec.pieces.sentinels
    without_second_tag = [*ids[: ids.index(s[1]) + 1], *ids[ids.index(s[2]) :]]
    assert sbio_to_spans(codec.decode_target(without_second_tag, 5, "music")) == spans[1:]
    cut_short = ids[: ids.index(s[4]) + 1]
    assert codec.decode_target(cut_short, 5, "music") == ["O", "ITEM", "O", "TRACK_TITLE", "O"]


def test_examples_become_windows_and_padded_tensors() -> None:
    codec = tiny_codec(max_words=3, overlap=1)
    found = Example(tuple("abcde"), (Span(1, 4, "ITEM"),), "music")
    windows = encode_example(codec, found)
    assert [w.window for w in windows] == [(0, 3), (2, 5)]
    for window in windows:
        tags = codec.decode_target(window.target, window.words, "music")
        assert list(sbio_to_spans(tags)) == clip(found.spans, window.window)
    other = encode_example(codec, Example(("hi",), (), "one"))
    batch = collate([*windows, *other], codec.pieces.pad)
    assert batch.tasks == ("music", "music", "one")
    assert collate(windows, codec.pieces.pad).tasks == ("music", "music")
    assert batch.words == (3, 3, 1)
    assert batch.labels is not None
    for row, window in enumerate([*windows, *other]):
        length, target = len(window.source), len(window.target)
        assert batch.input_ids[row, :length].tolist() == window.source
        assert batch.attention_mask[row].sum() == length
        assert batch.labels[row, :target].tolist() == window.target
        assert (batch.labels[row, target:] == -100).all()
        assert (batch.input_ids[row, length:] == codec.pieces.pad).all()
    assert collate(encode_words(codec, ["hi"], "one"), codec.pieces.pad).labels is None
