"""Training one task while all that it shares with others stays as it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console

from hyperloader.checkpoint import Checkpoint
from hyperloader.config import Recipe
from hyperloader.corpora.corpus import Corpus
from hyperloader.evaluation.evaluate import f1_evaluator
from hyperloader.task_part import TaskPart, part_of
from hyperloader.training.interrupt import Interrupted
from hyperloader.training.loop import Trainer
from hyperloader.training.progress import Listener
from hyperloader.training.run import RunFolder
from hyperloader.training.setup import TrainingData


class TaskTrainer(Trainer):
    """Trains the only task of a model; ``best`` is what it came to at the best validation."""

    title = "adding"
    best: TaskPart

    def _record(self, found: dict[str, Any]) -> None:
        super()._record(found)
        if self.state.best_step == self.state.step:
            (task,) = self.model.config.tasks
            self.best = part_of(Checkpoint(self.model, self.codec), task)

    def _write(self, folder: Path) -> None:
        """See ``TrainingLoop._write``: nothing, as ``best`` is in memory and no run is resumed."""


def train_task(
    view: Checkpoint,
    data: TrainingData,
    corpus: Corpus,
    recipe: Recipe,
    *,
    console: Console | None = None,
    listeners: Sequence[Listener] = (),
) -> TaskPart:
    """The task of ``view``, a model that has no other, trained on ``data``.

    Raises:
        Interrupted: a signal came; nothing was written.
        TrainingError: a loss or a gradient that is not finite.
    """
    model = view.model.requires_grad_(False)
    for name, table in model.source.tables().items():
        model.source.get_parameter(name).requires_grad_(table.trained)
    model.residuals.requires_grad_(True)
    with short_run() as folder:
        trainer = TaskTrainer(
            model,
            view.codec,
            recipe,
            data.train,
            data.validation,
            folder,
            evaluate=f1_evaluator(
                view.codec, {corpus.name: corpus}, sentences=recipe.validation.sentences
            ),
            console=console,
            listeners=listeners,
        )
        trainer.train()
    return trainer.best


@contextmanager
def short_run() -> Iterator[RunFolder]:
    """The folder of a run that is there inside the block alone, and that nothing resumes."""
    with TemporaryDirectory(prefix="hyperloader.") as folder:
        try:
            yield RunFolder(Path(folder))
        except Interrupted as stop:
            raise Interrupted("stopped; nothing was written", stop.number) from None
