"""What a tagging head is told of how a word is written: a vector for each shape."""

from typing import TYPE_CHECKING, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.modeling.modules.kind import FirstValues, Kind, Shapes
from hyperloader.word_shapes import SHAPES

if TYPE_CHECKING:
    from hyperloader.modeling.config import ModelConfig


class ShapeVectors(NamedTuple):
    """A vector for each shape of :mod:`hyperloader.word_shapes` but the first, lower-case."""

    vectors: Tensor  # (G, shapes - 1, d)


class WordShapes(Kind):
    """Adds the vector of a word's shape to its state, and nothing to a lower-case word's: a task
    that has seen no capital reads them as it reads lower-case. It stands before a head, at no
    module."""

    name = "word_shapes"
    weights = ShapeVectors

    def shapes(self, config: "ModelConfig", inputs: int, outputs: int, gated: bool) -> Shapes:
        """See :meth:`Kind.shapes`: ``outputs`` is the width of a state."""
        return {"vectors": (len(SHAPES) - 1, outputs)}

    def start(self, name: str, weight: Tensor, first: FirstValues) -> None:
        """See :meth:`Kind.start`: it begins by adding nothing."""
        nn.init.zeros_(weight)


def add_shapes(w: ShapeVectors, states: Tensor, shapes: Tensor) -> Tensor:
    """Word ``states`` (batch, words, d) with what is known of their ``shapes`` (batch, words)."""
    table = F.pad(w.vectors, (0, 0, 1, 0)).expand(states.shape[0], -1, -1)
    return states + table.gather(1, shapes[..., None].expand(-1, -1, states.shape[-1]))
