"""How alike a model's tasks are: cosines of their embeddings and of the weights made from them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hyperloader.errors import ConfigError
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.methods import METHODS
from hyperloader.modeling.modules.adapter import AdapterWeights
from hyperloader.modeling.sources.task_hypernetwork import TaskHypernetwork

EMBEDDINGS = "task embeddings"


@dataclass(frozen=True, slots=True)
class Similarity:
    """Cosines between tasks: for each kind a matrix (tasks, tasks) with values in [-1, 1]."""

    tasks: tuple[str, ...]
    matrices: dict[str, list[list[float]]]

    @property
    def by_chance(self) -> float:
        """What generated weights without anything in common have once their mean is subtracted."""
        return -1 / (len(self.tasks) - 1)


def task_similarity(model: AttachedModel) -> Similarity:
    """Compare the tasks of a model with task embeddings.

    ``task embeddings`` are compared as they are. Generated weights are flattened over all sites,
    one vector a task for each kind of module (adapters, layer norms, LoRA); the mean over tasks
    is subtracted, since what all tasks share would make all of them alike.

    Raises:
        ConfigError: a method without task embeddings, one that all tasks share, or a single task.
    """
    tasks = model.config.tasks
    source = next((m for m in model.source.modules() if isinstance(m, TaskHypernetwork)), None)
    if source is None:
        having = [
            name
            for name, method in METHODS.items()
            if any(part.source == "task_hypernetwork" for part in method.parts)
        ]
        raise ConfigError(
            f"method {model.config.method!r} has no task embeddings; methods that have: "
            f"{', '.join(having)}"
        )
    if source.shared:
        raise ConfigError(
            "all tasks share one embedding (model.task_embeddings=shared), so that none differs; "
            "train a model whose tasks have their own to compare them"
        )
    if len(tasks) < 2:
        raise ConfigError(f"the model has one task, {tasks[0]!r}; comparing tasks takes two")
    with torch.no_grad():
        weights = model.cached_weights(torch.arange(len(tasks), device=model.device))
        found = {EMBEDDINGS: source.task_embeddings.weight.double()}
        found |= {kind: rows - rows.mean(0) for kind, rows in _by_kind(weights).items()}
        return Similarity(tasks, {kind: _cosines(rows) for kind, rows in found.items()})


def _by_kind(weights: SiteWeights) -> dict[str, Tensor]:
    """All generated weights of each kind of module as (tasks, numbers), in float64."""
    kinds: dict[str, list[Tensor]] = {}
    for made in weights.values():
        for name, part in made._asdict().items():
            if part is None:
                continue
            kind = "generated LoRA"
            if isinstance(made, AdapterWeights):
                kind = f"generated {'layer norms' if name.startswith('norm') else 'adapters'}"
            kinds.setdefault(kind, []).append(part.double().flatten(1))
    return {kind: torch.cat(parts, dim=1) for kind, parts in kinds.items()}


def _cosines(rows: Tensor) -> list[list[float]]:
    unit = torch.nn.functional.normalize(rows, dim=1)
    cosines: list[list[float]] = (unit @ unit.T).clamp(-1, 1).tolist()
    return cosines
