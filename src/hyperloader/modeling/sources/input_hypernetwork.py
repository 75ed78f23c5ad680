"""Weights generated from the input, one set per row: Hyperdecoders (Ivison and Peters, 2022).

The mean of the encoder's output goes through a small network; together with an embedding of the
layer it is what the weights of that layer are generated from.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Part
from hyperloader.modeling.modules.registry import KINDS
from hyperloader.modeling.sources.generator import Generator
from hyperloader.modeling.sources.source import WeightSource, group_shapes


class InputHypernetwork(WeightSource):
    """From the encoder's output to the weights of every site, for each row of the batch."""

    reads_input = True
    layer_ids: Tensor

    def __init__(self, config: ModelConfig, part: Part, sites: Mapping[Site, Sizes]) -> None:
        super().__init__()
        (group,) = part.groups
        self.kind = KINDS.named(group.module)
        self.sites = list(sites)
        width = next(iter(sites.values())).inputs
        hidden, layer_dim = config.projector_hidden_dim, config.layer_embedding_dim
        self.summary = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.layer_embeddings = nn.Embedding(1 + max(site.layer for site in sites), layer_dim)
        self.projector = nn.Sequential(nn.Linear(width + layer_dim, hidden), nn.ReLU())
        self.generator = Generator(hidden, group_shapes(group, part, config, sites), bias=True)
        layer_ids = torch.tensor([site.layer for site in self.sites])
        self.register_buffer("layer_ids", layer_ids, persistent=False)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The published initialisation of the generator: weights of about 1e-3 x T5's own."""
        linear, blocks = self.generator.linear, self.generator.blocks()
        nn.init.zeros_(linear.bias)
        for name, shape in self.generator.shapes.items():
            fan_in = linear.in_features * (shape[-1] if len(shape) > 1 else 1)
            bound = 1e-3 * math.sqrt(3 / fan_in)
            nn.init.uniform_(blocks[name], -bound, bound)

    def from_input(self, hidden: Tensor, attention_mask: Tensor | None) -> SiteWeights:
        """Weights of every site with leading dimension batch; padding has no part in them."""
        if attention_mask is None:
            mean = hidden.mean(1)
        else:
            mask = attention_mask[:, :, None].to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)
        rows = self.summary(mean)
        layers = self.layer_embeddings(self.layer_ids).to(rows.dtype)
        count, batch = layers.shape[0], rows.shape[0]
        inputs = torch.cat(
            [rows.expand(count, -1, -1), layers[:, None].expand(-1, batch, -1)], dim=-1
        )
        made = self.generator(self.projector(inputs))
        return {
            site: self.kind.weights(**parts) for site, parts in zip(self.sites, made, strict=True)
        }
