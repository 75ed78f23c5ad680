"""Prefixes: keys and values that a self-attention finds besides those of the tokens.

Li and Liang (2021). They are given to the attention as its cache of earlier positions, so this
works for every backbone whose self-attention takes ``past_key_values``.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from hyperloader.backbones.joins import Join
from hyperloader.backbones.places import Site
from hyperloader.modeling import active
from hyperloader.modeling.modules.kind import FirstValues, Kind, Shapes
from hyperloader.modeling.modules.linear import gate, rows_of

if TYPE_CHECKING:
    from hyperloader.modeling.config import ModelConfig


class PrefixWeights(NamedTuple):
    """Keys and values of p positions that every position attends to besides the others."""

    key: Tensor  # (G, p, d)
    value: Tensor  # (G, p, d)
    gate_weight: Tensor | None = None  # (G, 1, d)
    gate_bias: Tensor | None = None  # (G, 1)


class Prefix(Kind):
    """A prefix of a self-attention; its weights come from a source of their own."""

    name = "prefix"
    weights = PrefixWeights

    def shapes(self, config: "ModelConfig", inputs: int, outputs: int, gated: bool) -> Shapes:
        """See :meth:`Kind.shapes`."""
        shape = (config.prefix_length, inputs)
        gates: Shapes = {"gate_weight": (1, inputs), "gate_bias": (1,)} if gated else {}
        return {"key": shape, "value": shape, **gates}

    def start(self, name: str, weight: Tensor, first: FirstValues) -> None:
        """See :meth:`Kind.start`."""
        first.matrix(weight)

    def hook(self, module: nn.Module, site: Site, join: Join, config: "ModelConfig") -> bool:
        """See :meth:`Kind.hook`: before the attention, which is given the prefix as its cache."""
        module.register_forward_pre_hook(PrefixHook(site), with_kwargs=True)
        return True


@dataclass(frozen=True)
class PrefixHook(active.Hook):
    """Lets a self-attention attend to the prefix in force for ``site`` too."""

    site: Site

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if active.is_apart():
            return args, kwargs
        return add_prefix(module, active.weights_at(self.site), args, kwargs)


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
