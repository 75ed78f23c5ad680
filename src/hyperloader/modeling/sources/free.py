"""Weights that are parameters themselves: one set for all tasks, or one per task."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Group, Part
from hyperloader.modeling.modules.kind import FirstValues
from hyperloader.modeling.modules.registry import KINDS
from hyperloader.modeling.sources.source import Table, WeightSource, group_shapes


class FreeGroup(nn.Module):
    """The parameters of all sites of one group, each weight as one (sites, sets, *shape).

    Layer norms have one set however many tasks there are, as in the published code.
    """

    def __init__(
        self,
        group: Group,
        part: Part,
        config: ModelConfig,
        sites: Mapping[Site, Sizes],
        sets: int,
        first_norm: float,
    ) -> None:
        super().__init__()
        self.group, self.kind = group, KINDS.named(group.module)
        self.first = FirstValues(part.initial, first_norm)
        self.sites = [site for site in sites if site.place in group.places]
        self.weights = nn.ParameterDict(
            {
                name: torch.empty(len(self.sites), 1 if name.startswith("norm") else sets, *shape)
                for name, shape in group_shapes(group, part, config, sites).items()
            }
        )
        self.reset_parameters()

    @property
    def sets(self) -> int:
        """How many sets of weights there are: one for each task, or one."""
        return max(parameter.shape[1] for parameter in self.weights.values())

    def tables(self) -> dict[str, Table]:
        """See :meth:`WeightSource.tables`, where every task has a set."""
        tags = 2 if self.group.module == "head" else None
        own = (name for name in self.weights if not name.startswith("norm"))
        return {f"weights.{name}": Table(tasks=1, tags=tags) for name in own}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """First values as the kind of module has them."""
        for name, parameter in self.weights.items():
            for weight in parameter.flatten(0, 1):
                self.kind.start(name, weight, self.first)

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """Weights of this group's sites for ``task_ids`` (G,): leading dimension G, or 1 with
        one set for all tasks; a head has ``tags`` rows."""
        weights = dict(self.weights.items())
        if tags is not None and self.group.module == "head":
            weights = {name: parameter[:, :, :tags] for name, parameter in weights.items()}
        chosen = {name: self._choose(p, task_ids).unbind(0) for name, p in weights.items()}
        return {
            site: self.kind.weights(**{name: rows[i] for name, rows in chosen.items()})
            for i, site in enumerate(self.sites)
        }

    def _choose(self, parameter: Tensor, task_ids: Tensor) -> Tensor:
        if self.sets == 1:
            return parameter
        if parameter.shape[1] == 1:
            return parameter.expand(-1, len(task_ids), *parameter.shape[2:])
        return parameter[:, task_ids]


class FreeParameters(WeightSource):
    """Every weight of every site is learned as it is."""

    def __init__(
        self,
        config: ModelConfig,
        part: Part,
        sites: Mapping[Site, Sizes],
        *,
        sets: int = 1,
        first_norm: float = 1.0,
    ) -> None:
        """``sets``: one for each task, or one; ``first_norm``: where layer norm weights begin."""
        super().__init__()
        self.groups = nn.ModuleList(
            FreeGroup(group, part, config, sites, sets, first_norm) for group in part.groups
        )
        self._per_task = part.source == "free_per_task"

    def tables(self) -> dict[str, Table]:
        """See :meth:`WeightSource.tables`."""
        if not self._per_task:
            return {}
        groups: list[Any] = list(self.groups)
        return {
            f"groups.{i}.{name}": table
            for i, group in enumerate(groups)
            for name, table in group.tables().items()
        }

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """Weights of all sites, with leading dimension 1, or G with one set per task."""
        return {site: w for group in self.groups for site, w in group(task_ids, tags).items()}
