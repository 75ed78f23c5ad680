"""What a task that was added to a trained model has of its own on the generated weights."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hyperloader.backbones.places import Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.modules.kind import Shapes
from hyperloader.modeling.sources.source import WeightSource

_UP, _DOWN = "_up", "_down"


class Residual(nn.Module):
    """A change of every generated weight of one task: of a matrix U D of low rank, of a vector any.

    It starts as nothing: U and vectors are zero. Sites with weights of the same shapes share a
    product.

    Args:
        generated: the shapes of the weights of every site.
        rank: of the change of a matrix, at most.
    """

    def __init__(self, generated: Mapping[Site, Shapes], rank: int) -> None:
        super().__init__()
        alike: dict[tuple[tuple[str, tuple[int, ...]], ...], list[Site]] = {}
        for site, shapes in generated.items():
            alike.setdefault(tuple(shapes.items()), []).append(site)
        self.sites, self.shapes = list(alike.values()), [dict(key) for key in alike]
        self.groups = nn.ModuleList(
            nn.ParameterDict(_first_values(shapes, len(sites), rank))
            for sites, shapes in zip(self.sites, self.shapes, strict=True)
        )

    def forward(self) -> dict[Site, dict[str, Tensor]]:
        """The change of every weight, without a leading dimension."""
        found: dict[Site, dict[str, Tensor]] = {site: {} for some in self.sites for site in some}
        groups: Any = self.groups
        for sites, shapes, own in zip(self.sites, self.shapes, groups, strict=True):
            for name, shape in shapes.items():
                change = own[name + _UP] @ own[name + _DOWN] if len(shape) == 2 else own[name]
                for site, part in zip(sites, change, strict=True):
                    found[site][name] = part
        return found

    def added(self, weights: SiteWeights, row: Tensor) -> SiteWeights:
        """``weights`` (G sets) with the change added to those for which ``row`` (G,) is 1."""
        changed = dict(weights)
        for site, parts in self().items():
            here = weights[site]
            now = {
                name: getattr(here, name) + row.view(-1, *[1] * part.dim()) * part
                for name, part in parts.items()
            }
            changed[site] = here._replace(**now)
        return changed


def residuals_of(config: ModelConfig, source: WeightSource) -> nn.ModuleList:
    """The residual of every task of ``config`` that has one, in their order."""
    generated = source.generated()
    return nn.ModuleList(Residual(generated, rank) for rank in config.grown.values() if rank)


def _first_values(shapes: Shapes, sites: int, rank: int) -> dict[str, nn.Parameter]:
    made: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        if len(shape) == 2:
            outputs, inputs = shape
            inner = min(rank, outputs, inputs)
            made[name + _UP] = torch.zeros(sites, outputs, inner)
            made[name + _DOWN] = torch.randn(sites, inner, inputs) / inputs**0.5
        else:
            made[name] = torch.zeros(sites, *shape)
    return {name: nn.Parameter(value) for name, value in made.items()}
