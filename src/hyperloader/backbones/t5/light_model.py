"""A T5 in torch alone, for tagging: an encoder that runs, and the modules of a decoder.

Importing transformers takes longer than tagging a few sentences does. Modules and parameters have
the names that transformers gives them (T5 and T5 1.1), so that sites are found, weights attached,
stacks walked and parameters saved in the same way. What is left out is all that tagging does
without: dropout, the decoder's own forward pass, generation.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.backbones.activations import OWN
from hyperloader.backbones.light import Embedding, Encoded, Linear, tagging_only


@dataclass(frozen=True)
class LightConfig:
    """What a T5 is built from, by transformers' names; ``settings`` is the whole configuration."""

    vocab_size: int
    d_model: int
    d_kv: int
    d_ff: int
    num_layers: int
    num_decoder_layers: int
    num_heads: int
    relative_attention_num_buckets: int
    relative_attention_max_distance: int
    layer_norm_epsilon: float
    dense_act_fn: str
    is_gated_act: bool
    scale_decoder_outputs: bool
    decoder_start_token_id: int
    settings: Mapping[str, Any]

    @property
    def model_type(self) -> str:
        """Always ``t5``."""
        return "t5"

    def to_dict(self) -> dict[str, Any]:
        """The whole configuration, as transformers writes and reads it."""
        return dict(self.settings)


def read_config(settings: Mapping[str, Any]) -> LightConfig | None:
    """The configuration in ``settings``; None if it is not of a T5 that can be built here."""
    needed = {f.name: settings.get(f.name) for f in fields(LightConfig) if f.name != "settings"}
    known = settings.get("model_type") == "t5" and needed["dense_act_fn"] in OWN
    if not known or None in needed.values():
        return None
    return LightConfig(**needed, settings=settings)  # type: ignore[arg-type]


class RootMeanSquareNorm(nn.Module):
    """T5's layer norm: scaled by the root mean square, without mean and bias."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.d_model))
        self.epsilon = config.layer_norm_epsilon

    def forward(self, x: Tensor) -> Tensor:
        """``x`` (…, d); the mean is taken in float32."""
        mean = x.float().square().mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(mean + self.epsilon)).to(self.weight.dtype)


class Attention(nn.Module):
    """The projections of an attention, and the relative position bias in a stack's first layer."""

    def __init__(self, config: LightConfig, *, bias: bool = False, ahead: bool = False) -> None:
        """``bias``: has a table of position biases; ``ahead``: sees what comes after, too."""
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.key_value_proj_dim = config.d_kv
        self.q = Linear(config.d_model, inner, bias=False)
        self.k = Linear(config.d_model, inner, bias=False)
        self.v = Linear(config.d_model, inner, bias=False)
        self.o = Linear(inner, config.d_model, bias=False)
        self.has_relative_attention_bias, self._ahead = bias, ahead
        self._farthest = config.relative_attention_max_distance
        if bias:
            self.relative_attention_bias = Embedding(
                config.relative_attention_num_buckets, config.num_heads
            )

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Self-attention over ``x`` (batch, n, d) with ``bias`` (batch or 1, heads, n, n)."""
        queries, keys, values = (
            project(x).unflatten(-1, (-1, self.key_value_proj_dim)).transpose(1, 2)
            for project in (self.q, self.k, self.v)
        )
        # T5 does not scale queries.
        y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=1.0)
        return self.o(y.transpose(1, 2).flatten(2))

    def compute_bias(self, queries: int, keys: int) -> Tensor:
        """The position bias between the first positions: (1, heads, queries, keys)."""
        table = self.relative_attention_bias
        place = torch.arange(max(queries, keys), device=table.weight.device)
        distance = place[None, :keys] - place[:queries, None]
        return table(self._bucket(distance)).permute(2, 0, 1)[None]

    def _bucket(self, distance: Tensor) -> Tensor:
        """The row of the table for each ``distance`` of a key from its query, counted forwards.

        Half of the rows (of each direction) are for one distance each, the others for ranges that
        grow geometrically up to the farthest distance; the last one is for all beyond (Raffel et
        al., 2020, section 2.1).
        """
        rows = self.relative_attention_bias.num_embeddings
        start = torch.zeros_like(distance)
        if self._ahead:
            rows //= 2
            start = (distance > 0) * rows
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = rows // 2
        # In float32 and in this order, so that borders between ranges are where T5 has them.
        growth = torch.log(distance.float() / exact) / math.log(self._farthest / exact)
        beyond = exact + (growth * (rows - exact)).clamp(min=0).long()
        return start + torch.where(distance < exact, distance, beyond.clamp(max=rows - 1))


class SelfAttentionLayer(nn.Module):
    """Self-attention and its norm."""

    def __init__(self, config: LightConfig, *, bias: bool, ahead: bool) -> None:
        super().__init__()
        self.SelfAttention = Attention(config, bias=bias, ahead=ahead)
        self.layer_norm = RootMeanSquareNorm(config)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """As :meth:`Attention.forward`, added to ``x``."""
        return x + self.SelfAttention(self.layer_norm(x), bias)


class CrossAttentionLayer(nn.Module):
    """Attention of the decoder to the source, and its norm."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.EncDecAttention = Attention(config)
        self.layer_norm = RootMeanSquareNorm(config)


class FeedForward(nn.Module):
    """Two linear layers around an activation, or with ``is_gated_act`` three."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self._gated, self._activation = config.is_gated_act, OWN[config.dense_act_fn]
        if config.is_gated_act:
            self.wi_0 = Linear(config.d_model, config.d_ff, bias=False)
            self.wi_1 = Linear(config.d_model, config.d_ff, bias=False)
        else:
            self.wi = Linear(config.d_model, config.d_ff, bias=False)
        self.wo = Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and the result are (…, d)."""
        if self._gated:
            return self.wo(self._activation(self.wi_0(x)) * self.wi_1(x))
        return self.wo(self._activation(self.wi(x)))


class FeedForwardLayer(nn.Module):
    """The feed-forward block with its norm and what passes it by."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.DenseReluDense = FeedForward(config)
        self.layer_norm = RootMeanSquareNorm(config)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` and the result are (…, d)."""
        return x + self.DenseReluDense(self.layer_norm(x))


class Block(nn.Module):
    """The layers of one place in a stack, in ``layer``."""

    def __init__(self, config: LightConfig, number: int, *, decodes: bool) -> None:
        super().__init__()
        cross = [CrossAttentionLayer(config)] if decodes else []
        attention = SelfAttentionLayer(config, bias=number == 0, ahead=not decodes)
        self.layer = nn.ModuleList([attention, *cross, FeedForwardLayer(config)])

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """One layer of the encoder after the other: ``x`` and the result are (batch, n, d)."""
        attention, feed_forward = self.layer
        return feed_forward(attention(x, bias))


class Stack(nn.Module):
    """A stack of blocks between the embeddings and a last norm."""

    def __init__(
        self, config: LightConfig, embed_tokens: Embedding, blocks: int, *, decodes: bool
    ) -> None:
        super().__init__()
        self.embed_tokens = embed_tokens
        self.block = nn.ModuleList(Block(config, i, decodes=decodes) for i in range(blocks))
        self.final_layer_norm = RootMeanSquareNorm(config)


class Encoder(Stack):
    """The stack that reads the source."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Encoded:
        """``input_ids`` and ``attention_mask`` (1 for tokens, default: all) are (batch, n)."""
        x = self.embed_tokens(input_ids)
        length = input_ids.shape[1]
        first: Any = self.block[0]  # all blocks have the bias of the first
        bias = first.layer[0].SelfAttention.compute_bias(length, length)
        if attention_mask is not None:
            hidden = bias.new_zeros(attention_mask.shape)
            hidden.masked_fill_(attention_mask == 0, torch.finfo(bias.dtype).min)
            bias = bias + hidden[:, None, None]
        for block in self.block:
            x = block(x, bias)
        return Encoded(self.final_layer_norm(x))


class Decoder(Stack):
    """The modules of the stack that writes; what walks through them is the caller's."""

    forward = tagging_only


class LightT5(nn.Module):
    """A T5 for tagging, tied or not; :mod:`hyperloader.backbones.t5.light` fills it."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.config = config
        self.shared = Embedding(config.vocab_size, config.d_model)
        self.encoder = Encoder(config, self.shared, config.num_layers, decodes=False)
        self.decoder = Decoder(config, self.shared, config.num_decoder_layers, decodes=True)
        self.lm_head = Linear(config.d_model, config.vocab_size, bias=False)

    forward = generate = tagging_only
    prepare_decoder_input_ids_from_labels = gradient_checkpointing_enable = tagging_only
    generation_config = property(tagging_only)

    @property
    def device(self) -> torch.device:
        return self.shared.weight.device

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head
