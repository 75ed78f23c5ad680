"""DistilBERT: a BERT of half the layers, with names of its own."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from hyperloader.backbones.encoder import Encoder
from hyperloader.backbones.family import Spot
from hyperloader.backbones.joins import before_norm
from hyperloader.backbones.places import Place


class DistilBert(Encoder):
    """DistilBERT; post-norm, absolute positions. Its attention takes no prefix."""

    name = "DistilBERT"
    model_types = ("distilbert",)
    layer = r"transformer\.layer\.(?P<layer>\d+)"
    spots: ClassVar[Mapping[Place, Spot]] = {
        Place.FEED_FORWARD: Spot(r"\.ffn\.lin2$"),
        Place.SELF_ATTENTION: Spot(r"\.attention\.out_lin$"),
        Place.SELF_QUERY: Spot(r"\.attention\.q_lin$"),
        Place.SELF_VALUE: Spot(r"\.attention\.v_lin$"),
        Place.FEED_FORWARD_NORM: Spot(r"\.output_layer_norm$", nn.LayerNorm, before_norm),
    }
    dropouts = ("dropout", "attention_dropout")
    first_norm = 0.1
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {"distilbert-base": {}}
    example = "distilbert/distilbert-base-uncased"
