"""What a task has before it has learnt anything, in a model that has learnt others."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hyperloader.checkpoint import Checkpoint
from hyperloader.modeling.tasks import TaskWeights
from hyperloader.outputs.registry import output_of
from hyperloader.task_part import TaskPart, part_of


def begun(
    checkpoint: Checkpoint,
    task: TaskPart,
    like: TaskPart,
    fill: Mapping[str, Tensor] | None = None,
) -> TaskPart:
    """``task`` with the rows of ``like``; where they are one per tag, with those of the tags that
    both have. What is made of its labels' texts is made anew.

    Args:
        task: its name, labels, marks, and its residual or the rank of one.
        fill: rows for the other tags; default: random ones of the same spread.
    """
    output = output_of(checkpoint.model)
    tags, had = output.tag_names(task.labels), output.tag_names(like.labels)
    kept = [(i, had.index(tag)) for i, tag in enumerate(tags) if tag in had]
    rows = output.of_texts(checkpoint.model, checkpoint.codec, task.name, task.labels)
    for name, table in checkpoint.model.source.tables().items():
        if name in rows:
            continue
        row = like.weights.rows[name]
        if (place := table.place) is not None:
            made = _random(row, place, len(tags)) if fill is None else fill[name].clone()
            to, of = (torch.tensor(numbers) for numbers in zip(*kept, strict=True))
            row = made.index_copy(place, to, row.index_select(place, of))
        rows[name] = row
    return replace(task, weights=replace(task.weights, rows=rows))


def beside(checkpoint: Checkpoint, name: str, labels: Sequence[str]) -> TaskPart:
    """A task that is to be trained together with those of ``checkpoint``: the one of that name, or
    one that begins in the middle of them all. Labels that it has not had begin at random."""
    if name in checkpoint.model.config.tasks:
        like = part_of(checkpoint, name)
        if like.labels == tuple(labels):
            return like
        return begun(checkpoint, replace(like, labels=tuple(labels), calibration=None), like)
    middle = _middle(checkpoint)
    return begun(checkpoint, TaskPart(name, tuple(labels), TaskWeights({})), middle)


def _middle(checkpoint: Checkpoint) -> TaskPart:
    """The mean of all tasks, without a label: of tags it has O alone."""
    tables = checkpoint.model.source.tables()
    found: dict[str, list[Tensor]] = {name: [] for name in tables}
    for task in checkpoint.model.config.tasks:
        for name, row in part_of(checkpoint, task).weights.rows.items():
            table = tables[name]
            alike = row if table.place is None else row.narrow(table.place, 0, table.size(tags=1))
            found[name].append(alike)
    rows = {name: torch.stack(some).mean(0) for name, some in found.items()}
    return TaskPart("", (), TaskWeights(rows))


def _random(row: Tensor, place: int, tags: int) -> Tensor:
    """Rows for so many ``tags`` (dimension ``place``), with the spread of those in ``row``."""
    shape = list(row.shape)
    shape[place] = tags
    return torch.randn(shape) * row.std(correction=0)
