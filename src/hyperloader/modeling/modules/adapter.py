"""Bottleneck adapters with or without a layer norm (Houlsby et al., 2019; paper, section 3.3)."""

from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.backbones.activations import activation as activation_called
from hyperloader.modeling.modules.kind import FirstValues, Kind, Shapes, gate_shapes, start_gate
from hyperloader.modeling.modules.linear import gate, linear, rows_of

if TYPE_CHECKING:
    from hyperloader.modeling.config import ModelConfig

NORM_EPS = 1e-5


class AdapterWeights(NamedTuple):
    """An adapter of hidden width d and bottleneck r, with its layer norm and gate if any."""

    down_weight: Tensor  # (G, r, d)
    down_bias: Tensor  # (G, r)
    up_weight: Tensor  # (G, d, r)
    up_bias: Tensor  # (G, d)
    norm_weight: Tensor | None = None  # (G, d)
    norm_bias: Tensor | None = None  # (G, d)
    gate_weight: Tensor | None = None  # (G, 1, d)
    gate_bias: Tensor | None = None  # (G, 1)


class Adapter(Kind):
    """LN(U act(D y)), added to what leaves a sublayer (paper, equation 2)."""

    name = "adapter"
    weights = AdapterWeights

    def shapes(self, config: "ModelConfig", inputs: int, outputs: int, gated: bool) -> Shapes:
        """See :meth:`Kind.shapes`; the width is that of ``outputs``."""
        bottleneck_dim = config.adapter_dim or max(1, outputs // config.reduction_factor)
        made: Shapes = {
            "down_weight": (bottleneck_dim, outputs),
            "down_bias": (bottleneck_dim,),
            "up_weight": (outputs, bottleneck_dim),
            "up_bias": (outputs,),
        }
        if config.conditional_norm:
            made |= {"norm_weight": (outputs,), "norm_bias": (outputs,)}
        return made | (gate_shapes(outputs) if gated else {})

    def start(self, name: str, weight: Tensor, first: FirstValues) -> None:
        """See :meth:`Kind.start`."""
        if start_gate(name, weight):
            return
        if name.endswith("bias"):
            nn.init.zeros_(weight)
        elif name == "norm_weight":
            nn.init.constant_(weight, first.norm)
        else:
            first.matrix(weight)

    def widths(self, inputs: int, outputs: int) -> tuple[int, int]:
        """See :meth:`Kind.widths`: an adapter reads what leaves."""
        return outputs, outputs

    def change(self, x: Tensor, y: Tensor, w: AdapterWeights, config: "ModelConfig") -> Tensor:
        """See :meth:`Kind.change`."""
        return bottleneck(y, w, config.activation)


def bottleneck(x: Tensor, w: AdapterWeights, activation: str) -> Tensor:
    """LN(U act(D x)), gated where there is a gate: x and the result are (batch, length, d).

    The layer norm is over the hidden width of each token, as in the published code; equation 3's
    statistics of the training data were never computed there.
    """
    inner = activation_called(activation)(linear(x, w.down_weight, w.down_bias))
    y = linear(inner, w.up_weight, w.up_bias)
    if w.norm_weight is not None and w.norm_bias is not None:
        if w.norm_weight.shape[0] == 1:
            y = F.layer_norm(y, y.shape[-1:], w.norm_weight[0], w.norm_bias[0], NORM_EPS)
        else:
            gamma, beta = (
                rows_of(part, y.shape[0])[:, None] for part in (w.norm_weight, w.norm_bias)
            )
            y = F.layer_norm(y, y.shape[-1:], eps=NORM_EPS) * gamma + beta
    if w.gate_weight is not None:
        y = y * gate(x, w.gate_weight, w.gate_bias)
    return y.to(x.dtype)
