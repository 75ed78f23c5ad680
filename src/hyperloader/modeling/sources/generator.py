"""From an embedding to all the weights of one kind of module, in one product."""

import math

from torch import Tensor, nn


class Generator(nn.Module):
    """A linear layer from the input embedding to all the weights of one kind of module.

    The published code has one linear layer for each weight and bias; here they are the row
    blocks of one, named by ``shapes``.
    """

    def __init__(self, embedding_dim: int, shapes: dict[str, tuple[int, ...]], bias: bool) -> None:
        super().__init__()
        self.shapes = shapes
        self.sizes = [math.prod(shape) for shape in shapes.values()]
        self.linear = nn.Linear(embedding_dim, sum(self.sizes), bias=bias)

    def forward(self, embedding: Tensor) -> list[dict[str, Tensor]]:
        """``embedding`` (N, G, e): for each of the N, every weight as (G, *shape)."""
        return [
            {
                name: part.view(-1, *shape)
                for (name, shape), part in zip(
                    self.shapes.items(), row.split(self.sizes, dim=-1), strict=True
                )
            }
            for row in self.linear(embedding).unbind(0)
        ]

    def blocks(self) -> dict[str, Tensor]:
        """The rows of the linear layer that make each weight, as views."""
        return dict(zip(self.shapes, self.linear.weight.split(self.sizes), strict=True))
