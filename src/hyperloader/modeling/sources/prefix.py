"""Prefixes made by one small network for all layers (Li and Liang, 2021, as UniPELT has them)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Part
from hyperloader.modeling.modules.prefix import PrefixWeights
from hyperloader.modeling.sources.source import WeightSource


class PrefixNetwork(WeightSource):
    """Embeddings of p positions through a network to keys and values of every layer, gated.

    What it makes depends on nothing, so in use it counts as its keys and values alone:
    :meth:`effective_size`.
    """

    def __init__(self, config: ModelConfig, part: Part, sites: Mapping[Site, Sizes]) -> None:
        super().__init__()
        (group,) = part.groups
        self.sites = list(sites)
        width = next(iter(sites.values())).inputs
        layers = len(self.sites)
        self.embeddings = nn.Embedding(config.prefix_length, width)
        self.network = nn.Sequential(
            nn.Linear(width, config.prefix_hidden_dim),
            nn.Tanh(),
            nn.Linear(config.prefix_hidden_dim, layers * 2 * width),
        )
        self.gate_weight = self.gate_bias = None
        if group.gated:
            self.gate_weight = nn.Parameter(torch.empty(layers, 1, 1, width))
            self.gate_bias = nn.Parameter(torch.empty(layers, 1, 1))
            nn.init.normal_(self.gate_weight, std=0.02)
            nn.init.zeros_(self.gate_bias)

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """Prefixes of all layers with leading dimension 1."""
        made = self.network(self.embeddings.weight)  # (p, layers * 2 * d)
        parts = made.unflatten(-1, (len(self.sites), 2, -1)).permute(1, 2, 0, 3)[:, :, None]
        return {
            site: PrefixWeights(
                parts[i, 0],
                parts[i, 1],
                None if self.gate_weight is None else self.gate_weight[i],
                None if self.gate_bias is None else self.gate_bias[i],
            )
            for i, site in enumerate(self.sites)
        }

    def effective_size(self) -> int:
        """How many numbers are kept once the network is replaced by what it makes."""
        gates = sum(p.numel() for p in (self.gate_weight, self.gate_bias) if p is not None)
        last = self.network[2]
        assert isinstance(last, nn.Linear)
        return self.embeddings.num_embeddings * last.out_features + gates
