"""How what is attached joins the stream at a hooked module.

``change`` says what an attached module adds, given the input and the output of the module that it
stands at, both (batch, length, width). A join is a function of the hooked module, what goes into
it, what comes out of it, and ``change``.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import torch.nn.functional as F
from torch import Tensor

Change: TypeAlias = Callable[[Tensor, Tensor], Tensor]
Join: TypeAlias = Callable[[Any, Tensor, Tensor, Change], Tensor]


def added(module: Any, x: Tensor, y: Tensor, change: Change) -> Tensor:
    """Added to what leaves the module: before the residual, or to a projection."""
    return y + change(x, y)


def parallel_to_sublayer(module: Any, x: Tensor, y: Tensor, change: Change) -> Tensor:
    """Beside a pre-norm sublayer x + dropout(FF(LN x)): reads LN x and joins without dropout."""
    normed = module.layer_norm(x)
    return y + change(normed, normed)


def before_norm(module: Any, x: Tensor, y: Tensor, change: Change) -> Tensor:
    """At a post-norm y = LN(x): reads y, is added to x, and the norm is taken again.

    This is where the published UniPELT puts its adapters in a BERT.
    """
    again = x + change(y, y)
    return F.layer_norm(again, module.normalized_shape, module.weight, module.bias, module.eps)
