"""BERT and the encoders whose modules have its names: post-norm, absolute positions, no decoder."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from hyperloader.backbones.bert.light_model import LightBert, light_bert
from hyperloader.backbones.family import Family, Spot
from hyperloader.backbones.joins import before_norm
from hyperloader.backbones.places import ENCODER, Place

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Bert(Family):
    """BERT, RoBERTa, XLM-RoBERTa and ELECTRA."""

    name = "BERT"
    model_types = ("bert", "roberta", "xlm-roberta", "electra")
    stacks = (ENCODER,)
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
    output = "token_tags"
    first_norm = 0.1
    dropout = "hidden_dropout_prob"
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "bert-base": {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072},
        "bert-large": {"hidden_size": 1024, "num_hidden_layers": 24, "intermediate_size": 4096},
    }
    example = "minilm, or a Hub name such as google-bert/bert-base-uncased"

    def load(self, path: str, dropout: float | None = None) -> "PreTrainedModel":
        """See :meth:`Family.load`. Raises ValueError also where weights are missing."""
        from transformers import AutoModel

        rates = (self.dropout, "attention_probs_dropout_prob")
        changes = {} if dropout is None else dict.fromkeys(rates, dropout)
        encoder, report = AutoModel.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            add_pooling_layer=False,
            output_loading_info=True,
            **changes,
        )
        if missing := sorted(report["missing_keys"]):
            raise ValueError(f"it lacks {missing[0]} ({len(missing)} such weights)")
        return encoder.eval()

    def build(self, config: Any) -> "PreTrainedModel":
        """See :meth:`Family.build`; without a pooling layer."""
        from transformers import AutoModel

        return AutoModel.from_config(
            config, add_pooling_layer=False, trust_remote_code=False
        ).eval()

    def shape(self, sizes: Mapping[str, Any]) -> Any:
        """See :meth:`Family.shape`."""
        from transformers import BertConfig

        return BertConfig(num_attention_heads=sizes["hidden_size"] // 64, **sizes)

    def light(self, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LightBert | None:
        """See :meth:`Family.light`."""
        return light_bert(settings, tensors)

    def max_tokens(self, backbone: Any) -> int:
        """See :meth:`Family.max_tokens`."""
        return int(_table(backbone).num_embeddings) - _before(backbone)

    def told_places(self, backbone: Any, places: Tensor) -> dict[str, Tensor]:
        """See :meth:`Family.told_places`."""
        return {"position_ids": places + _before(backbone)}

    def is_norm(self, parameter: str) -> bool:
        """See :meth:`Family.is_norm`."""
        return ".LayerNorm." in f".{parameter}"


def _table(backbone: Any) -> nn.Embedding:
    return backbone.embeddings.position_embeddings


def _before(backbone: Any) -> int:
    """Positions that no token has: RoBERTa's begin after that of the padding."""
    padding = _table(backbone).padding_idx
    return 0 if padding is None else padding + 1
