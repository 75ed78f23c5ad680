"""A head is told where words have capitals: what that says, what it adds, and that it is learnt."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForTokenClassification

from bert_helpers import bert_encoder, bert_tagger, bert_tokenizer
from encoders import EVERY, SENTENCES, codec_of, model_of, terms, windows
from hyperloader.codec.batch import encode_example, encode_words
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.integrations.plain_model import save_merged
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.registry import OUTPUTS, output_of
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.tagger import Tagger
from hyperloader.types import Example, Span
from hyperloader.word_shapes import SHAPES, word_shapes

CASED = "Play Little robin in OSLO by A iPod"


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("Is NASA in Houston", (1, 4, 0, 2)),
        ("i saw O'Brien , McCoy and A. Smith-jones", (0, 0, 5, 0, 5, 0, 3, 2)),
        ("in 1999 the B2B shop", (0, 0, 0, 4, 0)),
        ("Élan à Ærø", (1, 0, 2)),
        ("東京 は Tokyo", (0, 0, 2)),
        ("PLAY SOME JAZZ", (0, 0, 0)),
        ("", ()),
    ],
)
def test_what_is_seen_of_a_word(text: str, shapes: tuple[int, ...]) -> None:
    assert word_shapes(text.split()) == shapes


@given(st.lists(st.text(min_size=1), max_size=6))
def test_a_text_of_one_case_has_no_shapes(words: list[str]) -> None:
    assert all(shape in SHAPES for shape in word_shapes(words))
    lower = ["".join(c for c in word.lower() if not c.isupper()) for word in words]
    assert word_shapes(lower) == (0,) * len(words)


def test_only_the_first_word_of_a_sentence_begins_it() -> None:
    codec = TokenCodec(
        bert_tokenizer(), {"a": ("x",)}, CodecConfig(max_source_tokens=12, overlap=1)
    )
    found = encode_words(codec, ["Play", "the", "Song", "of", "one", "Year"], "a")
    assert len(found) > 1
    assert found[0].shapes[0] == 1
    later = [shape for window in found[1:] for shape in window.shapes]
    assert 2 in later
    assert 1 not in later


def logits(model: Any, some: list[EncodedWindow], together: bool = False) -> torch.Tensor:
    rows = pack(some, pad=0, together=together)
    with torch.no_grad():
        return model.read(rows)


@pytest.mark.parametrize("word_state", ["first", "mean"])
def test_the_vector_of_its_shape_is_added_to_a_word(word_state: str) -> None:
    codec = codec_of("bert")
    told = model_of("bert", "hyperloader", word_shapes=True, word_state=word_state)
    plain = model_of("bert", "hyperloader", word_state=word_state)
    own = {n: p for n, p in told.state_dict().items() if "vectors" not in n}
    names = dict(zip(own, plain.state_dict(), strict=True))
    plain.load_state_dict({names[name]: value for name, value in own.items()})

    lower = encode_words(codec, CASED.lower().split(), "travel")
    assert torch.equal(logits(told, lower), logits(plain, lower))

    cased = encode_words(codec, CASED.split(), "travel")
    (vectors,) = (p for n, p in told.named_parameters() if n.endswith("weights.vectors"))
    (weight,) = (p for n, p in plain.named_parameters() if n.endswith("groups.0.weights.weight"))
    of_travel = torch.cat([torch.zeros(1, vectors.shape[-1]), vectors[0, 1]])
    added = of_travel[list(cased[0].shapes)] @ weight[0, 1, :3].t()
    expected = logits(plain, cased)[..., :3] + added
    assert added.abs().max() > 0.01
    torch.testing.assert_close(logits(told, cased)[..., :3], expected, atol=1e-5, rtol=1e-5)


@EVERY
def test_a_mixed_batch_is_its_single_task_batches(kind: str) -> None:
    codec = codec_of(kind)
    cased = [
        window
        for text, task, _ in SENTENCES
        for window in encode_words(codec, [w.capitalize() for w in text.split()] + ["a"], task)
    ]
    model = model_of(kind, "hyperloader", word_shapes=True)
    together = logits(model, cased)
    for i, window in enumerate(cased):
        words, tags = window.words, model.tags[window.task]
        alone = logits(model, [window])
        torch.testing.assert_close(
            together[i, :words, :tags], alone[0, :words, :tags], atol=1e-5, rtol=1e-5
        )
    loss, index = terms(model, kind, windows(kind))
    assert len(loss) == len(index)


def test_it_is_learnt_where_nothing_else_tells() -> None:
    """A lower-casing tokenizer, and sentences that differ in nothing but a capital."""
    codec = TokenCodec(bert_tokenizer(), {"a": ("name",)})
    some = []
    for word in ("song", "year", "day"):
        for written, spans in ((word, ()), (word.capitalize(), (Span(1, 2, "name"),))):
            some += encode_example(codec, Example(("the", written, "of", "one"), spans, "a"))
    losses = {}
    for told in (True, False):
        torch.manual_seed(0)
        config = ModelConfig(tasks=("a",), word_shapes=told)
        model = OUTPUTS["token_tags"].build(bert_encoder(), config, codec, None)
        loss = output_of(model).loss(model, codec, TrainingSection())
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.01)
        for _ in range(100):
            optimizer.zero_grad()
            loss.terms(some)[0].mean().backward()
            optimizer.step()
        losses[told] = float(loss.eval().terms(some)[0].mean())
    assert losses[True] < 0.05
    # Half of the sentences are wrong: ln 2 for each, over its four words.
    assert losses[False] > 0.9 * math.log(2) / 4


def test_checkpoints_and_onnx_keep_it(tmp_path: Path) -> None:
    tagger = bert_tagger(word_shapes=True)
    texts = ["A Table for TWO at Noon", "play the Song of iPod", "one two"]
    expected = tagger.tag(texts, "dining", alternatives=3)
    plain = tagger.tag([text.lower() for text in texts], "dining", alternatives=3)
    assert expected[0].alternatives != plain[0].alternatives
    assert expected[2].alternatives == plain[2].alternatives
    tagger.save_pretrained(tmp_path / "saved")
    saved = Tagger.from_pretrained(tmp_path / "saved")
    assert saved.tag(texts, "dining", alternatives=3) == expected
    tagger.save_onnx(tmp_path / "onnx")
    found = Tagger.from_pretrained(tmp_path / "onnx").tag(texts, "dining", alternatives=3)
    for one, other in zip(found, expected, strict=True):
        assert [span.label for span in one.spans] == [span.label for span in other.spans]
        for choices, others in zip(one.alternatives, other.alternatives, strict=True):
            assert [c.probability for c in choices] == pytest.approx(
                [c.probability for c in others], abs=1e-4
            )


def test_no_plain_model_is_told(tmp_path: Path) -> None:
    tagger = bert_tagger(word_shapes=True, method="hyperlora")
    with pytest.raises(ConfigError, match="'dining' is told which words have capitals"):
        save_merged(tagger, tmp_path / "plain", "dining")
    for name, parameter in tagger.model.named_parameters():
        if name.endswith("weights.vectors"):
            torch.nn.init.zeros_(parameter)
    save_merged(tagger, tmp_path / "plain", "dining")
    assert AutoModelForTokenClassification.from_pretrained(tmp_path / "plain").config.id2label
