"""Weights generated from (task, layer, position): the paper's section 3.5.

One generator of a kind serves all layers and places of a stack; what differs between them is
its input, so the weights of a whole stack come out of one product.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import STACKS, Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Group, Part
from hyperloader.modeling.modules.kind import Shapes
from hyperloader.modeling.modules.registry import KINDS
from hyperloader.modeling.sources.generator import Generator
from hyperloader.modeling.sources.source import Table, WeightSource, group_shapes


class StackHypernetwork(nn.Module):
    """The hypernetwork of one stack (the encoder's or the decoder's)."""

    layer_ids: Tensor
    position_ids: Tensor

    def __init__(self, config: ModelConfig, part: Part, sites: Mapping[Site, Sizes]) -> None:
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
        self.kinds = [KINDS.named(group.module) for group in self.groups]
        self.generators = nn.ModuleList(
            Generator(
                config.input_embedding_dim,
                group_shapes(group, part, config, sites),
                bias=kind.generator_bias,
            )
            for group, kind in zip(self.groups, self.kinds, strict=True)
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
        for kind, generator in zip(self.kinds, self._generators(), strict=True):
            with torch.no_grad():
                kind.start_generated(generator.blocks())

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
        for group, kind, generator in zip(self.groups, self.kinds, self._generators(), strict=True):
            served = [i for i, site in enumerate(sites) if site.place in group.places]
            if not served:
                continue
            # The sites of a group stand together, so this is a view.
            made = generator(embedded[served[0] : served[-1] + 1])
            for i, parts in zip(served, made, strict=True):
                weights[sites[i]] = kind.weights(**parts)
        return weights

    def generated(self) -> dict[Site, Shapes]:
        """See :meth:`WeightSource.generated`."""
        return {
            site: generator.shapes
            for group, generator in zip(self.groups, self._generators(), strict=True)
            for site in self.sites
            if site.place in group.places
        }

    def _generators(self) -> list[Generator]:
        return list(self.generators)  # type: ignore[arg-type]

    def _ids(self, sites: list[Site]) -> tuple[Tensor, Tensor]:
        return (
            torch.tensor([site.layer for site in sites]),
            torch.tensor([self.position_of[site.place] for site in sites]),
        )


class TaskHypernetwork(WeightSource):
    """Task embeddings and one hypernetwork per stack: task ids in, weights of all sites out."""

    def __init__(self, config: ModelConfig, part: Part, sites: Mapping[Site, Sizes]) -> None:
        super().__init__()
        self.shared = config.task_embeddings == "shared"
        tasks = 1 if self.shared else len(config.tasks)
        self.task_embeddings = nn.Embedding(tasks, config.task_embedding_dim)
        self.stacks = [stack for stack in STACKS if any(site.stack == stack for site in sites)]
        for stack in self.stacks:
            here = {site: module for site, module in sites.items() if site.stack == stack}
            self.add_module(stack, StackHypernetwork(config, part, here))

    def tables(self) -> dict[str, Table]:
        """See :meth:`WeightSource.tables`."""
        return {} if self.shared else {"task_embeddings.weight": Table(tasks=0)}

    def generated(self) -> dict[Site, Shapes]:
        """See :meth:`WeightSource.generated`."""
        stacks: list[Any] = [self.get_submodule(stack) for stack in self.stacks]
        return {site: shapes for s in stacks for site, shapes in s.generated().items()}

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """``task_ids`` (G,): weights with leading dimension G for every site, or 1 where all tasks
        share an embedding."""
        task = self.task_embeddings.weight if self.shared else self.task_embeddings(task_ids)
        made = (self.get_submodule(stack)(task) for stack in self.stacks)
        return {site: w for weights in made for site, w in weights.items()}


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
