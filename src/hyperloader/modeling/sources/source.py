"""What every source of weights offers."""

from collections.abc import Iterable

from torch import Tensor, nn

from hyperloader.modeling.active import SiteWeights


class Source(nn.Module):
    """Makes the weights of some sites: of the tasks, or of what the encoder made of the input."""

    reads_encoder = False

    def forward(self, task_ids: Tensor) -> SiteWeights:
        """Weights for ``task_ids`` (G,): leading dimension G, or 1 where all tasks share them."""
        return {}

    def from_encoder(self, hidden: Tensor, attention_mask: Tensor | None) -> SiteWeights:
        """Weights that depend on the input, one set a row.

        ``hidden`` (batch, source length, d) is what the encoder gave, ``attention_mask`` (batch,
        source length) is 1 for tokens.
        """
        return {}


class Together(Source):
    """Several sources, each for sites of its own (or none, where nothing is attached)."""

    def __init__(self, sources: Iterable[Source]) -> None:
        super().__init__()
        self.sources = nn.ModuleList(sources)
        self.reads_encoder = any(source.reads_encoder for source in self._all())

    def forward(self, task_ids: Tensor) -> SiteWeights:
        return {site: w for source in self._all() for site, w in source(task_ids).items()}

    def from_encoder(self, hidden: Tensor, attention_mask: Tensor | None) -> SiteWeights:
        made = (source.from_encoder(hidden, attention_mask) for source in self._all())
        return {site: w for weights in made for site, w in weights.items()}

    def _all(self) -> list[Source]:
        return list(self.sources)  # type: ignore[arg-type]
