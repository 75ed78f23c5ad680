"""A task by itself: taken out of a checkpoint, put into one, kept as a folder of its own.

The folder holds the little that is the task's own (``task.safetensors``), its labels and what model
it belongs to (``task.json``), and a manifest.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hyperloader.calibration import Calibration, TaskCalibration
from hyperloader.checkpoint import Checkpoint, usable
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError, unknown
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.pretrained import check_numbers, read_tensors, write_tensors
from hyperloader.modeling.tasks import TaskWeights, shared_hash, task_weights, with_tasks
from hyperloader.outputs.registry import output_of
from hyperloader.store import Kind, atomic_folder, check_folder, read_json

ABOUT, WEIGHTS = "task.json", "task.safetensors"
FORMAT = 1
_ROWS, _RESIDUAL = "rows.", "residual."


@dataclass(frozen=True, slots=True)
class TaskPart:
    """A task of a model: its name, its labels, the sentence marks that its spans keep
    (``CodecConfig.marks``), what it has of its own, and its temperature."""

    name: str
    labels: tuple[str, ...]
    weights: TaskWeights = field(repr=False)
    marks: tuple[str, ...] | None = None
    calibration: TaskCalibration | None = None


class TaskAbout(BaseModel):
    """What ``task.json`` says; ``model`` is the :func:`shared_hash` of the model it belongs to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    name: str = Field(min_length=1)
    labels: tuple[str, ...]
    marks: tuple[str, ...] | None
    rank: int | None = Field(ge=0)
    model: str
    method: str
    calibration: TaskCalibration | None


def parts_of(checkpoint: Checkpoint) -> list[TaskPart]:
    """Every task of ``checkpoint``."""
    return [part_of(checkpoint, task) for task in checkpoint.model.config.tasks]


def part_of(checkpoint: Checkpoint, task: str) -> TaskPart:
    """One task of ``checkpoint``. Raises HyperloaderError for an unknown one."""
    if task not in checkpoint.model.config.tasks:
        raise HyperloaderError(unknown("task", task, checkpoint.model.config.tasks))
    found = checkpoint.calibration
    return TaskPart(
        task,
        checkpoint.codec.labels[task],
        task_weights(checkpoint.model, task),
        (checkpoint.codec.config.marks or {}).get(task),
        found.tasks.get(task) if found else None,
    )


def with_parts(checkpoint: Checkpoint, parts: Iterable[TaskPart]) -> Checkpoint:
    """``checkpoint`` with these tasks in place of its own; they share all else with it.

    Raises:
        ConfigError: two have one name, labels of one collide, one does not fit, or none is left.
    """
    parts = list(parts)
    names = [part.name for part in parts]
    if not names:
        raise ConfigError("a tagger needs a task: the only one cannot be removed")
    for name in names:
        check_name(name)
        if names.count(name) > 1:
            raise ConfigError(
                f"there is a task {name!r} already; give the new one another name, or replace it"
            )
    model, codec, output = checkpoint.model, checkpoint.codec, output_of(checkpoint.model)
    marks: Any = {part.name: part.marks for part in parts if part.marks is not None}
    config = codec.config.model_copy(update={"marks": marks or None})
    fresh = output.codec(codec.tokenizer, {part.name: part.labels for part in parts}, config)
    own = {part.name: part.weights for part in parts}
    made = with_tasks(model, own, **output.settings(fresh))
    output.check(made, fresh)
    return Checkpoint(made, fresh, _calibration(checkpoint.calibration, parts))


def check_name(name: str) -> None:
    """Raise ConfigError for a name that no task can have."""
    if not name.strip() or not name.isprintable():
        raise ConfigError(
            f"{name!r} cannot be the name of a task; give it letters that can be seen"
        )


def write_part(folder: Path, part: TaskPart, model: AttachedModel) -> None:
    """Write ``part`` of ``model`` into an existing ``folder``."""
    about = TaskAbout(
        format=FORMAT,
        name=part.name,
        labels=part.labels,
        marks=part.marks,
        rank=part.weights.rank,
        model=shared_hash(model),
        method=model.config.method,
        calibration=part.calibration,
    )
    (folder / ABOUT).write_text(json.dumps(about.model_dump(mode="json"), indent=1))
    rows = {_ROWS + name: value for name, value in part.weights.rows.items()}
    residual = {_RESIDUAL + name: value for name, value in part.weights.residual.items()}
    write_tensors(folder / WEIGHTS, {**rows, **residual})


def save_part(folder: Path, part: TaskPart, model: AttachedModel, *, overwrite: bool) -> None:
    """Save ``part`` of ``model`` as ``folder``, atomically.

    Raises:
        TargetError: ``folder`` holds something else, or (without ``overwrite``) a task.
    """
    with atomic_folder(folder, Kind.TASK, overwrite=overwrite) as temporary:
        write_part(temporary, part, model)


def load_part(folder: Path, model: AttachedModel) -> TaskPart:
    """The task in ``folder``, which is to be added to ``model``.

    A task that was trained together with others counts as added from then on.

    Raises:
        CheckpointError: nothing there, damaged, another kind of folder, or of another model.
    """
    if (kind := check_folder(folder).kind) != Kind.TASK:
        raise CheckpointError(
            f"{folder} holds a {kind} and no task; give a folder written by save_task or add-task"
        )
    with usable(folder):
        document = read_json(folder / ABOUT)
        if document.get("format") != FORMAT:
            raise CheckpointError(
                f"{folder} has format {document.get('format')} of tasks, this version reads "
                f"{FORMAT}; install the version that wrote it"
            )
        about = TaskAbout(**document)
    if about.model != shared_hash(model):
        raise CheckpointError(
            f"{folder} is a task of another model ({about.method}; the hash of what its tasks "
            "share differs); add it to the one that it was made with, or add the task by its data: "
            "hyperloader add-task"
        )
    tensors = read_tensors(folder / WEIGHTS)
    check_numbers(tensors, str(folder / WEIGHTS))
    weights = TaskWeights(_below(tensors, _ROWS), _below(tensors, _RESIDUAL), about.rank or 0)
    return TaskPart(about.name, about.labels, weights, about.marks, about.calibration)


def added(checkpoint: Checkpoint, part: TaskPart) -> Checkpoint:
    """``checkpoint`` with one task more. Raises ConfigError as :func:`with_parts`."""
    return with_parts(checkpoint, [*parts_of(checkpoint), part])


def replaced(checkpoint: Checkpoint, part: TaskPart) -> Checkpoint:
    """``checkpoint`` with ``part`` in the place of the task of that name."""
    parts = parts_of(checkpoint)
    return with_parts(checkpoint, [part if p.name == part.name else p for p in parts])


def removed(checkpoint: Checkpoint, task: str) -> Checkpoint:
    """``checkpoint`` without ``task``. Raises HyperloaderError for an unknown or the only one."""
    gone = part_of(checkpoint, task)
    return with_parts(checkpoint, [p for p in parts_of(checkpoint) if p.name != gone.name])


def renamed(checkpoint: Checkpoint, task: str, name: str) -> Checkpoint:
    """``checkpoint`` with ``task`` under another name, in its old place."""
    part_of(checkpoint, task)
    parts = parts_of(checkpoint)
    return with_parts(checkpoint, [replace(p, name=name) if p.name == task else p for p in parts])


def _calibration(before: Calibration | None, parts: Iterable[TaskPart]) -> Calibration | None:
    """The temperatures of ``parts``, and what was said of those ``before``."""
    tasks = {part.name: part.calibration for part in parts if part.calibration is not None}
    if not tasks:
        return None
    if before is not None:
        return before.model_copy(update={"tasks": tasks})
    return Calibration.of(tasks, "validation sentences of each task")


def _below(tensors: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
