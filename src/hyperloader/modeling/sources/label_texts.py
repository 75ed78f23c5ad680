"""Heads made from what labels are called: a label's text is read once by the backbone itself, and
one network, the same for all tasks, makes rows of what it has read.

Labels that mean alike have rows that are alike, whatever the task, and a label that was never
trained has rows too.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import Site
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Part
from hyperloader.modeling.modules.head import HeadWeights
from hyperloader.modeling.sources.source import Table, WeightSource


class LabelTexts(WeightSource):
    """Vectors of label texts in, a head of T rows out: a row that is learned for O, and two made
    for each label.

    The vectors are never trained. They are parameters all the same, so that they are stored, moved
    and loaded with the others; zero until they are given (:meth:`read`) or loaded.
    """

    def __init__(self, config: ModelConfig, part: Part, sites: Mapping[Site, Sizes]) -> None:
        super().__init__()
        ((self.site, (width, tags)),) = sites.items()
        self.vectors = nn.Parameter(
            torch.zeros(len(config.tasks), tags // 2, width), requires_grad=False
        )
        hidden = config.projector_hidden_dim
        self.outside = nn.Parameter(torch.zeros(width + 1))
        self.projector = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.LayerNorm(hidden))
        self.generator = nn.Linear(hidden, 2 * (width + 1))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Rows of the head begin with about the size of free ones."""
        nn.init.normal_(self.outside[:-1], std=0.02)
        nn.init.normal_(self.generator.weight, std=0.02 / self.generator.in_features**0.5)
        nn.init.zeros_(self.generator.bias)

    @torch.no_grad()
    def read(self, task: int, vectors: Tensor) -> None:
        """Take the ``vectors`` (labels, d) of the label texts of the task of this number."""
        self.vectors[task, : len(vectors)] = vectors

    def rows(self, vectors: Tensor) -> HeadWeights:
        """A head (G, 1 + 2 L, d) of ``vectors`` (G, L, d)."""
        sets, labels, width = vectors.shape
        # States have much in common; their sizes say nothing.
        made = self.generator(self.projector(F.layer_norm(vectors, (width,))))
        outside = self.outside.expand(sets, 1, -1)
        rows = torch.cat([outside, made.view(sets, 2 * labels, width + 1)], dim=1)
        return HeadWeights(rows[..., :-1], rows[..., -1])

    def tables(self) -> dict[str, Table]:
        """See :meth:`WeightSource.tables`."""
        return {"vectors": Table(tasks=0, labels=1)}

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """The head for ``task_ids`` (G,)."""
        labels = None if tags is None else tags // 2
        return {self.site: self.rows(self.vectors[task_ids, :labels])}
