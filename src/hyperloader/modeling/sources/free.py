"""Weights that are parameters themselves: one set for all tasks, or one a task."""

import math

import torch
from torch import Tensor, nn

from hyperloader.backbones.sites import Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Group, Part
from hyperloader.modeling.sources.shapes import as_weights, shapes
from hyperloader.modeling.sources.source import Source


class FreeGroup(nn.Module):
    """The parameters of all sites of one group, each weight as one (sites, sets, *shape).

    Layer norms have one set however many tasks there are, as in the published code.
    """

    def __init__(
        self,
        group: Group,
        part: Part,
        config: ModelConfig,
        sites: dict[Site, nn.Module],
        sets: int,
    ) -> None:
        super().__init__()
        self.group, self.initial, self.sets = group, part.initial, sets
        self.sites = [site for site in sites if site.place in group.places]
        self.weights = nn.ParameterDict(
            {
                name: torch.empty(len(self.sites), 1 if name.startswith("norm") else sets, *shape)
                for name, shape in shapes(group, config, sites).items()
            }
        )
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """LoRA starts as nothing (B is zero), layer norms as plain ones, gates near a half."""
        for name, parameter in self.weights.items():
            if name.endswith("bias") or name == "b":
                nn.init.zeros_(parameter)
            elif name == "norm_weight":
                nn.init.ones_(parameter)
            elif name == "gate_weight":
                nn.init.normal_(parameter, std=0.02)
            else:
                for matrix in parameter.flatten(0, 1):
                    if name == "a":
                        nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))
                    else:
                        self.initial(matrix)

    def forward(self, task_ids: Tensor) -> SiteWeights:
        """Weights of this group's sites for ``task_ids`` (G,): leading dimension G, or 1 with
        one set for all tasks."""
        chosen = {name: self._choose(p, task_ids).unbind(0) for name, p in self.weights.items()}
        return {
            site: as_weights(self.group, {name: rows[i] for name, rows in chosen.items()})
            for i, site in enumerate(self.sites)
        }

    def _choose(self, parameter: Tensor, task_ids: Tensor) -> Tensor:
        if self.sets == 1:
            return parameter
        if parameter.shape[1] == 1:
            return parameter.expand(-1, len(task_ids), *parameter.shape[2:])
        return parameter[:, task_ids]


class FreeParameters(Source):
    """Every weight of every site is learned as it is."""

    def __init__(
        self, config: ModelConfig, part: Part, sites: dict[Site, nn.Module], sets: int = 1
    ) -> None:
        super().__init__()
        self.groups = nn.ModuleList(
            FreeGroup(group, part, config, sites, sets) for group in part.groups
        )

    def forward(self, task_ids: Tensor) -> SiteWeights:
        """Weights of all sites, with leading dimension 1, or G for one set a task."""
        return {site: w for group in self.groups for site, w in group(task_ids).items()}
