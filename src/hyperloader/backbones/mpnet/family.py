"""MPNet: post-norm, absolute positions and a bias by relative ones that all layers share."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from hyperloader.backbones.encoder import Encoder
from hyperloader.backbones.family import Spot
from hyperloader.backbones.joins import before_norm
from hyperloader.backbones.places import Place


class MPNet(Encoder):
    """MPNet. Its attention takes no prefix, and transformers cannot recompute its layers."""

    name = "MPNet"
    model_types = ("mpnet",)
    layer = r"encoder\.layer\.(?P<layer>\d+)"
    spots: ClassVar[Mapping[Place, Spot]] = {
        Place.FEED_FORWARD: Spot(r"\.output\.dense$"),
        Place.SELF_ATTENTION: Spot(r"\.attention\.attn\.o$"),
        Place.SELF_QUERY: Spot(r"\.attention\.attn\.q$"),
        Place.SELF_VALUE: Spot(r"\.attention\.attn\.v$"),
        Place.FEED_FORWARD_NORM: Spot(r"\.output\.LayerNorm$", nn.LayerNorm, before_norm),
    }
    first_norm = 0.1
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "mpnet-base": {"max_position_embeddings": 514}
    }
    example = "microsoft/mpnet-base"
