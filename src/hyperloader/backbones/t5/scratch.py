"""Small T5s with random weights that learn to align by sentinel quickly."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hyperloader.backbones.t5.family import attention
from hyperloader.backbones.t5.sentinels import sentinel_ids
from hyperloader.errors import ConfigError, unknown

if TYPE_CHECKING:
    from transformers import (
        PreTrainedModel,
        PreTrainedTokenizerBase,
        T5ForConditionalGeneration,
    )

# Trained from nothing on the user's own sentences; for trying things out, not for results.
SCRATCH: dict[str, dict] = {
    "tiny": {"d_model": 64, "d_ff": 128, "num_layers": 2, "num_heads": 4, "d_kv": 16},
    "mini": {"d_model": 128, "d_ff": 384, "num_layers": 3, "num_heads": 4, "d_kv": 32},
    "small": {"d_model": 256, "d_ff": 768, "num_layers": 4, "num_heads": 4, "d_kv": 64},
}


def scratch_backbone(
    size: str, tokenizer: "PreTrainedTokenizerBase", *, dropout: float = 0.1
) -> "PreTrainedModel":
    """A small T5 with random weights that learns to align by sentinel quickly.

    See :func:`structure_first_weights` for what is not T5's own initialisation.

    Args:
        size: one of :data:`SCRATCH`.
        tokenizer: one of the T5 family, with the sentinels <extra_id_0>, <extra_id_1>, ….
    """
    if size not in SCRATCH:
        raise ConfigError(unknown("backbone size", size, SCRATCH))
    shape = {"feed_forward_proj": "gated-gelu", "dropout_rate": dropout, **SCRATCH[size]}
    model = random_t5(tokenizer, **shape)
    structure_first_weights(model, sentinel_ids(tokenizer.get_vocab()))
    return model


def random_t5(
    tokenizer: "PreTrainedTokenizerBase", *, multiple: int = 1, **shape: Any
) -> "T5ForConditionalGeneration":
    """A T5 for ``tokenizer`` with T5's own random weights.

    Args:
        tokenizer: one of the T5 family.
        multiple: the vocabulary's rows are rounded up to a multiple of it.
        shape: of T5's configuration. A shape that T5 refuses raises ValueError or KeyError.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=-(-len(tokenizer) // multiple) * multiple,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        **shape,
    )
    model = T5ForConditionalGeneration(config)
    model.set_attn_implementation(attention())
    return model


@torch.no_grad()
def structure_first_weights(model: "T5ForConditionalGeneration", sentinels: Sequence[int]) -> None:
    """Give a T5 with random weights a beginning from which it learns to align.

    Alignment (the decoder at sentinel i looking at sentinel i of the encoder) is the slow part of
    learning from nothing. Sentinels start as sinusoids of their number; cross-attention queries
    start as their keys, so that equal tokens attend to one another; heads look at fixed small
    distances; and an attention's output projection undoes its value projection, so that what is
    attended to arrives as it was.
    """
    config = model.config
    model.shared.weight[torch.tensor(list(sentinels))] = sinusoids(len(sentinels), config.d_model)
    for name, module in model.named_modules():
        if name.endswith("EncDecAttention"):
            module.q.weight.copy_(module.k.weight * config.d_kv**-0.5)
        if name.endswith("Attention"):
            nn.init.orthogonal_(module.v.weight)
            module.o.weight.copy_(module.v.weight.T)
        if getattr(module, "has_relative_attention_bias", False):
            _look_at_neighbours(module)


def _look_at_neighbours(attention: Any) -> None:
    """Point the heads of a stack at fixed small distances: 1 next, 1 back, 2 next, and so on.

    The last head stays free to look anywhere. Written from scratch by gradient steps a bias of
    this size takes thousands of them.
    """
    back, heads = attention.is_decoder, attention.n_heads
    distances = [-(i + 1) if back else (i // 2 + 1) * (-1) ** i for i in range(heads - 1)]
    buckets = attention._relative_position_bucket(
        torch.tensor(distances),
        bidirectional=not back,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    for head, bucket in enumerate(buckets.tolist()):
        attention.relative_attention_bias.weight[bucket, head] = 5.0


def sinusoids(count: int, width: int) -> Tensor:
    """``count`` positions as sinusoids of ``width`` numbers with mean square 1: (count, width)."""
    # Evenly spread up to half a turn a step, so that even neighbours are nearly orthogonal.
    rates = math.pi * (torch.arange(0, width, 2) + 1) / width
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :width] * math.sqrt(2)
