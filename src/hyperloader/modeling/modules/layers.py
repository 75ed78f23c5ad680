"""The modules that are attached, as functions of weights that come from elsewhere.

Every weight has a leading dimension G: 1 when the whole batch shares it, else the number of
rows (mixed-task batches, weights that depend on the input).
"""

from typing import NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperloader.modeling.activations import activation as activation_called

NORM_EPS = 1e-5


class AdapterWeights(NamedTuple):
    """A bottleneck adapter of hidden width d and bottleneck r: its layer norm, its gate if any."""

    down_weight: Tensor  # (G, r, d)
    down_bias: Tensor  # (G, r)
    up_weight: Tensor  # (G, d, r)
    up_bias: Tensor  # (G, d)
    norm_weight: Tensor | None = None  # (G, d)
    norm_bias: Tensor | None = None  # (G, d)
    gate_weight: Tensor | None = None  # (G, 1, d)
    gate_bias: Tensor | None = None  # (G, 1)


class LoraWeights(NamedTuple):
    """A low-rank update of a linear layer: W0 + scale * B A (paper, equation 4)."""

    a: Tensor  # (G, r, in)
    b: Tensor  # (G, out, r)
    gate_weight: Tensor | None = None  # (G, 1, in)
    gate_bias: Tensor | None = None  # (G, 1)


class PrefixWeights(NamedTuple):
    """Keys and values of p positions that every position attends to besides the others."""

    key: Tensor  # (G, p, d)
    value: Tensor  # (G, p, d)
    gate_weight: Tensor | None = None  # (G, 1, d)
    gate_bias: Tensor | None = None  # (G, 1)


ModuleWeights: TypeAlias = AdapterWeights | LoraWeights | PrefixWeights


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x`` (batch, length, in) times ``weight`` (G, out, in): (batch, length, out).

    With G > 1 row i of the batch uses weight i; a batch of k * G rows (beam search expands
    every row k times) uses each weight k times in a row.
    """
    if weight.shape[0] == 1:
        return F.linear(x, weight[0], None if bias is None else bias[0])
    weight, bias = rows_of(weight, x.shape[0]), None if bias is None else rows_of(bias, x.shape[0])
    product = torch.bmm(x, weight.to(x.dtype).transpose(1, 2))
    return product if bias is None else product + bias[:, None].to(product.dtype)


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


def adapter(x: Tensor, w: AdapterWeights, activation: str) -> Tensor:
    """LN(U act(D x)) + x (paper, equation 2): x and the result are (batch, length, d)."""
    return bottleneck(x, w, activation) + x


def lora(x: Tensor, w: LoraWeights, scale: float) -> Tensor:
    """scale * B A x: x is (batch, length, in), the result (batch, length, out).

    A gate takes the place of the scale, as in the published code of UniPELT.
    """
    update = linear(linear(x, w.a), w.b)
    if w.gate_weight is not None:
        return update * gate(x, w.gate_weight, w.gate_bias)
    return update if scale == 1.0 else update * scale


def gate(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The mean over all positions of sigmoid(w x + b), one number a row: (batch, 1, 1)."""
    return linear(x, weight, bias).sigmoid().mean(1, keepdim=True)


def rows_of(weight: Tensor, batch: int) -> Tensor:
    """``weight`` (G, …) as (batch, …): one a row, or each for batch / G rows in turn.

    Raises:
        ValueError: ``batch`` is no multiple of G.
    """
    if weight.shape[0] == batch:
        return weight
    times, rest = divmod(batch, weight.shape[0])
    if rest:
        raise ValueError(f"{weight.shape[0]} sets of weights do not fit a batch of {batch} rows")
    return weight.repeat_interleave(times, dim=0)
