"""A BERT with a tagging head, from words to spans."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from bert_helpers import HEAD_WEIGHT, POSITIONS, bert_encoder, bert_tokenizer, tag_logits
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.batch import encode_example, encode_words
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.windows import stitch
from hyperloader.config import TrainingSection
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import CheckpointError, ConfigError, DataError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.tagger import Tagger
from hyperloader.tags import parse_tags
from hyperloader.types import Example, Span

LABELS = {"music": ("artist", "track")}
HOSTILE = ("[SEP]", "[CLS]", "[PAD]", "[MASK]", "", " ", "😀", "\u200b", "x" * 300, "##a", "<s>")
WORDS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8))


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """RoBERTa's kind: a word's pieces depend on the space before it."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<s>", "<pad>", "</s>", "<unk>", *alphabet, "Ġp", "pl", "Ġpl"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    merges = [("Ġ", "p"), ("p", "l"), ("Ġp", "l")]
    backend = Tokenizer(models.BPE(vocabulary, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", vocabulary["</s>"]), ("<s>", vocabulary["<s>"])
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )


TOKENIZERS = {"bert": bert_tokenizer, "roberta": byte_tokenizer}


def codec_of(**config: Any) -> TokenCodec:
    return TokenCodec(bert_tokenizer(), LABELS, CodecConfig(**config))


def model_of(codec: TokenCodec, seed: int = 0) -> TokenTagger:
    """Random attached parts and a head that is sure of itself, so that spans are found."""
    config = ModelConfig(
        method="unipelt-bert", tasks=tuple(codec.labels), prefix_length=3, prefix_hidden_dim=8
    )
    tags = {task: len(tags) for task, tags in codec.tags.items()}
    model = TokenTagger(bert_encoder(seed), config, tags=tags)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.source.named_parameters():
            if not name.startswith("sources.2") or name == HEAD_WEIGHT:
                parameter.normal_(0.0, 0.5, generator=generator)
    return model.eval()


@pytest.mark.parametrize("name", TOKENIZERS)
def test_words_are_encoded_as_the_tokenizer_itself_does(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    codec = TokenCodec(tokenizer, LABELS)
    words = ["play", "Little", "robin,", "redbreast", "o'clock", "42", "!?"]
    (window,) = encode_words(codec, words, "music")
    expected = tokenizer(words, is_split_into_words=True)
    assert window.source == expected["input_ids"]
    firsts = [expected.word_ids().index(i) for i in range(len(words))]
    assert list(window.first) == firsts
    assert len(window.source) > len(words) + 2  # some words have several pieces


def test_tags_are_numbered() -> None:
    codec = codec_of()
    assert codec.tags["music"] == ("O", "B-artist", "I-artist", "B-track", "I-track")
    spans = (Span(1, 2, "artist"), Span(2, 3, "artist"), Span(3, 5, "track"))
    (window,) = encode_example(codec, Example(tuple("abcdef"), spans, "music"))
    assert window.target == [0, 1, 1, 3, 4, 0]
    with pytest.raises(DataError, match=r"no label 'album' \(known: artist, track\)"):
        encode_example(codec, Example(("a",), (Span(0, 1, "album"),), "music"))


def test_what_does_not_fit_a_tagging_head_is_refused() -> None:
    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), pad_token="<pad>")
    with pytest.raises(ConfigError, match="no cls, sep, unk token"):
        TokenCodec(bare, LABELS)
    with pytest.raises(DataError, match=r"does not fit one window of 3 words and 8 sub-tokens"):
        codec_of(max_source_tokens=8, max_words=3, truncation="error").windows(["a"] * 4)


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=100)
@given(
    words=st.lists(WORDS, min_size=1, max_size=30), budget=st.integers(8, 40), wide=st.integers(1)
)
def test_every_word_is_read_and_nothing_is_special(
    name: str, words: list[str], budget: int, wide: int
) -> None:
    config = CodecConfig(max_source_tokens=budget, overlap=wide % 6)
    codec = TokenCodec(TOKENIZERS[name](), LABELS, config)
    special = set(codec.tokenizer.all_special_ids) - {codec.pieces.unk}
    covered: set[int] = set()
    for window in encode_words(codec, words, "music"):
        covered |= set(range(window.window.start, window.window.end))
        assert window.words == window.window.end - window.window.start == len(window.first)
        assert len(window.source) <= budget
        assert (window.source[0], window.source[-1]) == (codec.pieces.first, codec.pieces.last)
        assert special.isdisjoint(window.source[1:-1])
        bounds = [*window.first, len(window.source) - 1]
        assert bounds[0] == 1
        for word, start, end in zip(words[window.window.start :], bounds, bounds[1:], strict=False):
            (whole,) = codec.pieces([word])
            part = window.source[start:end]
            assert part
            assert tuple(part) == whole or (len(whole) > budget - 2 and set(part) <= set(whole))
    assert covered == set(range(len(words)))


def test_real_sentences_come_back_from_their_windows(shared: Path) -> None:
    sentences = cut = 0
    for name, corpus in load_corpora(shared / "data" / "labelled", ["atis", "restaurant"]).items():
        codec = TokenCodec(
            bert_tokenizer(), {name: corpus.labels()}, CodecConfig(max_source_tokens=60, overlap=4)
        )
        for found in corpus.splits["test"]:
            windows = encode_example(codec, found)
            parts = [
                parse_tags([codec.tags[name][t] for t in w.target], scheme="bio") for w in windows
            ]
            assert tuple(stitch([w.window for w in windows], parts)) == found.spans
            assert all(len(w.target) == w.words for w in windows)
            sentences, cut = sentences + 1, cut + (len(windows) > 1)
    assert sentences == 893 + 1521
    assert cut > 200


def test_batches_are_padded_and_the_loss_is_the_models_own() -> None:
    codec = codec_of()
    model = model_of(codec)
    texts = ["play robin", "play little robin redbreast now", "x"]
    windows = [
        w
        for text in texts
        for w in encode_example(
            codec, Example(tuple(text.split()), (Span(0, 1, "track"),), "music")
        )
    ]
    rows = pack(windows, pad=codec.pieces.pad, together=False)
    assert rows.labels.shape == rows.first.shape == (3, 5)
    assert rows.labels.tolist()[2] == [3, -100, -100, -100, -100]
    assert rows.attention_mask.sum(1).tolist() == [len(w.source) for w in windows]
    assert rows.input_ids.shape[1] == max(len(w.source) for w in windows)
    objective = output_of(model).loss(model, codec, TrainingSection())
    assert objective.count(windows) == 2 + 5 + 1
    with torch.no_grad():
        inputs = {"first": rows.first, "task_ids": model.task_ids("music")}
        mean = model(rows.input_ids, rows.attention_mask, labels=rows.labels, **inputs).loss
        torch.testing.assert_close(objective(windows) / objective.count(windows), mean)
        # Each beside the padding that it has in this batch, which UniPELT's gates see.
        logits = model(rows.input_ids, rows.attention_mask, **inputs).logits
        each = [F.cross_entropy(*row) for row in zip(logits, rows.labels, strict=True)]
        torch.testing.assert_close(objective.mean_of_each(windows), torch.stack(each))


def test_a_spans_score_is_the_product_of_its_tags_and_of_its_end() -> None:
    codec = codec_of()
    model = model_of(codec)
    decoder = output_of(model).decoder(model, codec)
    words = ["play", "it", "by", "me", "or", "by", "no", "one", "at", "all", "now"]
    (window,) = encode_words(codec, words, "music")
    (decoded,) = decoder.decode([window])
    logits = tag_logits(model, codec, words, "music")
    probability = torch.softmax(logits.double(), -1)
    tags = [codec.tags["music"][i] for i in probability.argmax(-1).tolist()]
    assert tuple(decoded.spans) == parse_tags(tags, scheme="bio")
    assert len(decoded.spans) > 1
    for span in decoded.spans:
        expected = probability.max(-1).values[span.word_start : span.word_end].prod().item()
        if span.word_end < len(words):
            expected *= (
                1 - probability[span.word_end, codec.tags["music"].index(f"I-{span.label}")].item()
            )
        assert span.score == pytest.approx(expected, rel=1e-5)


def test_padding_and_company_change_nothing() -> None:
    """The published gates see the padding, so that careless batches would."""
    codec = codec_of(max_source_tokens=POSITIONS, overlap=3)
    tagger = Tagger(model_of(codec, seed=1), codec)
    texts = ["play", "play little robin redbreast", "", "by nobody at all", "a b c " * 40]
    together = tagger.tag(texts, "music")
    assert together == [tagger.tag(text, "music") for text in texts]
    assert together == tagger.tag(texts, "music", batch_size=1)
    assert [len(t.words) for t in together] == [1, 4, 0, 4, 120]
    assert sum(len(t.spans) for t in together) > 10
    assert max(s.word_end for s in together[-1].spans) > 100
    for tagged in together:
        for span in tagged.spans:
            assert tagged.text[span.start : span.end] == span.text
            assert 0 < span.score <= 1


def test_a_checkpoint_brings_everything_back(tmp_path: Path) -> None:
    codec = codec_of(max_source_tokens=30, overlap=2)
    model = model_of(codec)
    save_checkpoint(tmp_path / "c", model, codec)
    loaded = load_checkpoint(tmp_path / "c")
    assert isinstance(loaded.codec, TokenCodec)
    assert (loaded.codec.config, loaded.codec.tags) == (codec.config, codec.tags)
    text = "play little robin redbreast"
    assert Tagger(loaded.model, loaded.codec).tag(text, "music") == Tagger(model, codec).tag(
        text, "music"
    )
    wrong = TokenCodec(bert_tokenizer(), {"music": ("artist",)})
    save_checkpoint(tmp_path / "d", model, wrong)
    with pytest.raises(CheckpointError, match="'music' has 3 tags and the head 5"):
        load_checkpoint(tmp_path / "d")
