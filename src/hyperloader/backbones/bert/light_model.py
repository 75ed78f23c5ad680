"""A BERT in torch alone, for tagging.

Importing transformers takes longer than tagging a few sentences does. Modules and parameters have
the names that transformers gives them, so that sites are found, weights attached and parameters
saved in the same way. What is left out is all that tagging does without: dropout, the pooling
layer, second sentences.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.backbones.activations import OWN
from hyperloader.backbones.light import Embedding, Encoded, Linear, tagging_only

PREFIX = "bert."  # of the names in files that hold a head of pre-training, too


@dataclass(frozen=True)
class LightConfig:
    """What a BERT is built from, by transformers' names; ``settings`` is the whole
    configuration."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    hidden_dropout_prob: float
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    settings: Mapping[str, Any]

    @property
    def model_type(self) -> str:
        """Always ``bert``."""
        return "bert"

    def to_dict(self) -> dict[str, Any]:
        """The whole configuration, as transformers writes and reads it."""
        return dict(self.settings)


def read_config(settings: Mapping[str, Any]) -> LightConfig | None:
    """The configuration in ``settings``; None if it is not of a BERT that can be built here."""
    needed = {f.name: settings.get(f.name) for f in fields(LightConfig) if f.name != "settings"}
    known = settings.get("model_type") == "bert" and needed["hidden_act"] in OWN
    absolute = settings.get("position_embedding_type", "absolute") == "absolute"
    if not known or not absolute or settings.get("is_decoder") or None in needed.values():
        return None
    return LightConfig(**needed, settings=settings)  # type: ignore[arg-type]


class Embeddings(nn.Module):
    """Of the first sentence's tokens at their positions."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings = Embedding(config.vocab_size, width)
        self.position_embeddings = Embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = Embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)

    def forward(self, input_ids: Tensor, position_ids: Tensor | None) -> Tensor:
        """(batch, length, d) of ``input_ids`` (batch, length)."""
        table = self.position_embeddings.weight
        positions = table[: input_ids.shape[1]] if position_ids is None else table[position_ids]
        x = self.word_embeddings(input_ids) + self.token_type_embeddings.weight[0] + positions
        return self.LayerNorm(x)


class SelfAttention(nn.Module):
    """The projections of an attention, and the attention."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.num_attention_heads = config.num_attention_heads
        self.query, self.key, self.value = (
            Linear(config.hidden_size, config.hidden_size) for _ in range(3)
        )

    def forward(
        self, x: Tensor, attention_mask: Tensor | None = None, past_key_values: Any = None
    ) -> Tensor:
        """Attention over ``x`` (batch, n, d).

        Args:
            attention_mask: (batch, 1, 1 or n, keys), added to attention.
            past_key_values: has keys and values that come before those of ``x``.
        """
        queries, keys, values = (
            project(x).unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        if past_key_values is not None:
            keys, values = past_key_values.update(keys, values)
        y = F.scaled_dot_product_attention(queries, keys, values, attn_mask=attention_mask)
        return y.transpose(1, 2).flatten(2)


class Joined(nn.Module):
    """What a sublayer ends in: a projection, the residual and their norm."""

    def __init__(self, config: LightConfig, inputs: int) -> None:
        super().__init__()
        self.dense = Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, inner: Tensor, x: Tensor) -> Tensor:
        """``inner`` (batch, n, inputs) projected and added to ``x`` (batch, n, d)."""
        return self.LayerNorm(self.dense(inner) + x)


class Attention(nn.Module):
    """Attention, joined to the stream."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Joined(config, config.hidden_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``x`` and the result are (batch, n, d)."""
        return self.output(self.self(x, attention_mask=mask), x)


class Intermediate(nn.Module):
    """The wide half of the feed-forward sublayer."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.dense = Linear(config.hidden_size, config.intermediate_size)
        self._activation = OWN[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        """(…, d) to (…, wide)."""
        return self._activation(self.dense(x))


class Layer(nn.Module):
    """Attention and feed-forward."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Joined(config, config.intermediate_size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """``x`` and the result are (batch, n, d)."""
        x = self.attention(x, mask)
        return self.output(self.intermediate(x), x)


class Encoder(nn.Module):
    """All layers."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, ...]:
        """``x`` (batch, n, d), and what each layer made of it."""
        states = [x]
        for layer in self.layer:
            states.append(layer(states[-1], mask))
        return tuple(states)


class LightBert(nn.Module):
    """A BERT for tagging; :func:`light_bert` fills it."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool = False,
    ) -> Encoded:
        """The states of ``input_ids`` (batch, n).

        Args:
            attention_mask: (batch, n), 1 for tokens; or (batch, 1, n, n), added to attention.
            position_ids: (batch, n); default: from 0.
            output_hidden_states: give the states of all layers too.
        """
        x = self.embeddings(input_ids, position_ids)
        mask = attention_mask
        if mask is not None and mask.dim() == 2:
            # Without padding attention is faster, and the same.
            hidden = mask == 0
            mask = None
            if bool(hidden.any()):
                mask = torch.zeros_like(hidden, dtype=x.dtype).masked_fill_(
                    hidden, torch.finfo(x.dtype).min
                )[:, None, None]
        states = self.encoder(x, mask)
        return Encoded(states[-1], states if output_hidden_states else None)

    gradient_checkpointing_enable = tagging_only

    @property
    def device(self) -> torch.device:
        return self.embeddings.word_embeddings.weight.device

    def get_output_embeddings(self) -> None:
        """There are none."""


def light_bert(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LightBert | None:
    """A BERT in evaluation mode and float32 that is made of ``tensors``.

    None where ``settings`` are not of a BERT with a known activation, or tensors are not all there
    or do not fit.

    Args:
        settings: the configuration as transformers writes it (``to_dict``).
        tensors: by the names of the parameters.
    """
    config = read_config(settings)
    if config is None:
        return None
    with torch.device("meta"):
        model = LightBert(config)
    chosen = {}
    for name, parameter in model.named_parameters():
        tensor = tensors.get(name, tensors.get(PREFIX + name))
        if tensor is None or tensor.shape != parameter.shape:
            return None
        chosen[name] = tensor.float()
    model.load_state_dict(chosen, assign=True)
    return model.eval()
