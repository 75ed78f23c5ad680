"""Settings of methods: what does not fit is one line, and what a method or an ablation sets."""

from typing import Any

import pytest
import torch
from torch import nn

from helpers import methods_on, tiny_backbone, tiny_codec, tiny_model
from hyperloader.backbones.places import Place
from hyperloader.backbones.t5.family import T5
from hyperloader.config import parse_model
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import LORA_PLACES, METHODS
from hyperloader.modeling.modules.lora import LoraWeights
from hyperloader.outputs.sentt.model import TaggingModel

CODEC = tiny_codec()


def refused(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_model(ModelConfig, {"tasks": ("a",), **settings}, "recipe, model")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_settings_that_do_not_fit_are_one_line() -> None:
    assert "did you mean 'hyperlora'" in refused(method="hyperlorra")
    assert "unknown place 'cross'" in refused(lora_places=["cross"])
    assert "did you mean 'self_query'" in refused(lora_places=["self_qery"])
    message = refused(method="hyperformer++", lora_places=["self_query"])
    assert "'hyperformer++' has no LoRA at 'self_query' (it has: none)" in message
    assert "no LoRA at 'feed_forward'" in refused(lora_places=["feed_forward"])
    assert "lora_places is empty" in refused(lora_places=[])
    assert "none is nothing" in refused(method="full", train_backbone="none")
    for method in ("adapter", "lora", "unipelt-t5", "unipelt-bert"):
        assert "is for one task" in refused(method=method, tasks=("a", "b"))
    assert refused(method=["lora"])
    with pytest.raises(ConfigError, match="did you mean 'hyperlora'"):
        METHODS.named("hyperlorra")


def test_backbones_that_a_method_cannot_attach_to_are_refused() -> None:
    for method in methods_on(T5()):
        with pytest.raises(ConfigError, match="a Linear is no backbone"):
            TaggingModel(nn.Linear(2, 2), ModelConfig(method=method, tasks=("a",)))
    missing = "'unipelt-bert' cannot be used here: a T5 backbone has no place 'self_prefix'"
    with pytest.raises(ConfigError, match=missing):
        TaggingModel(tiny_backbone(CODEC), ModelConfig(method="unipelt-bert", tasks=("a",)))
    quantised = tiny_backbone(CODEC)
    quantised.encoder.block[0].layer[0].SelfAttention.q = nn.Identity()
    with pytest.raises(ConfigError, match="self_query in layer 0 of the encoder is a Identity"):
        TaggingModel(quantised, ModelConfig(method="lora", tasks=("a",)))
    twice = tiny_model(CODEC, method="hyperdecoder").backbone
    with pytest.raises(ConfigError, match="already has modules attached"):
        TaggingModel(twice, ModelConfig(method="full", tasks=("a",)))
    uneven = tiny_backbone(CODEC)
    uneven.decoder.block[1].layer[0].SelfAttention.v = nn.Linear(64, 32)
    with pytest.raises(ConfigError, match=r"differ in width between layers \(\(64, 32\), \(64, 64"):
        TaggingModel(uneven, ModelConfig(method="lora", tasks=("a",)))


def test_ablations_attach_what_they_say() -> None:
    model = tiny_model(CODEC, lora_places=["self_value", "self_query"], lora_rank=16)
    made = model.weights(torch.tensor([0])).items()
    lora = {site.place: w for site, w in made if isinstance(w, LoraWeights)}
    assert set(lora) == {Place.SELF_QUERY, Place.SELF_VALUE}
    assert {w.a.shape for w in lora.values()} == {(1, 16, 64)}
    assert [place.value for place in model.method.places[2:]] == ["self_query", "self_value"]
    (lora_only,) = METHODS["hyperlora"].groups
    assert (lora_only.module, lora_only.places) == ("lora", LORA_PLACES)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_sets_its_own_defaults_and_a_recipe_overrides_them(name: str) -> None:
    method, config = METHODS[name], ModelConfig(method=name, tasks=("a",))
    assert {key: getattr(config, key) for key in method.settings} == method.settings
    changed = ModelConfig(method=name, tasks=("a",), activation="silu", reduction_factor=3)
    assert (changed.activation, changed.reduction_factor) == ("silu", 3)
    assert ModelConfig(**config.model_dump(mode="json")) == config


def test_published_settings() -> None:
    def of(name: str) -> ModelConfig:
        return ModelConfig(method=name, tasks=("a",))

    assert (of("hyperdecoder").adapter_dim, of("hyperdecoder").activation) == (64, "relu")
    assert of("hyperdecoder").layer_embedding_dim == 10
    assert (of("unipelt-t5").reduction_factor, of("unipelt-t5").lora_scale) == (16, 1.0)
    assert (of("unipelt-bert").prefix_length, of("unipelt-bert").prefix_hidden_dim) == (10, 512)
    assert {n for n in METHODS if METHODS[n].task_prefix == "always"} == {"hyperdecoder"}
    assert METHODS["full"].task_prefix == "several"
    frozen = {name for name in METHODS if of(name).train_backbone == "none"}
    assert frozen == {"hyperdecoder", "unipelt-t5", "unipelt-bert", "lora"}
