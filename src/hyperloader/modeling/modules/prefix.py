"""Prefixes: keys and values that a BERT self-attention finds besides those of the tokens."""

from typing import Any

import torch
from torch import Tensor, nn

from hyperloader.modeling.modules.layers import PrefixWeights, gate, rows_of


class PrefixCache:
    """What a self-attention takes for a cache of earlier positions: the prefix's, for one pass."""

    def __init__(self, key: Tensor, value: Tensor) -> None:
        """Both (batch, heads, prefix, head width)."""
        self._prefix = key, value

    def update(self, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """The prefix before ``key`` and ``value`` (batch, heads, length, head width)."""
        before, values_before = self._prefix
        return torch.cat([before, key], dim=2), torch.cat([values_before, value], dim=2)


def add_prefix(
    module: Any, w: PrefixWeights, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a self-attention ``module`` with the prefix as its cache.

    The hidden states (batch, length, d) come first; the gate reads them. The mask, where there
    is one, is widened so that every position sees the prefix.
    """
    hidden = args[0] if args else kwargs["hidden_states"]
    key, value = (rows_of(part, hidden.shape[0]) for part in (w.key, w.value))
    if w.gate_weight is not None:
        share = gate(hidden, w.gate_weight, w.gate_bias)
        key, value = key * share, value * share
    heads = module.num_attention_heads

    def split(part: Tensor) -> Tensor:
        return part.to(hidden.dtype).unflatten(-1, (heads, -1)).transpose(1, 2)

    changed = {**kwargs, "past_key_values": PrefixCache(split(key), split(value))}
    if (mask := kwargs.get("attention_mask")) is not None:
        visible = 0 if mask.is_floating_point() else 1
        changed["attention_mask"] = nn.functional.pad(mask, (w.key.shape[1], 0), value=visible)
    return args, changed
