"""What a kind of module is: its weights, their shapes and first values, and what it computes.

A module owns no weights; they come from a source (:mod:`hyperloader.modeling.sources`). To add a
kind, subclass :class:`Kind` in a file of its own and name it in
:mod:`hyperloader.modeling.modules.registry`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from torch import Tensor, nn

from hyperloader.backbones.joins import Join
from hyperloader.backbones.places import Site

if TYPE_CHECKING:
    from hyperloader.modeling.config import ModelConfig

Shapes: TypeAlias = dict[str, tuple[int, ...]]
ModuleWeights: TypeAlias = Any
"""A named tuple of tensors, each with a leading dimension G, or None where there is no such one."""


@dataclass(frozen=True, slots=True)
class FirstValues:
    """How free parameters begin: what fills an (out, in) matrix, and the value of norm weights."""

    matrix: Callable[[Tensor], object]
    norm: float = 1.0


class Kind(ABC):
    """A kind of module that is attached to a backbone.

    Attributes:
        name: what rows of the table of methods call it.
        weights: the named tuple of its weights.
        generator_bias: whether a generator of its weights has a bias.
    """

    name: ClassVar[str]
    weights: ClassVar[type]
    generator_bias: ClassVar[bool] = True

    @abstractmethod
    def shapes(self, config: "ModelConfig", inputs: int, outputs: int, gated: bool) -> Shapes:
        """Names and shapes of its weights, without the leading dimension.

        Args:
            inputs, outputs: what goes into the hooked module and what leaves it, in numbers.
            gated: whether a learned number for each row scales what the module adds.
        """

    @abstractmethod
    def start(self, name: str, weight: Tensor, first: FirstValues) -> None:
        """Fill the free parameter ``weight`` called ``name`` (one site, one set) in place."""

    def start_generated(self, blocks: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Change the first values of a generator's rows that make each weight (default: keep them).

        ``blocks`` are views, (numbers of the weight, embedding).
        """

    def widths(self, inputs: int, outputs: int) -> tuple[int, int]:
        """The part of a hooked module's sizes that matters: places that agree share a generator."""
        return inputs, outputs

    def change(self, x: Tensor, y: Tensor, w: ModuleWeights, config: "ModelConfig") -> Tensor:
        """What is added to the stream, (batch, length, width), for the module's ``x`` and ``y``.

        ``x`` goes into the hooked module, ``y`` leaves it; see :mod:`hyperloader.backbones.joins`.
        """
        raise TypeError(f"{self.name} adds nothing to a module's output")

    def merged(self, w: ModuleWeights, config: "ModelConfig") -> Tensor | None:
        """What a hooked linear layer's weight (outputs, inputs) has to grow by to answer alone as
        it does with one set of weights ``w``, which is what :meth:`change` adds; None (the
        default): no such matrix does."""
        return None

    def hook(self, module: nn.Module, site: Site, join: Join, config: "ModelConfig") -> bool:
        """Hook ``module`` in a way of its own; False (the default): :meth:`change` is joined."""
        return False


def gate_shapes(width: int) -> Shapes:
    """Of a gate that reads states of ``width`` numbers."""
    return {"gate_weight": (1, width), "gate_bias": (1,)}


def start_gate(name: str, weight: Tensor) -> bool:
    """Fill a gate's ``weight``, so that it begins near a half; False if ``name`` is none of it."""
    if name == "gate_weight":
        nn.init.normal_(weight, std=0.02)
    elif name == "gate_bias":
        nn.init.zeros_(weight)
    else:
        return False
    return True
