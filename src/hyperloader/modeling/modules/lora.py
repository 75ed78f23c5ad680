"""Low-rank updates of linear layers (Hu et al., 2022; paper, equation 4)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from hyperloader.modeling.modules.kind import FirstValues, Kind, Shapes, gate_shapes, start_gate
from hyperloader.modeling.modules.linear import gate, linear

if TYPE_CHECKING:
    from hyperloader.modeling.config import ModelConfig


class LoraWeights(NamedTuple):
    """A low-rank update of a linear layer: W0 + scale * B A."""

    a: Tensor  # (G, r, in)
    b: Tensor  # (G, out, r)
    gate_weight: Tensor | None = None  # (G, 1, in)
    gate_bias: Tensor | None = None  # (G, 1)


class Lora(Kind):
    """scale * B A x, added to the output of a linear layer. It starts as nothing: B is zero."""

    name = "lora"
    weights = LoraWeights
    generator_bias = False

    def shapes(self, config: "ModelConfig", inputs: int, outputs: int, gated: bool) -> Shapes:
        """See :meth:`Kind.shapes`."""
        made: Shapes = {"a": (config.lora_rank, inputs), "b": (outputs, config.lora_rank)}
        return made | (gate_shapes(inputs) if gated else {})

    def start(self, name: str, weight: Tensor, first: FirstValues) -> None:
        """See :meth:`Kind.start`."""
        if start_gate(name, weight):
            return
        if name == "a":
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5))
        else:
            nn.init.zeros_(weight)

    def start_generated(self, blocks: Mapping[str, Tensor]) -> None:
        """See :meth:`Kind.start_generated`: A as a free one, B zero, as published."""
        nn.init.kaiming_uniform_(blocks["a"], a=math.sqrt(5))
        nn.init.zeros_(blocks["b"])

    def change(self, x: Tensor, y: Tensor, w: LoraWeights, config: "ModelConfig") -> Tensor:
        """See :meth:`Kind.change`."""
        return lora(x, w, config.lora_scale)

    def merged(self, w: LoraWeights, config: "ModelConfig") -> Tensor | None:
        """See :meth:`Kind.merged`: scale * B A, unless a gate looks at the input."""
        return None if w.gate_weight is not None else config.lora_scale * (w.b[0] @ w.a[0])


def lora(x: Tensor, w: LoraWeights, scale: float) -> Tensor:
    """scale * B A x: x is (batch, length, in), the result (batch, length, out).

    A gate takes the place of the scale, as in the published code of UniPELT.
    """
    update = linear(linear(x, w.a), w.b)
    if w.gate_weight is not None:
        return update * gate(x, w.gate_weight, w.gate_bias)
    return update if scale == 1.0 else update * scale
