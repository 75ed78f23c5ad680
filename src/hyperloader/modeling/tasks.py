"""What a model has of each task by itself, and the same model with other tasks.

A model is a backbone, what all tasks share of the source of its weights, and a little of every
task: rows of tables (its embedding, its head) and, where it was added later, a residual. Tasks come
and go by new tables; what is shared is neither copied nor touched.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hyperloader.backbones.loading import weights_hash
from hyperloader.errors import ConfigError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.residual import residuals_of
from hyperloader.modeling.sources.source import Table

M = TypeVar("M", bound=AttachedModel)


@dataclass(frozen=True, slots=True)
class TaskWeights:
    """What is a task's own.

    Attributes:
        rows: of every table, by its name in the source.
        residual: the parameters of its residual by name; empty if it has none.
        rank: of the residual; None: the task was trained together with others.
    """

    rows: dict[str, Tensor]
    residual: dict[str, Tensor] = field(default_factory=dict)
    rank: int | None = None


def check_growing(model: AttachedModel) -> None:
    """Raise ConfigError unless tasks can be added to ``model``."""
    method, reason = model.method, ""
    if method.single_task:
        reason = "it is for one task"
    elif model.reads_input or method.task_prefix != "never":
        reason = "all that it has is shared by its tasks"
    elif not any(part.source in ("task_hypernetwork", "free_per_task") for part in method.parts):
        reason = "it has nothing of each task"
    if reason:
        raise ConfigError(
            f"tasks cannot be added to, taken from or renamed in a model by {method.name!r}: "
            f"{reason}; train one by hyperloader, hyperformer++, hyperformer, hyperlora or "
            "adapter-dagger, or train again with --from"
        )


def task_weights(model: AttachedModel, task: str) -> TaskWeights:
    """What ``model`` has of ``task``, in float32 on the CPU; a change of it changes no model."""
    number, grown = model.config.tasks.index(task), model.config.grown
    tags = model.settings.get("tags", {}).get(task)
    rows = {}
    for name, table in model.source.tables().items():
        row = _parameter(model, name).select(table.tasks, number)
        place = table.place
        rows[name] = _own(row if place is None else row.narrow(place, 0, table.size(tags)))
    own = [name for name, rank in grown.items() if rank]
    if task not in own:
        return TaskWeights(rows, rank=grown.get(task))
    residual = model.residuals[own.index(task)]
    return TaskWeights(rows, {n: _own(p) for n, p in residual.named_parameters()}, grown[task])


@torch.no_grad()
def with_tasks(model: M, tasks: Mapping[str, TaskWeights], **settings: Any) -> M:
    """``model`` with these ``tasks`` in place of its own: another object, which shares with it the
    backbone and all that does not belong to a task.

    Args:
        settings: of the class of the model for these tasks: see ``Output.settings``.

    Raises:
        ConfigError: tasks cannot come and go in it, or what is given of one does not fit it.
    """
    check_growing(model)
    tables = model.source.tables()
    names = {f"source.{name}" for name in tables}
    shared: list[Any] = [model.backbone, model.config, model.method, model.family]
    shared += [p for n, p in model.source.named_parameters(prefix="source") if n not in names]
    memo: dict[int, Any] = {id(part): part for part in shared}
    memo[id(model._cached)] = {}
    other = copy.deepcopy(model, memo)
    grown = {name: own.rank for name, own in tasks.items() if own.rank is not None}
    other.config = model.config.for_tasks(tuple(tasks), grown)
    for name, table in tables.items():
        before = _parameter(other, name)
        rows = [_fitting(own.rows.get(name), before, table, task) for task, own in tasks.items()]
        value = torch.stack(_padded(rows, table), dim=table.tasks).to(before)
        owner, _, attribute = name.rpartition(".")
        made = nn.Parameter(value, requires_grad=before.requires_grad)
        setattr(other.source.get_submodule(owner), attribute, made)
    other.residuals = residuals_of(other.config, other.source).to(before)
    with_residual = ((task, own) for task, own in tasks.items() if own.rank)
    for (task, own), residual in zip(with_residual, other.residuals, strict=True):
        for name, parameter in residual.named_parameters():
            if name in own.residual and own.residual[name].shape != parameter.shape:
                raise _other_shape(task, name)
            parameter.copy_(own.residual.get(name, parameter))
    other.settle(**settings)
    return other.train(model.training)


def shared_hash(model: AttachedModel) -> str:
    """SHA-256 of all that the tasks of ``model`` share: what a task can be added to."""
    digest = hashlib.sha256(weights_hash(model.backbone).encode())
    config = model.config.model_dump(mode="json", exclude={"tasks", "grown", "head_dropout"})
    digest.update(repr((model.output, sorted(config.items()))).encode())
    digest.update(weights_hash(model.source, exclude=set(model.source.tables())).encode())
    return digest.hexdigest()


def _parameter(model: AttachedModel, name: str) -> nn.Parameter:
    return model.source.get_parameter(name)


def _own(value: Tensor) -> Tensor:
    return value.detach().to("cpu", torch.float32, copy=True).contiguous()


def _fitting(row: Tensor | None, before: Tensor, table: Table, task: str) -> Tensor:
    """``row``, after making sure that it can be one of a table like ``before``."""
    wanted = list(before.shape)
    del wanted[table.tasks]
    if row is not None and table.place is not None and row.dim() == len(wanted):
        wanted[table.place] = row.shape[table.place]
    if row is None or list(row.shape) != wanted:
        raise _other_shape(task, "a row of a table")
    return row


def _other_shape(task: str, what: str) -> ConfigError:
    return ConfigError(
        f"task {task!r} is not of this model ({what} has another shape); use the model that it "
        "was made with"
    )


def _padded(rows: list[Tensor], table: Table) -> list[Tensor]:
    """``rows`` with zeros for the tags (labels) that only other tasks have."""
    if (place := table.place) is None:
        return rows
    most = max(row.shape[place] for row in rows)
    behind = rows[0].dim() - 1 - place
    return [nn.functional.pad(row, [*[0, 0] * behind, 0, most - row.shape[place]]) for row in rows]
