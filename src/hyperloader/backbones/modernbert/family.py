"""ModernBERT: pre-norm, rotary positions, gated feed-forward, one projection for q, k and v."""

from collections.abc import Mapping
from typing import Any, ClassVar

from hyperloader.backbones.encoder import Encoder
from hyperloader.backbones.family import Spot
from hyperloader.backbones.places import Place


class ModernBert(Encoder):
    """ModernBERT. Its attention takes no prefix.

    A dropout rate is that of the feed-forward (and of a tagging head); published models have none.
    """

    name = "ModernBERT"
    model_types = ("modernbert",)
    layer = r"layers\.(?P<layer>\d+)"
    # Wqkv makes queries, keys and values at once.
    spots: ClassVar[Mapping[Place, Spot]] = {
        Place.FEED_FORWARD: Spot(r"\.mlp\.Wo$"),
        Place.SELF_ATTENTION: Spot(r"\.attn\.Wo$"),
        Place.SELF_QUERY: Spot(r"\.attn\.Wqkv$", part=0, parts=3),
        Place.SELF_VALUE: Spot(r"\.attn\.Wqkv$", part=2, parts=3),
    }
    dropouts = ("mlp_dropout", "attention_dropout")
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "modernbert-base": {},
        "modernbert-large": {
            "hidden_size": 1024,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "intermediate_size": 2624,
        },
    }
    example = "answerdotai/ModernBERT-base"
