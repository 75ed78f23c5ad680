"""Heads made of label texts, what a head reads of a word, and the mix of layers."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from bert_helpers import bert_encoder, bert_folder, bert_tokenizer
from encoders import EVERY, SENTENCES, codec_of, encoder_of, load_again, model_of, terms, windows
from hyperloader.backbones.bert.light_model import LightBert
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.batch import encode_words
from hyperloader.errors import ConfigError
from hyperloader.modeling.attached import HEAD
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.quantised import quantise
from hyperloader.outputs.registry import OUTPUTS
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.tagger import Tagger
from training_helpers import assert_resumes, make_trainer

TEXTS, TASKS = [s[0] for s in SENTENCES], [s[1] for s in SENTENCES]
HEADS = ("text", "text+free", "generated+text")
# What a head may read, with a head of texts; all at once where one setting is not looked at alone.
READS: dict[str, dict[str, Any]] = {
    "first": {},
    "mean": {"word_state": "mean"},
    "mix": {"layer_mix": True},
    "both": {"word_state": "mean", "layer_mix": True},
}


def built(labels: dict[str, tuple[str, ...]], head: str, **settings: Any) -> TokenTagger:
    """A model as training begins with it."""
    codec = TokenCodec(bert_tokenizer(), labels)
    config = ModelConfig(tasks=tuple(labels), head=head, **settings)
    torch.manual_seed(0)
    return OUTPUTS["token_tags"].build(bert_encoder(), config, codec, None).eval()


def head_of(model: TokenTagger, task: str) -> Any:
    with torch.no_grad():
        return model.weights(model.task_ids(task))[HEAD]


def test_vectors_are_mean_states_of_the_bare_encoder() -> None:
    labels = {"music": ("fromloc.city_name", "artistName"), "travel": ("city",)}
    model = built(labels, "text")
    (source,) = model.label_texts
    encoder, tokenizer = bert_encoder().eval(), bert_tokenizer()
    for number, texts in enumerate((("fromloc city name", "artist name"), ("city",))):
        for place, text in enumerate(texts):
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            with torch.no_grad():
                expected = encoder(ids).last_hidden_state[0].mean(0)
            torch.testing.assert_close(source.vectors[number, place], expected)
    assert not source.vectors[1, 1].any(), "travel has one label"
    assert not any("vectors" in name for name in model.trainable_names())


def test_labels_of_one_text_have_one_row_and_others_do_not() -> None:
    model = built({"a": ("city_name", "artist"), "b": ("artist", "cityName", "other")}, "text")
    one, other = head_of(model, "a"), head_of(model, "b")
    for tags in ((1, 3), (2, 4), (3, 1), (4, 2), (0, 0)):
        torch.testing.assert_close(one.weight[0, tags[0]], other.weight[0, tags[1]])
    assert not torch.allclose(one.weight[0, 1], one.weight[0, 3])
    assert not torch.allclose(one.weight[0, 1], one.weight[0, 2]), "B and I differ"


def test_the_free_part_of_a_sum_begins_as_nothing() -> None:
    labels = {"music": ("artist", "track"), "travel": ("city",)}
    both, text = built(labels, "text+free"), built(labels, "text")
    for task in labels:
        for one, other in zip(head_of(both, task), head_of(text, task), strict=True):
            assert torch.equal(one, other)
    trained = {name for name in both.head_names() if both.get_parameter(name).requires_grad}
    assert trained == both.head_names() - {n for n in both.head_names() if "vectors" in n}
    assert any("other" in name for name in trained)


def test_labels_that_read_the_same_are_refused_where_the_text_is_all() -> None:
    labels = {"music": ("city_name", "city.name")}
    with pytest.raises(ConfigError, match=r"'city_name' and 'city.name' have the same text"):
        built(labels, "text")
    built(labels, "text+free")
    with pytest.raises(ConfigError, match=r"sub-tokens, and the backbone reads 40; shorten"):
        built({"music": ("city_" * 60,)}, "text")


@pytest.mark.parametrize("head", HEADS)
def test_a_mixed_batch_is_its_single_task_batches(head: str) -> None:
    model, given = model_of("bert", "hyperloader", head=head), windows("bert")
    together, index = terms(model, "bert", given)
    for i, window in enumerate(given):
        alone, _ = terms(model, "bert", [window])
        torch.testing.assert_close(together[index == i], alone, atol=1e-5, rtol=1e-5)


@EVERY
@pytest.mark.parametrize("read", ["mean", "mix"])
def test_what_a_head_reads_is_what_transformers_gives(kind: str, read: str) -> None:
    """The method that attaches nothing, so that the states are those of the encoder itself."""
    model = model_of(kind, "full", **READS[read])
    if model.layer_mix is not None:
        with torch.no_grad():
            model.layer_mix.weight.normal_()
    encoder = encoder_of(kind)
    (window,) = encode_words(codec_of(kind), ("redbreasts", "of", "oslo"), "music")
    ids = torch.tensor([window.source])
    with torch.no_grad():
        states = encoder(ids, output_hidden_states=True).hidden_states
        layers = torch.stack(states[1:])
        state = states[-1]
        if model.layer_mix is not None:
            state = torch.einsum("l,lbsd->bsd", model.layer_mix.weight.softmax(0), layers)
        bounds = [*window.first, len(window.source) - 1]
        words = [state[0, a : b if read == "mean" else a + 1].mean(0) for a, b in pairwise(bounds)]
        expected = F.linear(torch.stack(words), *(part[0] for part in head_of(model, "music")))
        rows = pack([window], pad=0, together=False)
        found = model.read(rows)[0]
    assert max(map(len, window.pieces)) > 1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("read", ["mean", "both"])
def test_packed_rows_are_read_as_rows_of_their_own(
    read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, given = model_of("bert", "hyperloader", **READS[read]), windows("bert") * 3
    found = []
    for packs in (True, False):
        monkeypatch.setattr(model, "packs", packs)
        losses, index = terms(model, "bert", given)
        found.append(torch.zeros(len(given)).index_add(0, index, losses.detach()))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("head", HEADS)
def test_a_checkpoint_brings_everything_back_and_needs_no_transformers(
    head: str, tmp_path: Path
) -> None:
    model, codec = model_of("bert", "hyperloader", head=head, **READS["both"]), codec_of("bert")
    save_checkpoint(tmp_path / "c", model, codec)
    expected = Tagger(model, codec).tag(TEXTS, TASKS)
    assert any(tagged.spans for tagged in expected)
    loaded = load_checkpoint(tmp_path / "c")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, loaded.model.get_parameter(name))
    assert Tagger(loaded.model, loaded.codec).tag(TEXTS, TASKS) == expected
    light = load_checkpoint(tmp_path / "c", tagging_only=True)
    assert isinstance(light.model.backbone, LightBert)
    for one, other in zip(
        Tagger(light.model, light.codec).tag(TEXTS, TASKS), expected, strict=True
    ):
        assert [(s.start, s.end, s.label) for s in one.spans] == [
            (s.start, s.end, s.label) for s in other.spans
        ]
        scores = [s.score for s in other.spans]
        assert [s.score for s in one.spans] == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize(("head", "task"), [("text+free", "music"), ("generated+text", None)])
def test_it_becomes_onnx(head: str, task: str | None, tmp_path: Path) -> None:
    one_layer = load_again("bert", num_hidden_layers=1) if task else None
    reads = READS["mean" if task else "both"]
    model = model_of("bert", "hyperloader", head=head, backbone=one_layer, **reads)
    tagger = Tagger(model, codec_of("bert"))
    tagger.save_onnx(tmp_path / "onnx", task)
    graph = Tagger.from_pretrained(tmp_path / "onnx")
    some = [(text, t) for text, t in zip(TEXTS, TASKS, strict=True) if t in graph.tasks]
    texts, tasks = [text for text, _ in some], [t for _, t in some]
    for one, other in zip(
        graph.tag(texts, tasks, alternatives=9),
        tagger.tag(texts, tasks, alternatives=9),
        strict=True,
    ):
        for choices, expected in zip(one.alternatives, other.alternatives, strict=True):
            assert {c.tags: c.probability for c in choices} == pytest.approx(
                {c.tags: c.probability for c in expected}, abs=1e-4
            )


def test_in_int_8_it_still_tags() -> None:
    model = model_of("bert", "hyperloader", head="text", **READS["both"])
    exact = Tagger(model, codec_of("bert")).tag(TEXTS, TASKS, alternatives=1)
    quantise(model)
    rounded = Tagger(model, codec_of("bert")).tag(TEXTS, TASKS, alternatives=1)
    same = [
        a[0].tags == b[0].tags
        for one, other in zip(exact, rounded, strict=True)
        for a, b in zip(one.alternatives or (), other.alternatives or (), strict=True)
    ]
    assert sum(same) > 0.8 * len(same)


@pytest.mark.parametrize("head", HEADS)
def test_training_resumes_bit_for_bit_and_trains_the_head(head: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "backbone": str(bert_folder(tmp_path / "bert")),
        "model": {"method": "hyperloader", "head": head, **READS["both"]},
        "training": {"steps": 4, "head_learning_rate": 1e-2, "gradient_checkpointing": True},
        "validation": {"every": 2},
        "data": {"batches": "mixed"},
    }
    trainer = make_trainer(tmp_path / "whole", **settings)
    model = trainer.model
    names = {n for n in model.head_names() if model.get_parameter(n).requires_grad}
    assert "layer_mix.weight" in names
    assert {n for n in names if trainer._peak_rate(n) == 1e-2} == names
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    trainer.train()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert names <= moved <= set(model.trainable_names())
    assert_resumes(tmp_path / "whole", tmp_path / "cut", **settings)
