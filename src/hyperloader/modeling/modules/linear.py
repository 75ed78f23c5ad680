"""Products with weights that come from elsewhere.

Every weight has a leading dimension G: 1 when the whole batch shares it, else the number of rows
(mixed-task batches, weights that depend on the input).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


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


def gate(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The mean over all positions of sigmoid(w x + b), one number per row: (batch, 1, 1)."""
    return linear(x, weight, bias).sigmoid().mean(1, keepdim=True)


def rows_of(weight: Tensor, batch: int) -> Tensor:
    """``weight`` (G, …) as (batch, …): one per row, or each for batch / G rows in turn.

    Raises:
        ValueError: ``batch`` is no multiple of G.
    """
    if weight.shape[0] == batch:
        return weight
    times, rest = batch // weight.shape[0], batch % weight.shape[0]
    if rest:
        raise ValueError(f"{weight.shape[0]} sets of weights do not fit a batch of {batch} rows")
    return weight.repeat_interleave(times, dim=0)
