"""What the families of encoders share: what is theirs alone is names, said in a folder of each."""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from hyperloader.backbones.family import Family
from hyperloader.backbones.places import ENCODER

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Encoder(Family):
    """Backbones without a decoder that transformers' ``AutoModel`` loads, without pooling layers.

    Published shapes are of the first of the ``model_types`` unless they name another one.
    """

    stacks = (ENCODER,)
    output = "token_tags"
    dropouts: ClassVar[tuple[str, ...]] = ("hidden_dropout_prob", "attention_probs_dropout_prob")

    def load(self, path: str, rates: Mapping[str, float]) -> "PreTrainedModel":
        """See :meth:`Family.load`. Raises ValueError also where weights are missing."""
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.from_pretrained(path, trust_remote_code=False, **rates)
        encoder, report = AutoModel.from_pretrained(
            path,
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **_without_pooling(config),
        )
        if missing := sorted(report["missing_keys"]):
            raise ValueError(f"it lacks {missing[0]} ({len(missing)} such weights)")
        return encoder.eval()

    def build(self, config: Any) -> "PreTrainedModel":
        """See :meth:`Family.build`."""
        from transformers import AutoModel

        return AutoModel.from_config(
            config, trust_remote_code=False, **_without_pooling(config)
        ).eval()

    def shape(self, sizes: Mapping[str, Any]) -> Any:
        """See :meth:`Family.shape`."""
        from transformers import AutoConfig

        return AutoConfig.for_model(**{"model_type": self.model_types[0], **sizes})

    def max_tokens(self, backbone: Any) -> int:
        """See :meth:`Family.max_tokens`: rows of the table of positions; without one, what the
        configuration says that it was trained for."""
        table = getattr(backbone.embeddings, "position_embeddings", None)
        if table is None:
            return int(backbone.config.max_position_embeddings)
        return int(table.num_embeddings) - unused_positions(table)

    def is_norm(self, parameter: str) -> bool:
        """See :meth:`Family.is_norm`: the module is called LayerNorm, attn_norm, …"""
        return parameter.rpartition(".")[0].lower().endswith("norm")

    def reader(self, backbone: Any) -> nn.Module:
        """See :meth:`Family.reader`."""
        return backbone


def unused_positions(table: nn.Embedding) -> int:
    """Rows of a table of positions that no token has: RoBERTa's begin after that of the padding."""
    return 0 if table.padding_idx is None else table.padding_idx + 1


def _without_pooling(config: Any) -> dict[str, bool]:
    """What keeps a model of ``config`` from having a pooling layer; some kinds never have one."""
    from transformers import MODEL_MAPPING

    parameters = inspect.signature(MODEL_MAPPING[type(config)].__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in parameters else {}
