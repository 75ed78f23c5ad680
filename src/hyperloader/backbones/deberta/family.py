"""DeBERTa, its second and third version: post-norm, attention by content and by distance."""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import nn

from hyperloader.backbones.encoder import Encoder
from hyperloader.backbones.family import Spot
from hyperloader.backbones.joins import before_norm
from hyperloader.backbones.places import Place

_BIAS = "disentangled_attention_bias"
_V3 = {
    "relative_attention": True,
    "position_buckets": 256,
    "max_relative_positions": -1,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": "p2c|c2p",
    "position_biased_input": False,
}


class Deberta(Encoder):
    """DeBERTa-v2, DeBERTa-v3 and mDeBERTa-v3. Their attention takes no prefix."""

    name = "DeBERTa"
    model_types = ("deberta-v2",)
    layer = r"encoder\.layer\.(?P<layer>\d+)"
    spots: ClassVar[Mapping[Place, Spot]] = {
        Place.FEED_FORWARD: Spot(r"\.output\.dense$"),
        Place.SELF_ATTENTION: Spot(r"\.attention\.output\.dense$"),
        Place.SELF_QUERY: Spot(r"\.attention\.self\.query_proj$"),
        Place.SELF_VALUE: Spot(r"\.attention\.self\.value_proj$"),
        Place.FEED_FORWARD_NORM: Spot(r"\.output\.LayerNorm$", nn.LayerNorm, before_norm),
    }
    first_norm = 0.1
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "deberta-v3-small": {**_V3, "hidden_size": 768, "num_hidden_layers": 6,
                             "num_attention_heads": 12, "intermediate_size": 3072},
        "deberta-v3-base": {**_V3, "hidden_size": 768, "num_hidden_layers": 12,
                            "num_attention_heads": 12, "intermediate_size": 3072},
        "deberta-v3-large": {**_V3, "hidden_size": 1024, "num_hidden_layers": 24,
                             "num_attention_heads": 16, "intermediate_size": 4096},
    }  # fmt: skip
    example = "microsoft/deberta-v3-base"

    def apart(self, backbone: nn.Module) -> Iterable[tuple[nn.Module, str]]:
        """See :meth:`Family.apart`.

        With ``share_att_key``, as published, embeddings of distances go through the projections of
        queries and keys too, once for all rows. They are of no task: what is attached changes the
        queries of tokens alone.
        """
        return [(module, _BIAS) for module in backbone.modules() if hasattr(module, _BIAS)]
