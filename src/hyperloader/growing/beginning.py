"""Where a new task begins: at the old task that suits its sentences best, or where it was."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.modeling.evaluating import evaluating
from hyperloader.outputs.registry import output_of
from hyperloader.task_part import TaskPart, part_of, with_parts

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
    output, old = output_of(checkpoint.model), part_of(checkpoint, at).weights
    labels = {task.name: task.labels}
    codec = output.codec(checkpoint.codec.tokenizer, labels, checkpoint.codec.config)
    tags = output.settings(codec).get("tags", {}).get(task.name, 0)
    rows = {
        name: old.rows[name]
        if table.tags is None
        else _first_rows(old.rows[name], table.tags - 1, tags)
        for name, table in checkpoint.model.source.tables().items()
    }
    return with_parts(checkpoint, [replace(task, weights=replace(task.weights, rows=rows))])


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
    own = replace(task.weights, residual=old.weights.residual)
    view = view_at(checkpoint, replace(task, weights=own), task.name)
    output_of(view.model).begin(view.model, view.codec, train)
    tags = getattr(view.codec, "tags", {}).get(task.name, ())
    had = getattr(checkpoint.codec, "tags", {}).get(task.name, ())
    kept = [(tags.index(tag), had.index(tag)) for tag in tags if tag in had]
    if kept:
        to, of = (torch.tensor(numbers) for numbers in zip(*kept, strict=True))
        with torch.no_grad():
            for name, table in view.model.source.tables().items():
                if table.tags is not None:
                    rows = view.model.source.get_parameter(name).select(table.tasks, 0)
                    before = old.weights.rows[name].to(rows)
                    place = table.tags - 1
                    rows.index_copy_(place, to.to(rows.device), before.index_select(place, of))
    return Beginning(view, task.name)


def _first_rows(row: Tensor, place: int, tags: int) -> Tensor:
    """Rows of so many ``tags`` (dimension ``place``) at random, of the spread of those in ``row``."""
    shape = list(row.shape)
    shape[place] = tags
    return torch.randn(shape) * row.std()


def _some(windows: Windows, count: int) -> Windows:
    """At most ``count`` of them, evenly."""
    return windows[:: max(1, -(-len(windows) // count))]
