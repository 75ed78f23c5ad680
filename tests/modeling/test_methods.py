"""Every method of the table: published counts, training, saving, tagging, and what it computes."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from helpers import (
    LABELS,
    batch_of,
    methods_on,
    randomise,
    run,
    tiny_backbone,
    tiny_codec,
    tiny_model,
)
from hyperloader.backbones.loading import meta_backbone
from hyperloader.backbones.places import Place
from hyperloader.backbones.t5.family import T5
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS
from hyperloader.modeling.modules.adapter import AdapterWeights
from hyperloader.modeling.modules.lora import LoraWeights
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tagger import Tagger
from training_helpers import cli, corpora, log, make_trainer

CODEC = tiny_codec()
SEVEN = ("atis", "movie", "movie_trivia", "mtod", "mtop", "restaurant", "snips")
ON_T5 = methods_on(T5())
NEW = [n for n in ON_T5 if n not in ("hyperloader", "hyperformer++", "hyperformer")]


def model_of(method: str, **settings: Any) -> TaggingModel:
    """A small model with random attached parts; methods for one task get the first one."""
    if not METHODS[method].single_task:
        return tiny_model(CODEC, method=method, random=True, **settings)
    config = ModelConfig(method=method, tasks=("music",), **settings)
    model = TaggingModel(tiny_backbone(CODEC), config)
    randomise(model)
    return model.eval()


def logits_of(model: TaggingModel, *tasks: str) -> Tensor:
    with torch.no_grad():
        return run(model, batch_of(*tasks))[0]


@pytest.mark.parametrize(
    ("settings", "trainable"),
    [
        ({"method": "hyperdecoder"}, 16_448_824 - 1_189_632),
        ({"method": "unipelt-t5"}, 4_462_848),
        ({"method": "adapter"}, 1_928_832),
        ({"method": "adapter", "reduction_factor": 16}, 3_699_456),
        ({"method": "adapter-dagger"}, 12_773_760),
        ({"method": "adapter-dagger", "reduction_factor": 16}, 25_168_128),
        ({"method": "lora"}, 884_736),
        ({"method": "full"}, 222_903_552),
        # Ablations without a published count: by hand from those of the parts.
        ({"method": "lora", "lora_rank": 16}, 2 * 884_736),
        ({"method": "lora", "lora_places": ["self_query", "self_value"]}, 2 * 884_736 // 3),
        ({"method": "hyperlora"}, 2 * 2 * 393_216 + 2 * (12 + 4) * 64 + 2 * 33_088 + 448 + 47_616),
        ({"lora_places": ["self_query", "self_value"]}, 6_784_368 - 2 * 2 * 64),
        ({"conditional_norm": False}, 6_784_368 - 2 * 99_840),
    ],
    ids=str,
)
def test_counts_for_t5_base(settings: dict[str, Any], trainable: int) -> None:
    method = METHODS[settings.get("method", "hyperloader")]
    config = ModelConfig(tasks=SEVEN[:1] if method.single_task else SEVEN, **settings)
    with torch.device("meta"):
        model = TaggingModel(meta_backbone("t5-base"), config)
    counts = model.parameter_counts()
    assert counts["trainable"] == trainable
    trained = {"none": 0, "layer_norms": 47_616, "all": 222_903_552}[config.train_backbone]
    assert counts["total"] == 222_903_552 + trainable - trained


def test_the_command_prints_every_published_count() -> None:
    document = json.loads(cli("methods", "--json").out)
    rows = [
        (row["method"], *row["settings"].values(), row["trainable"]) for row in document["methods"]
    ]
    published = [
        ("hyperloader", 6_784_368),
        ("hyperloader", 512, 6_902_192),
        ("hyperloader", 16, 8_357_232),
        ("hyperloader", "per_place", 11_502_960),
        ("hyperformer++", 5_210_992),
        ("hyperformer", 10_289_312),
        ("hyperdecoder", 16_448_824),
        ("unipelt-t5", 4_462_848),
        ("unipelt-bert", 11_083_376),
        ("unipelt-bert", 1_410_672),
        ("adapter", 1_928_832),
        ("adapter", 16, 3_699_456),
        ("adapter-dagger", 12_773_760),
        ("adapter-dagger", 16, 25_168_128),
        ("lora", 884_736),
        ("full", 222_903_552),
    ]
    assert [row for row in published if row not in rows] == []
    marked = [(r["method"], r["trainable"]) for r in document["methods"] if r["convention"]]
    assert marked == [("hyperdecoder", 16_448_824), ("unipelt-bert", 1_410_672)]
    (hyperdecoder,) = (r for r in document["methods"] if r["trainable"] == 16_448_824)
    assert hyperdecoder["total"] == 239_352_376
    table = cli("methods").out
    assert "hyperdecoder*" in table
    assert "* unipelt-bert in use" in table


@pytest.mark.parametrize("method", ON_T5)
def test_it_trains_saves_loads_and_tags(method: str, tmp_path: Path) -> None:
    names = ["dining"] if METHODS[method].single_task else ["dining", "home"]
    settings = {"method": method, "train_backbone": METHODS[method].settings.get("train_backbone")}
    trainer = make_trainer(
        tmp_path / "run",
        on={name: corpora()[name] for name in names},
        model={key: value for key, value in settings.items() if value},
        training={"steps": 4},
        validation={"every": 4},
        dropout=0.0,
    )
    model = trainer.model
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.train()
    assert log(tmp_path / "run", "validation")[-1]["loss"] > 0
    trained = set(model.trainable_names())
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed <= trained
    # Some of a vocabulary, and of T5's position buckets, may never have been needed.
    assert {n for n in trained - changed if not n.startswith("backbone.")} == set()
    tagger = Tagger.from_pretrained(tmp_path / "run")
    best = dict(tagger.model.named_parameters())
    assert all(torch.equal(best[name], p) for name, p in model.named_parameters())
    texts = ["a table for two at noon", "", "turn on the lights in the kitchen please"]
    for found, text in zip(tagger.tag(texts, names[-1]), texts, strict=True):
        assert found.words == tuple(text.split())
        assert {span.label for span in found.spans} <= set(tagger.labels(names[-1]))


@pytest.mark.parametrize("method", ON_T5)
def test_a_saved_model_answers_as_before(method: str, tmp_path: Path) -> None:
    model = model_of(method)
    model.save_pretrained(tmp_path / "saved")
    loaded = TaggingModel.from_pretrained(tmp_path / "saved")
    assert loaded.config == model.config
    assert torch.equal(logits_of(loaded, "music", "music"), logits_of(model, "music", "music"))


@pytest.mark.parametrize("method", [name for name in NEW if name != "full"])
def test_only_what_is_attached_changes_the_answer(method: str) -> None:
    model, plain = model_of(method), tiny_backbone(CODEC).eval()
    batch = batch_of("music", "music")
    inputs = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    with torch.no_grad():
        expected = plain(**inputs, labels=batch.labels).logits
    ours = logits_of(model, "music", "music")
    assert (ours - expected).abs().max() > 1e-2
    with torch.no_grad():
        for name, parameter in model.source.named_parameters():
            if "up_" in name or name.endswith((".b", "generators.0.linear.weight")):
                parameter.zero_()
            if "generator.linear" in name or "norm_" in name:
                parameter.zero_()
    torch.testing.assert_close(logits_of(model, "music", "music"), expected, atol=1e-5, rtol=1e-5)


def test_lora_is_the_merged_matrix() -> None:
    model = model_of("lora", lora_alpha=4.0)
    merged = tiny_backbone(CODEC).eval()
    projections = {
        Place.SELF_QUERY: (0, "SelfAttention", "q"),
        Place.SELF_VALUE: (0, "SelfAttention", "v"),
        Place.CROSS_QUERY: (1, "EncDecAttention", "q"),
        Place.CROSS_VALUE: (1, "EncDecAttention", "v"),
    }
    with torch.no_grad():
        for site, weights in model.weights(torch.tensor([0])).items():
            assert isinstance(weights, LoraWeights)
            layer, attention, name = projections[site.place]
            block = getattr(merged, site.stack).block[site.layer].layer[layer]
            linear = getattr(getattr(block, attention), name)
            linear.weight += 4.0 / 8 * weights.b[0] @ weights.a[0]
        batch = batch_of("music")
        expected = merged(batch.input_ids, batch.attention_mask, labels=batch.labels).logits
    torch.testing.assert_close(logits_of(model, "music"), expected, atol=1e-5, rtol=1e-5)


class _Adapted(nn.Module):
    """A linear layer and an adapter after it, of torch's own modules."""

    def __init__(self, linear: nn.Linear, w: AdapterWeights) -> None:
        super().__init__()
        rank, width = w.down_weight.shape[1:]
        self.weight = linear.weight  # the gated feed-forward looks at its type
        norm = nn.Identity() if w.norm_weight is None else nn.LayerNorm(width)
        act = nn.ReLU() if w.norm_weight is None else nn.GELU(approximate="tanh")
        self.linear = linear
        self.adapter = nn.Sequential(nn.Linear(width, rank), act, nn.Linear(rank, width), norm)
        parameters = [w.down_weight, w.down_bias, w.up_weight, w.up_bias]
        parameters += [part for part in (w.norm_weight, w.norm_bias) if part is not None]
        for mine, given in zip(self.adapter.parameters(), parameters, strict=True):
            mine.data = given[0]

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return self.adapter(y) + y


@pytest.mark.parametrize("method", ["adapter", "unipelt-t5", "adapter-dagger"])
def test_adapters_are_torch_modules_after_the_sublayers(method: str) -> None:
    model = model_of(method)
    by_hand = tiny_backbone(CODEC).eval()
    if method == "unipelt-t5":
        with torch.no_grad():
            for name, parameter in model.source.named_parameters():
                if name.endswith(".b"):
                    parameter.zero_()
    with torch.no_grad():
        for site, weights in model.weights(model.task_ids("music")).items():
            if isinstance(weights, AdapterWeights):
                layers = getattr(by_hand, site.stack).block[site.layer].layer
                if site.place is Place.SELF_ATTENTION:
                    layers[0].SelfAttention.o = _Adapted(layers[0].SelfAttention.o, weights)
                else:
                    dense = layers[-1].DenseReluDense
                    dense.wo = _Adapted(dense.wo, weights)
        batch = batch_of("music")
        expected = by_hand(batch.input_ids, batch.attention_mask, labels=batch.labels).logits
    torch.testing.assert_close(logits_of(model, "music"), expected, atol=1e-5, rtol=1e-5)


def test_adapter_dagger_keeps_tasks_apart_but_for_the_norms() -> None:
    model = model_of("adapter-dagger")
    mixed = logits_of(model, "music", "flights", "one")
    for part, parts_of_others in (("up_weight", {"flights"}), ("norm_bias", {*LABELS})):
        changed = copy.deepcopy(model)
        with torch.no_grad():
            for name, parameter in changed.source.named_parameters():
                if name.endswith(part):
                    assert parameter.shape[1] == (3 if part == "up_weight" else 1)
                    parameter[:, -1 if part == "norm_bias" else 1] += 0.5
        differ = (logits_of(changed, "music", "flights", "one") - mixed).flatten(1).abs().amax(1)
        assert {t for t, d in zip(LABELS, differ.tolist(), strict=True) if d > 0} == parts_of_others


def test_full_is_the_backbone_itself_and_saved_whole(tmp_path: Path) -> None:
    backbone = tiny_backbone(CODEC)
    config = ModelConfig(method="full", tasks=("a", "b"))
    model = TaggingModel(backbone, config, backbone_name="not/there").eval()
    batch = batch_of("music")
    ids, mask = batch.input_ids, batch.attention_mask
    with torch.no_grad():
        expected = backbone(ids, mask, labels=batch.labels).logits
        ours = model(ids, mask, task_ids=torch.tensor([1]), labels=batch.labels).logits
    assert torch.equal(ours, expected)
    model.save_pretrained(tmp_path / "saved")
    loaded = TaggingModel.from_pretrained(tmp_path / "saved")  # the name is not needed
    assert all(map(torch.equal, loaded.backbone.parameters(), backbone.parameters()))


def test_methods_start_near_the_backbone() -> None:
    """As published: LoRA exactly, Hyperdecoder's adapters almost."""
    batch = batch_of("music")
    with torch.no_grad():
        plain = tiny_backbone(CODEC).eval()(
            batch.input_ids, batch.attention_mask, labels=batch.labels
        )
        for method, within in (("hyperlora", 0.0), ("lora", 0.0), ("hyperdecoder", 1e-3)):
            tasks = ("music",)
            fresh = TaggingModel(tiny_backbone(CODEC), ModelConfig(method=method, tasks=tasks))
            far = (run(fresh.eval(), batch)[0] - plain.logits).abs().max().item()
            assert far <= within, method
            assert any(p.any() for p in fresh.source.parameters())
