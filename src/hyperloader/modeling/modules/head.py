"""Tagging heads: scores for the tags of a word, from its state."""

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from hyperloader.modeling.modules.kind import FirstValues, Kind, Shapes
from hyperloader.modeling.modules.linear import linear

if TYPE_CHECKING:
    from hyperloader.modeling.config import ModelConfig


class HeadWeights(NamedTuple):
    """A vector and a number for each of T tags; a task with fewer tags leaves the rest unused."""

    weight: Tensor  # (G, T, d)
    bias: Tensor  # (G, T)


class Head(Kind):
    """W h + b for the state h of a word. It stands at the end of the model, at no module."""

    name = "head"
    weights = HeadWeights

    def shapes(self, config: "ModelConfig", inputs: int, outputs: int, gated: bool) -> Shapes:
        """See :meth:`Kind.shapes`: ``inputs`` is the width of a state, ``outputs`` T."""
        return {"weight": (outputs, inputs), "bias": (outputs,)}

    def start(self, name: str, weight: Tensor, first: FirstValues) -> None:
        """See :meth:`Kind.start`."""
        if name == "bias":
            nn.init.zeros_(weight)
        else:
            first.matrix(weight)


def tag_logits(w: HeadWeights, states: Tensor) -> Tensor:
    """Logits (batch, words, T) of word ``states`` (batch, words, d)."""
    return linear(states, w.weight, w.bias)
