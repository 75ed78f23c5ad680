"""What every source of weights offers."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from hyperloader.backbones.family import Sizes
from hyperloader.backbones.places import Place, Site
from hyperloader.errors import ConfigError
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import Group, Part
from hyperloader.modeling.modules.kind import Shapes
from hyperloader.modeling.modules.registry import KINDS


class Table(NamedTuple):
    """The dimensions of a parameter that count tasks and (of a tagging head) tags, or labels: what
    comes of the labels' texts and is not trained."""

    tasks: int
    tags: int | None = None
    labels: int | None = None

    @property
    def trained(self) -> bool:
        """Whether training changes it."""
        return self.labels is None

    @property
    def place(self) -> int | None:
        """Which dimension of a task's row counts tags or labels; None: they all have one size."""
        counted = self.tags if self.labels is None else self.labels
        return None if counted is None else counted - 1

    def size(self, tags: int) -> int:
        """How many a row has of them for a task with so many ``tags``."""
        return tags if self.labels is None else tags // 2


class WeightSource(nn.Module):
    """Makes the weights of some sites: of the tasks, or of what the encoder made of the input."""

    reads_input = False

    def tables(self) -> dict[str, Table]:
        """The parameters that have something of every task, by their names here; tasks share all
        others."""
        return {}

    def generated(self) -> dict[Site, Shapes]:
        """The shapes of the weights that one network makes for all tasks."""
        return {}

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """Weights for ``task_ids`` (G,): leading dimension G, or 1 where all tasks share them.

        ``tags``: how many rows a tagging head is to have; default: as many as any task has tags.
        """
        return {}

    def from_input(self, hidden: Tensor, attention_mask: Tensor | None) -> SiteWeights:
        """Weights that depend on the input, one set per row.

        ``hidden`` (batch, source length, d) is what the encoder gave, ``attention_mask`` (batch,
        source length) is 1 for tokens.
        """
        return {}


class CombinedSource(WeightSource):
    """Several sources, each for sites of its own (or none, where nothing is attached)."""

    def __init__(self, sources: Iterable[WeightSource]) -> None:
        super().__init__()
        self.sources = nn.ModuleList(sources)
        self.reads_input = any(source.reads_input for source in self._all())

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """See :meth:`WeightSource.forward`."""
        return {site: w for source in self._all() for site, w in source(task_ids, tags).items()}

    def from_input(self, hidden: Tensor, attention_mask: Tensor | None) -> SiteWeights:
        """See :meth:`WeightSource.from_input`."""
        made = (source.from_input(hidden, attention_mask) for source in self._all())
        return {site: w for weights in made for site, w in weights.items()}

    def tables(self) -> dict[str, Table]:
        """See :meth:`WeightSource.tables`."""
        return _tables({f"sources.{i}": source for i, source in enumerate(self._all())})

    def generated(self) -> dict[Site, Shapes]:
        """See :meth:`WeightSource.generated`."""
        return {site: found for s in self._all() for site, found in s.generated().items()}

    def _all(self) -> list[WeightSource]:
        return list(self.sources)  # type: ignore[arg-type]


class SummedSource(WeightSource):
    """Two sources for the same sites, whose weights are added up."""

    def __init__(self, one: WeightSource, other: WeightSource) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, task_ids: Tensor, tags: int | None = None) -> SiteWeights:
        """See :meth:`WeightSource.forward`."""
        more = self.other(task_ids, tags)
        return {
            site: type(w)(*(a + b for a, b in zip(w, more[site], strict=True)))
            for site, w in self.one(task_ids, tags).items()
        }

    def tables(self) -> dict[str, Table]:
        """See :meth:`WeightSource.tables`."""
        return _tables({"one": self.one, "other": self.other})


def _tables(sources: Mapping[str, WeightSource]) -> dict[str, Table]:
    return {
        f"{of}.{name}": table
        for of, source in sources.items()
        for name, table in source.tables().items()
    }


def group_shapes(
    group: Group, part: Part, config: ModelConfig, sites: Mapping[Site, Sizes]
) -> Shapes:
    """Names and shapes (without the leading dimension) of the weights of ``group`` at ``sites``.

    Raises:
        ConfigError: the places of the group are not all equally wide.
    """
    kind = KINDS.named(group.module)

    def widths(places: Iterable[Place]) -> set[tuple[int, int]]:
        return {kind.widths(*sizes) for site, sizes in sites.items() if site.place in places}

    # A stack may lack a place of its own (the encoder has no cross-attention); the published code
    # generates for it all the same, as for the other places of that kind.
    alike = [p for other in part.groups if other.module == group.module for p in other.places]
    found = widths(group.places) or widths(alike)
    if len(found) > 1:
        raise ConfigError(
            f"the backbone's {' and '.join(group.places)} differ in width between layers "
            f"({', '.join(map(str, sorted(found)))}): the method needs one size"
        )
    ((inputs, outputs),) = found
    return kind.shapes(config, inputs, outputs, group.gated)
