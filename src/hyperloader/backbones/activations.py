"""Activation functions by the names that configurations give them."""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from hyperloader.errors import ConfigError, unknown

Activation: TypeAlias = Callable[[Tensor], Tensor]


def gelu_new(x: Tensor) -> Tensor:
    """GELU by tanh (Hendrycks and Gimpel, 2016), as T5 1.1 has it: of any shape, elementwise."""
    # In transformers' steps and not by torch's one kernel, whose last bits differ: numbers must not
    # depend on which of the two a process uses.
    cubed = torch.pow(x, 3.0)
    return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * cubed)))


OWN: dict[str, Activation] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": gelu_new,
    "silu": F.silu,
}


def activation(name: str) -> Activation:
    """The function called ``name``: one of :data:`OWN`, or any other that transformers has.

    Raises:
        ConfigError: there is none; the message lists the names.
    """
    if name in OWN:
        return OWN[name]
    from transformers.activations import ACT2FN

    if name not in ACT2FN:
        raise ConfigError(unknown("activation", name, ACT2FN))
    return ACT2FN[name]
