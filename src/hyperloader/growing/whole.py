"""Adding a task by training the hypernetwork too, while what old tasks are given is kept near."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from torch import Tensor

from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import Recipe
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.given import Labelled, corpora_of
from hyperloader.errors import ConfigError, unknown
from hyperloader.evaluation.evaluate import f1_evaluator
from hyperloader.growing.training import short_run
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.attached import HEAD, AttachedModel
from hyperloader.outputs.loss import WindowLoss
from hyperloader.training.loop import Trainer
from hyperloader.training.progress import Listener
from hyperloader.training.setup import encode

# What a change of the generated weights of old tasks costs, beside the mean loss of a term: this
# times the mean square of the change over the mean square of the weights.
PENALTY = 10.0


class Whole(NamedTuple):
    """A model with the new task; see :class:`~hyperloader.growing.add.Added` for the others."""

    checkpoint: Checkpoint
    moved: Mapping[str, float]
    f1: Mapping[str, tuple[float, float]]


class WholeTrainer(Trainer):
    """Trains the hypernetwork and one task; without replay it penalises what changes for others."""

    title = "adding"
    best: dict[str, Tensor]

    def __init__(self, *arguments: Any, old: Sequence[str], **options: Any) -> None:
        self.old = old
        super().__init__(*arguments, **options)

    def _objective(self) -> WindowLoss:
        """See ``Trainer._objective``."""
        inner = super()._objective()
        return Keeping(inner, self.model, self.old) if self.old else inner

    def _record(self, found: dict[str, Any]) -> None:
        super()._record(found)
        if self.state.best_step == self.state.step:
            self.best = {n: p.detach().clone() for n, p in _trained(self.model).items()}

    def _write(self, folder: Path) -> None:
        """See ``TrainingLoop._write``: nothing, as ``best`` is in memory and no run is resumed."""


class Keeping(WindowLoss):
    """A loss, and a penalty on changes of the generated weights of ``old`` tasks: the hypernetwork
    goes on giving them what it gave (von Oswald et al. 2020, https://arxiv.org/abs/1906.00695)."""

    def __init__(self, inner: WindowLoss, model: AttachedModel, old: Sequence[str]) -> None:
        super().__init__()
        self.inner, self.model = inner, model
        self._old = torch.cat([model.task_ids(task) for task in old])
        with torch.no_grad():
            self._before = _generated(model, self._old)
        self._size = sum(part.square().sum() for part in self._before)

    def terms(
        self, windows: Sequence[EncodedWindow], smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """See :class:`WindowLoss`; without the penalty."""
        return self.inner.terms(windows, smoothing)

    def forward(self, windows: Sequence[EncodedWindow], smoothing: float = 0.0) -> Tensor:
        """See :class:`WindowLoss`; in training with the penalty, as so many terms as there are."""
        loss = super().forward(windows, smoothing)
        if not self.training:
            return loss
        now = _generated(self.model, self._old)
        moved = sum((a - b).square().sum() for a, b in zip(now, self._before, strict=True))
        return loss + self.count(windows) * PENALTY * moved / self._size

    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """See :class:`WindowLoss`."""
        return self.inner.count(windows)


def train_whole(
    joined: Checkpoint,
    corpus: Corpus,
    replay: Labelled | None,
    recipe: Recipe,
    *,
    console: Console | None = None,
    listeners: Sequence[Listener] = (),
) -> Whole:
    """``joined``, a model with the task ``corpus`` that shares nothing with any other, trained.

    Args:
        replay: sentences of old tasks.

    Raises:
        ConfigError: a replayed task that the model does not have.
        DataError: replayed data that cannot be read, or with labels that a task does not have.
    """
    model, old = joined.model, [t for t in joined.model.config.tasks if t != corpus.name]
    replayed = {} if replay is None else corpora_of(replay)
    for name in replayed:
        if name not in old:
            raise ConfigError(f"replay: {unknown('old task', name, old)}")
    model.requires_grad_(False)
    for parameter in _trained(model).values():
        parameter.requires_grad_(True)
    before = {task: _own_weights(model, task) for task in old}
    score = f1_evaluator(joined.codec, replayed, sentences=recipe.validation.sentences)
    first = score(model)
    data = encode(joined.codec, {corpus.name: corpus, **replayed})
    with short_run() as folder:
        mixed = recipe.data.model_copy(update={"batches": "mixed"})
        trainer = WholeTrainer(
            model,
            joined.codec,
            recipe.model_copy(update={"data": mixed}),
            data.train,
            {corpus.name: data.validation[corpus.name]},
            folder,
            old=[] if replayed else old,
            console=console,
            listeners=listeners,
        )
        trainer.train()
    with torch.no_grad():
        for name, parameter in _trained(model).items():
            parameter.copy_(trainer.best[name])
    last = score(model)
    moved = {task: _distance(before[task], _own_weights(model, task)) for task in old}
    return Whole(joined, moved, {task: (first[task], last[task]) for task in first})


def _trained(model: AttachedModel) -> dict[str, torch.nn.Parameter]:
    fixed = {f"source.{n}" for n, t in model.source.tables().items() if not t.trained}
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if not name.startswith("backbone.") and name not in fixed
    }


def _generated(model: AttachedModel, tasks: Tensor) -> list[Tensor]:
    """All weights of ``tasks`` inside of the backbone."""
    weights: SiteWeights = model.weights(tasks)
    sites = (site for site in weights if site != HEAD)
    return [part for site in sites for part in weights[site] if part is not None]


@torch.no_grad()
def _own_weights(model: AttachedModel, task: str) -> Tensor:
    return torch.cat([part.flatten() for part in _generated(model, model.task_ids(task))])


def _distance(before: Tensor, after: Tensor) -> float:
    """How far weights have moved, as a share of their size."""
    return float((after - before).norm() / before.norm())
