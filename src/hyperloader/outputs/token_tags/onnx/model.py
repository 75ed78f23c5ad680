"""A tagging head on an encoder, run by onnxruntime: what the decoder asks of a model, no more."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from hyperloader import errors
from hyperloader.errors import CheckpointError, first_line
from hyperloader.modeling.attached import Tasks, task_numbers
from hyperloader.modeling.config import ModelConfig

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LAST, SHAPES, TASK = "last", "shapes", "task"
INPUTS = ("input_ids", "attention_mask", "first", LAST, SHAPES, TASK)
RUNS, MAKES = ("onnxruntime",), ("onnxruntime", "onnx", "onnxscript")


class OnnxAbout(BaseModel):
    """What is known of a graph besides what it computes.

    Attributes:
        config: the model's, with the tasks of the graph, in its order.
        tags: how many tags each task has.
        by_token: see :attr:`~hyperloader.modeling.attached.AttachedModel.by_token`.
        backbone: what it was made of.
        precision: ``float32`` or ``int8``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: ModelConfig
    tags: dict[str, int]
    by_token: bool
    backbone: str
    precision: str


class OnnxTagger(nn.Module):
    """Stands in for a :class:`~hyperloader.outputs.token_tags.model.TokenTagger` where tags are
    decoded. Threads may share it; it is on the CPU, has no parameters and cannot be trained.

    Raises:
        ValueError: ``session`` runs another graph than the one that is spoken of.
    """

    output = "token_tags"
    device = torch.device("cpu")

    def __init__(self, session: "InferenceSession", about: OnnxAbout) -> None:
        super().__init__()
        self.about, self.config, self.tags = about, about.config, about.tags
        self.by_token = about.by_token
        self.backbone_name = f"{about.backbone} in ONNX ({about.precision})"
        self._session = session
        takes = tuple(sorted(part.name for part in session.get_inputs()))
        most = max(about.tags.values())
        if takes != tuple(sorted(self._inputs)) or session.get_outputs()[0].shape[-1] != most:
            raise ValueError(f"the graph is not one of {len(self.config.tasks)} tasks, {most} tags")

    @property
    def _inputs(self) -> tuple[str, ...]:
        return inputs_of(self.config, len(self.config.tasks))

    def task_ids(self, tasks: Tasks) -> Tensor:
        """See :meth:`AttachedModel.task_ids`."""
        if isinstance(tasks, Tensor):
            return tasks.reshape(-1)
        return task_numbers(tasks, self.config.tasks)

    def in_runs(self, task_ids: Tensor) -> AbstractContextManager[None]:
        """Nothing has to be put in force: the weights of every task are in the graph."""
        return nullcontext()

    def score(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        *,
        task_ids: Tensor,
        first: Tensor,
        last: Tensor | None = None,
        shapes: Tensor | None = None,
    ) -> Tensor:
        """Logits (batch, words, T): see :meth:`TokenTagger.score`. Rows of different tasks are
        runs of the graph of their own."""
        given = (input_ids, attention_mask, first, last, shapes)
        inputs = {n: part for n, part in zip(INPUTS, given, strict=False) if part is not None}
        if len(task_ids) == 1:
            return self._run(inputs, task_ids)
        found: Tensor | None = None
        for task in task_ids.unique():
            rows = task_ids == task
            logits = self._run({name: part[rows] for name, part in inputs.items()}, task[None])
            if found is None:
                found = logits.new_empty(*first.shape, logits.shape[-1])
            found[rows] = logits
        assert found is not None
        return found

    def _run(self, inputs: dict[str, Tensor], task: Tensor) -> Tensor:
        given = {name: {**inputs, TASK: task}[name].numpy() for name in self._inputs}
        return torch.from_numpy(self._session.run(None, given)[0])


def inputs_of(config: ModelConfig, tasks: int) -> tuple[str, ...]:
    """What a graph of so many ``tasks`` takes."""
    needless = set()
    if config.word_state == "first":
        needless.add(LAST)
    if not config.word_shapes:
        needless.add(SHAPES)
    if tasks == 1:
        needless.add(TASK)
    return tuple(name for name in INPUTS if name not in needless)


def check_installed(packages: tuple[str, ...]) -> None:
    """Raise NotInstalledError where one of :data:`RUNS` or :data:`MAKES` is not installed."""
    errors.check_installed("taggers in ONNX", "onnx", packages)


def open_graph(path: Path) -> "InferenceSession":
    """What runs the graph in the file ``path``, with as many threads as torch has.

    Raises:
        NotInstalledError: there is no onnxruntime.
        CheckpointError: the file holds no graph that it can run.
    """
    check_installed(RUNS)
    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # it has a class of its own for every reason, and no common one
        reason = first_line(error)
        raise CheckpointError(
            f"onnxruntime cannot run {path}: {reason}; export it again with this version"
        ) from error
