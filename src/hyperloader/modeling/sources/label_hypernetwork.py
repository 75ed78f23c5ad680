"""Heads generated from (task, label): every label has an embedding, and one network makes its row.

The task hypernetwork's idea (paper, section 3.5) for what stands at the end of a model: what tasks
have in common is in the network, what a label is of its own in its embedding.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Part
from hyperloader.modeling.modules.head import HeadWeights
from hyperloader.modeling.sources.source import Table, WeightSource


class LabelHypernetwork(WeightSource):
    """Embeddings of tasks and of their tags in, a head of T rows out."""

    def __init__(self, config: ModelConfig, part: Part, sites: Mapping[Site, Sizes]) -> None:
        super().__init__()
        ((self.site, (width, tags)),) = sites.items()
        tasks, size = len(config.tasks), config.input_embedding_dim
        self.task_embeddings = nn.Embedding(tasks, config.task_embedding_dim)
        self.tag_embeddings = nn.Parameter(torch.empty(tasks, tags, size))
        self.projector = nn.Sequential(
            nn.Linear(config.task_embedding_dim + size, config.projector_hidden_dim),
            nn.ReLU(),
            nn.Linear(config.projector_hidden_dim, size),
        )
        self.norm = nn.LayerNorm(size, eps=1e-6)
        self.generator = nn.Linear(size, width + 1)
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """N(0, 1) embeddings; rows of the head then have about the size of free ones."""
        nn.init.normal_(self.tag_embeddings)
        size = self.generator.in_features
        nn.init.normal_(self.generator.weight, std=0.02 / size**0.5)
        nn.init.zeros_(self.generator.bias)

    def tables(self) -> dict[str, Table]:
        """See :meth:`WeightSource.tables`."""
        return {"task_embeddings.weight": Table(tasks=0), "tag_embeddings": Table(tasks=0, tags=1)}

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """The head for ``task_ids`` (G,)."""
        rows = self.tag_embeddings[task_ids, :tags]
        tasks = self.task_embeddings(task_ids)[:, None].expand(-1, rows.shape[1], -1)
        made = self.generator(self.norm(self.projector(torch.cat([tasks, rows], dim=-1))))
        return {self.site: HeadWeights(made[..., :-1], made[..., -1])}
