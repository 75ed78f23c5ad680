"""The T5 family: pre-norm stacks of an encoder and a decoder, relative positions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from hyperloader.backbones.family import Family, Spot
from hyperloader.backbones.joins import parallel_to_sublayer
from hyperloader.backbones.places import STACKS, Place
from hyperloader.backbones.t5.light import light_t5

# transformers is imported where a model of it is made: tagging alone needs none, and starts in less
# than half of the time.
if TYPE_CHECKING:
    from transformers import PreTrainedModel

_RELU = {"feed_forward_proj": "relu"}
_V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


class T5(Family):
    """T5, T5 1.1, Flan-T5, mT5 and umT5."""

    name = "T5"
    model_types = ("t5", "mt5", "umt5")
    stacks = STACKS
    layer = r"(?P<stack>encoder|decoder)\.block\.(?P<layer>\d+)\.layer\.\d+"
    # An adapter works on what leaves the sublayer and LoRA adds to a projection, each the output
    # of one linear layer. A parallel adapter also needs the input of the sublayer: all of it.
    spots: ClassVar[Mapping[Place, Spot]] = {
        Place.FEED_FORWARD: Spot(r"\.DenseReluDense\.wo$"),
        Place.SELF_ATTENTION: Spot(r"\.SelfAttention\.o$"),
        Place.SELF_QUERY: Spot(r"\.SelfAttention\.q$"),
        Place.SELF_VALUE: Spot(r"\.SelfAttention\.v$"),
        Place.CROSS_QUERY: Spot(r"\.EncDecAttention\.q$"),
        Place.CROSS_VALUE: Spot(r"\.EncDecAttention\.v$"),
        Place.PARALLEL_FEED_FORWARD: Spot(
            r"(?=\.DenseReluDense$)", nn.Module, parallel_to_sublayer
        ),
    }
    output = "sentt"
    dropouts = ("dropout_rate",)
    shapes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "t5-small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8, **_RELU},
        "t5-base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12, **_RELU},
        "t5-large": {"d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16, **_RELU},
        "flan-t5-small": {"d_model": 512, "d_ff": 1024, "num_layers": 8, "num_heads": 6, **_V1_1},
        "flan-t5-base": {"d_model": 768, "d_ff": 2048, "num_layers": 12, "num_heads": 12, **_V1_1},
    }
    example = "builtin, or a Hub name such as google-t5/t5-base"

    def load(self, path: str, rates: Mapping[str, float]) -> "PreTrainedModel":
        """See :meth:`Family.load`."""
        from transformers import AutoModelForSeq2SeqLM

        model = AutoModelForSeq2SeqLM.from_pretrained(
            path,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation=attention(),
            **rates,
        )
        return model.eval()

    def build(self, config: Any) -> "PreTrainedModel":
        """See :meth:`Family.build`."""
        from transformers import AutoModelForSeq2SeqLM

        # transformers ties the output embedding whatever the configuration says; as does training.
        model = AutoModelForSeq2SeqLM.from_config(
            config, attn_implementation=attention(), trust_remote_code=False
        )
        return model.eval()

    def shape(self, sizes: Mapping[str, Any]) -> Any:
        """See :meth:`Family.shape`."""
        from transformers import T5Config

        return T5Config(vocab_size=32128, d_kv=64, **sizes)

    def light(self, settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Any | None:
        """See :meth:`Family.light`."""
        return light_t5(settings, tensors)

    def width(self, backbone: Any) -> int:
        """See :meth:`Family.width`."""
        return int(backbone.config.d_model)

    def is_norm(self, parameter: str) -> bool:
        """See :meth:`Family.is_norm`."""
        return parameter.rpartition(".")[0].endswith("layer_norm")


def attention() -> str:
    """The implementation of attention in transformers that is fastest for short sequences."""
    return "sdpa" if torch.accelerator.is_available() else "eager"


def output_scale(config: Any) -> float:
    """The factor between a T5 decoder's output and what the output embedding multiplies.

    The published T5 scales where it ties the embeddings; mT5 never does, umT5 does if it ties.
    """
    scales = {
        "t5": lambda: config.scale_decoder_outputs,
        "mt5": lambda: False,
        "umt5": lambda: config.tie_word_embeddings,
    }[config.model_type]()
    return float(config.d_model**-0.5) if scales else 1.0
