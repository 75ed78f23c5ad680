"""Where a new task begins: at the old task that suits its sentences best, or where it was."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.registry import output_of
from hyperloader.task_part import TaskPart, part_of, with_parts
from hyperloader.task_start import begun

Windows = Sequence[EncodedWindow]

# Sentences that old tasks are compared on, of all comparisons together, and of each at least.
COMPARED, FEWEST = 1000, 20


class Beginning(NamedTuple):
    """A model with the new task alone, which shares the rest with the old one, and the old task
    that it begins ``at``."""

    view: Checkpoint
    at: str


def view_at(checkpoint: Checkpoint, task: TaskPart, at: str) -> Checkpoint:
    """A model with ``task`` alone, whose embedding is that of the old task ``at``.

    Args:
        task: its name, labels, marks and the rank of its residual.
    """
    return with_parts(checkpoint, [begun(checkpoint, task, part_of(checkpoint, at))])


def nearest(
    checkpoint: Checkpoint,
    task: TaskPart,
    train: Windows,
    held_out: Windows,
    training: TrainingSection,
) -> Beginning:
    """The best of the beginnings at each task of ``checkpoint``: by the loss of ``held_out``
    sentences (of ``train`` where there are none) with a first head that ``train`` gave."""
    old, output = checkpoint.model.config.tasks, output_of(checkpoint.model)
    count = max(FEWEST, COMPARED // len(old))
    few, judged = _some(train, count), _some(held_out or train, count)

    def loss(view: Checkpoint) -> float:
        output.begin(view.model, view.codec, few)
        with evaluating(view.model):
            objective = output.loss(view.model, view.codec, training)
            return float(objective.mean_of_each(judged).mean())

    found = {at: loss(view_at(checkpoint, task, at)) for at in old}
    best = min(found, key=found.__getitem__)
    view = view_at(checkpoint, task, best)
    output.begin(view.model, view.codec, train)
    return Beginning(view, best)


def again(checkpoint: Checkpoint, task: TaskPart, train: Windows) -> Beginning:
    """The task of that name as it is, with the labels of ``task``: those that it has keep what
    they have."""
    old = part_of(checkpoint, task.name)
    task = replace(task, weights=replace(task.weights, residual=old.weights.residual))
    view = view_at(checkpoint, task, task.name)
    output_of(view.model).begin(view.model, view.codec, train)
    fitted = part_of(view, task.name).weights.rows
    return Beginning(with_parts(checkpoint, [begun(checkpoint, task, old, fitted)]), task.name)


def _some(windows: Windows, count: int) -> Windows:
    """At most ``count`` of them, evenly."""
    return windows[:: max(1, -(-len(windows) // count))]
