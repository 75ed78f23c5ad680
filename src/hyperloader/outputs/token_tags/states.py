"""From the states of sub-tokens to those of words."""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn


class LayerMix(nn.Module):
    """The states of all layers, mixed by shares that are learned (Peters et al., 2018) and begin
    equal."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers))

    def forward(self, states: Sequence[Tensor]) -> Tensor:
        """(…, d) of what each of the layers gave, (…, d)."""
        shares = self.weight.softmax(0).to(states[0].dtype)
        return reduce(torch.add, (a * x for a, x in zip(shares, states, strict=True)))


def first_states(states: Tensor, first: Tensor) -> Tensor:
    """(batch, words, d): the states (batch, length, d) at the places ``first`` (batch, words)."""
    rows = torch.arange(first.shape[0], device=first.device)[:, None]
    return states[rows, first]


def mean_states(states: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """(batch, words, d): the means of ``states`` (batch, length, d) from the places ``first`` to
    ``last`` (batch, words), both included."""
    places = torch.arange(states.shape[1], device=states.device)
    inside = (places >= first[..., None]) & (places <= last[..., None])
    # A product and no sum over all that came before: exact in small types, too.
    return inside.to(states.dtype) @ states / (last - first + 1)[..., None].to(states.dtype)
