"""Weights generated from (task, layer, position): the paper's section 3.5.

One generator of a kind serves all layers and places of a stack; what differs between them is
its input, so the weights of a whole stack come out of one product.
"""

import math

import torch
from torch import Tensor, nn

from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.layers import AdapterWeights, LoraWeights
from hyperloader.modeling.methods import LORA_PLACES, Group, Method
from hyperloader.modeling.sites import STACKS, Site


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

    def block(self, name: str) -> slice:
        """The rows of the linear layer that make the weight ``name``."""
        index = list(self.shapes).index(name)
        start = sum(self.sizes[:index])
        return slice(start, start + self.sizes[index])


class StackHypernetwork(nn.Module):
    """The hypernetwork of one stack (the encoder's or the decoder's)."""

    layer_ids: Tensor
    position_ids: Tensor

    def __init__(self, config: ModelConfig, method: Method, sites: dict[Site, nn.Linear]) -> None:
        super().__init__()
        self.sites = list(sites)
        # All places of the method have an id, also those that this stack lacks (the encoder has
        # no cross-attention), as in the published code.
        self.position_of = {place: i for i, place in enumerate(method.places)}
        layers = 1 + max(site.layer for site in sites)
        inputs = config.task_embedding_dim + config.layer_embedding_dim
        self.layer_embeddings = nn.Embedding(layers, config.layer_embedding_dim)
        self.position_embeddings = None
        if method.position_embedding:
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
        self.groups = _split_groups(method.groups, config)
        self.generators = nn.ModuleList(
            Generator(
                config.input_embedding_dim,
                _shapes(group, config, sites),
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
                weights[sites[i]] = (
                    LoraWeights(**parts)
                    if group.module == "lora"
                    else AdapterWeights(**{"norm_weight": None, "norm_bias": None, **parts})
                )
        return weights

    def _ids(self, sites: list[Site]) -> tuple[Tensor, Tensor]:
        return (
            torch.tensor([site.layer for site in sites]),
            torch.tensor([self.position_of[site.place] for site in sites]),
        )


class TaskHypernetwork(nn.Module):
    """Task embeddings and one hypernetwork a stack: task ids in, weights of all sites out."""

    def __init__(self, config: ModelConfig, method: Method, sites: dict[Site, nn.Linear]) -> None:
        super().__init__()
        self.task_embeddings = nn.Embedding(len(config.tasks), config.task_embedding_dim)
        for stack in STACKS:
            here = {site: module for site, module in sites.items() if site.stack == stack}
            self.add_module(stack, StackHypernetwork(config, method, here))

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


def _shapes(
    group: Group, config: ModelConfig, sites: dict[Site, nn.Linear]
) -> dict[str, tuple[int, ...]]:
    """The weights that ``group`` needs; all its places have the sizes of the first one."""
    alike = group.places
    if not any(site.place in alike for site in sites):
        # The encoder has no cross-attention; the published code generates for it all the same.
        alike = LORA_PLACES
    module = next(module for site, module in sites.items() if site.place in alike)
    width = module.out_features
    if group.module == "lora":
        return {"a": (config.lora_rank, module.in_features), "b": (width, config.lora_rank)}
    bottleneck = max(1, width // config.reduction_factor)
    shapes: dict[str, tuple[int, ...]] = {
        "down_weight": (bottleneck, width),
        "down_bias": (bottleneck,),
        "up_weight": (width, bottleneck),
        "up_bias": (width,),
    }
    if config.conditional_norm:
        shapes |= {"norm_weight": (width,), "norm_bias": (width,)}
    return shapes
