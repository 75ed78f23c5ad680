"""BERT and the encoders whose modules have its names: post-norm, absolute positions, no decoder."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from hyperloader.backbones.bert.light_model import LightBert, light_bert
from hyperloader.backbones.encoder import Encoder, unused_positions
from hyperloader.backbones.family import Spot
from hyperloader.backbones.joins import before_norm
from hyperloader.backbones.places import Place

_LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
}
_ROBERTA = {"model_type": "roberta", "vocab_size": 50265, "type_vocab_size": 1}
_XLM = {"model_type": "xlm-roberta", "vocab_size": 250002, "type_vocab_size": 1}
_514 = {"max_position_embeddings": 514}


class Bert(Encoder):
    """BERT, RoBERTa, XLM-RoBERTa and ELECTRA."""

    name = "BERT"
    model_types = ("bert", "roberta", "xlm-roberta", "electra")
    layer = r"encoder\.layer\.(?P<layer>\d+)"
    # Adapters stand where the outputs of a sublayer leave it, before dropout, residual and norm;
    # the published UniPELT has its own at the norm.
    spots: ClassVar[Mapping[Place, Spot]] = {
        Place.FEED_FORWARD: Spot(r"\.output\.dense$"),
        Place.SELF_ATTENTION: Spot(r"\.attention\.output\.dense$"),
        Place.SELF_QUERY: Spot(r"\.attention\.self\.query$"),
        Place.SELF_VALUE: Spot(r"\.attention\.self\.value$"),
        Place.SELF_PREFIX: Spot(r"\.attention\.self$", nn.Module),
        Place.FEED_FORWARD_NORM: Spot(r"\.output\.LayerNorm$", nn.LayerNorm, before_norm),
    }
    first_norm = 0.1
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "bert-base": {},
        "bert-large": _LARGE,
        "roberta-base": {**_ROBERTA, **_514},
        "roberta-large": {**_ROBERTA, **_514, **_LARGE},
        "xlm-roberta-base": {**_XLM, **_514},
        "xlm-roberta-large": {**_XLM, **_514, **_LARGE},
    }
    example = "minilm, or a Hub name such as google-bert/bert-base-uncased"

    def light(self, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LightBert | None:
        """See :meth:`Family.light`."""
        return light_bert(settings, tensors)

    def told_places(self, backbone: Any, places: Tensor) -> dict[str, Tensor]:
        """See :meth:`Family.told_places`."""
        table = backbone.embeddings.position_embeddings
        return {"position_ids": places + unused_positions(table)}
