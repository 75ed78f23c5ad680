"""Published parameter counts for T5-base and seven tasks, to the unit, without any weights."""

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.backbones.loading import meta_backbone
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.model import TaggingModel

SEVEN = ("atis", "movie", "movie_trivia", "mtod", "mtop", "restaurant", "snips")


@pytest.mark.parametrize(
    ("settings", "trainable", "total"),
    [
        ({}, 6_784_368, 229_640_304),
        ({"task_embedding_dim": 512}, 6_902_192, 229_758_128),
        ({"lora_rank": 16}, 8_357_232, 231_213_168),
        ({"lora_generators": "per_place"}, 11_502_960, None),
        ({"method": "hyperformer++"}, 5_210_992, 228_066_928),
        ({"method": "hyperformer"}, 10_289_312, 233_145_248),
        ({"train_backbone": "none"}, 6_784_368 - 47_616, 229_640_304),
        ({"train_backbone": "all"}, 229_640_304, 229_640_304),
    ],
    ids=str,
)
def test_published_counts(settings: dict, trainable: int, total: int | None) -> None:
    with torch.device("meta"):
        model = TaggingModel(meta_backbone("t5-base"), ModelConfig(tasks=SEVEN, **settings))
    counts = model.parameter_counts()
    assert counts["trainable"] == trainable
    assert counts["total"] == (total or 222_903_552 - 47_616 + trainable)
    assert all(parameter.is_meta for parameter in model.parameters())


def test_published_counts_of_the_parts() -> None:
    source = TaggingModel(meta_backbone("t5-base"), ModelConfig(tasks=SEVEN)).source
    assert source.task_embeddings.weight.shape == (7, 64)
    for stack in (source.encoder, source.decoder):
        adapter, lora = (generator.linear for generator in stack.generators)
        assert stack.layer_embeddings.weight.shape == (12, 64)
        assert stack.position_embeddings.weight.shape == (6, 64)
        assert sum(p.numel() for p in stack.projector.parameters()) == 32_960
        assert sum(p.numel() for p in stack.norm.parameters()) == 128
        assert sum(p.numel() for p in adapter.parameters()) == 1_248_000 + 1_199_640 + 99_840
        assert sum(p.numel() for p in lora.parameters()) == 2 * 393_216
        assert lora.bias is None


def test_meta_backbone_is_the_published_shape() -> None:
    assert sum(p.numel() for p in meta_backbone("t5-base").parameters()) == 222_903_552
    assert sum(p.numel() for p in meta_backbone("t5-small").parameters()) == 60_506_624


def test_a_task_more_costs_one_embedding() -> None:
    def trainable(tasks: tuple[str, ...]) -> int:
        backbone = T5ForConditionalGeneration(T5Config(**TINY))
        return TaggingModel(backbone, ModelConfig(tasks=tasks)).parameter_counts()["trainable"]

    assert trainable(("a", "b", "c")) - trainable(("a", "b")) == 64


TINY = {"vocab_size": 40, "d_model": 32, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
