"""Weights generated from (task, layer, position): the paper's section 3.5.

One generator of a kind serves all layers and places of a stack; what differs between them is
its input, so the weights of a whole stack come out of one product.
"""

import math

import torch
from torch import Tensor, nn

from hyperloader.backbones.sites import STACKS, Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Group, Part
from hyperloader.modeling.sources.generator import Generator
from hyperloader.modeling.sources.shapes import as_weights, shapes
from hyperloader.modeling.sources.source import Source


class StackHypernetwork(nn.Module):
    """The hypernetwork of one stack (the encoder's or the decoder's)."""

    layer_ids: Tensor
    position_ids: Tensor

    def __init__(self, config: ModelConfig, part: Part, sites: dict[Site, nn.Module]) -> None:
        super().__init__()
        self.sites = list(sites)
        # All places of the part have an id, also those that this stack lacks (the encoder has
        # no cross-attention), as in the published code.
        self.position_of = {place: i for i, place in enumerate(part.places)}
        layers = 1 + max(site.layer for site in sites)
        inputs = config.task_embedding_dim + config.layer_embedding_dim
        self.layer_embeddings = nn.Embedding(layers, config.layer_embedding_dim)
        self.position_embeddings = None
        if part.position_embedding:
            inputs += config.position_embedding_dim
            self.position_embeddings = nn.Embedding(
                len(self.position_of), config.position_embedding_dim
            )
        self.projector = nn.Sequential(
            nn.Linear(inputs, config.projector_hidden_dim),
            nn.ReLU(),
            nn.Linear(config.projector_hidden_dim, config.input_embedding_dim),
        )
        self.norm = nn.LayerNorm(config.input_embedding_dim, eps=1e-6)
        self.groups = _split_groups(part.groups, config)
        self.generators = nn.ModuleList(
            Generator(
                config.input_embedding_dim,
                shapes(group, config, sites),
                bias=group.module == "adapter",
            )
            for group in self.groups
        )
        layer_ids, position_ids = self._ids(self.sites)
        self.register_buffer("layer_ids", layer_ids, persistent=False)
        self.register_buffer("position_ids", position_ids, persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The published initialisation: N(0, 0.01^2) linears, N(0, 1) embeddings, LoRA B zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for group, generator in zip(self.groups, self.generators, strict=True):
            if group.module == "lora":
                assert isinstance(generator, Generator)
                with torch.no_grad():
                    weight = generator.linear.weight
                    nn.init.kaiming_uniform_(weight[generator.block("a")], a=math.sqrt(5))
                    nn.init.zeros_(weight[generator.block("b")])

    def embed(self, task: Tensor, layer_ids: Tensor, position_ids: Tensor) -> Tensor:
        """The input embeddings I of equation 5: (N, G, e) for task embeddings (G, t)."""
        where = self.layer_embeddings(layer_ids)
        if self.position_embeddings is not None:
            where = torch.cat([where, self.position_embeddings(position_ids)], dim=-1)
        sites, tasks = where.shape[0], task.shape[0]
        inputs = [task.expand(sites, -1, -1), where[:, None].expand(-1, tasks, -1)]
        return self.norm(self.projector(torch.cat(inputs, dim=-1)))

    def forward(self, task: Tensor, sites: list[Site] | None = None) -> SiteWeights:
        """Weights of ``sites`` (default: all of this stack) for task embeddings (G, t)."""
        if sites is None:
            sites, ids = self.sites, (self.layer_ids, self.position_ids)
        else:
            ids = self._ids(sites)
        embedded = self.embed(task, *(part.to(task.device) for part in ids))
        weights: SiteWeights = {}
        for group, generator in zip(self.groups, self.generators, strict=True):
            served = [i for i, site in enumerate(sites) if site.place in group.places]
            if not served:
                continue
            # The sites of a group stand together, so this is a view.
            made = generator(embedded[served[0] : served[-1] + 1])
            for i, parts in zip(served, made, strict=True):
                weights[sites[i]] = as_weights(group, parts)
        return weights

    def _ids(self, sites: list[Site]) -> tuple[Tensor, Tensor]:
        return (
            torch.tensor([site.layer for site in sites]),
            torch.tensor([self.position_of[site.place] for site in sites]),
        )


class TaskHypernetwork(Source):
    """Task embeddings and one hypernetwork a stack: task ids in, weights of all sites out."""

    def __init__(self, config: ModelConfig, part: Part, sites: dict[Site, nn.Module]) -> None:
        super().__init__()
        self.task_embeddings = nn.Embedding(len(config.tasks), config.task_embedding_dim)
        for stack in STACKS:
            here = {site: module for site, module in sites.items() if site.stack == stack}
            self.add_module(stack, StackHypernetwork(config, part, here))

    def forward(self, task_ids: Tensor) -> SiteWeights:
        """``task_ids`` (G,): weights with leading dimension G for every site."""
        task = self.task_embeddings(task_ids)
        return {**self.get_submodule("encoder")(task), **self.get_submodule("decoder")(task)}


def _split_groups(groups: tuple[Group, ...], config: ModelConfig) -> list[Group]:
    if config.lora_generators == "shared":
        return list(groups)
    return [
        part
        for group in groups
        for part in (
            [Group("lora", (place,)) for place in group.places]
            if group.module == "lora"
            else [group]
        )
    ]
