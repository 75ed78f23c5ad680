"""From a model with a tagging head to a graph in ONNX that needs neither torch nor its backbone.

Weights from a source are constants of the graph. Of one task LoRA is part of the projections that
it changes; of several, the ``task`` input picks the weights among those of all tasks.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim

from hyperloader.errors import ConfigError, first_line
from hyperloader.modeling import active
from hyperloader.modeling.attached import HEAD
from hyperloader.modeling.merging import merge
from hyperloader.modeling.quantised import by_token, is_quantised
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.onnx.model import (
    INPUTS,
    MAKES,
    TASK,
    check_installed,
    inputs_of,
    open_graph,
)
from hyperloader.word_shapes import SHAPES

# How far logits of the graph may be from those of the model; sums are taken in another order.
NEAR = 1e-3


class Graph(nn.Module):
    """A copy of ``model`` for some of its tasks, with their weights as constants."""

    numbers: Tensor

    def __init__(self, model: TokenTagger, tasks: Sequence[str]) -> None:
        super().__init__()
        self.model = copy.deepcopy(model)
        ids = torch.tensor([model.config.tasks.index(task) for task in tasks])
        self.register_buffer("numbers", ids)
        self.weights = self.model.weights(ids)
        del self.model.source  # all that it makes is there
        if len(tasks) == 1:
            merge(self.model.backbone, model.family, self.weights)
            most = model.tags[tasks[0]]
        else:
            most = max(model.tags[task] for task in tasks)
        head = self.weights[HEAD]
        self.weights[HEAD] = type(head)(*(part[:, :most] for part in head))
        # The stand-in of a BERT looks at a mask of tokens to see whether there is padding.
        places = torch.zeros(1, 1, dtype=torch.long)
        self.adds_mask = model.family.told_places(self.model.backbone, places) is not None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        first: Tensor,
        last: Tensor | None = None,
        shapes: Tensor | None = None,
        task: Tensor | None = None,
    ) -> Tensor:
        """Logits (batch, words, T) of ``input_ids`` (batch, length), an ``attention_mask``
        (batch, length), ``first``, ``last`` and ``shapes`` (batch, words), for number ``task``
        (1,) of the tasks."""
        mask = attention_mask
        if self.adds_mask:
            hidden = (attention_mask == 0)[:, None, None]
            mask = hidden * torch.finfo(torch.float32).min
        weights, number = self.weights, self.numbers
        if task is not None:
            weights, number = active.of_rows(weights, task), self.numbers[task]
        with active.activate(weights):
            return self.model.score(
                input_ids, mask, task_ids=number, first=first, last=last, shapes=shapes
            )


def write_graph(model: TokenTagger, tasks: Sequence[str], path: Path, precision: str) -> None:
    """Write the graph of ``model`` for ``tasks`` as the file ``path``.

    Args:
        precision: float32, or int8: the backbone's linear layers multiply in int8; generated
            weights, embeddings, norms and the head stay as they are.

    Raises:
        NotInstalledError: a package of the extra ``onnx`` is lacking.
        ConfigError: the model cannot be exported, or the graph would answer otherwise.
    """
    check_installed(MAKES)
    with TemporaryDirectory() as temporary, _quiet(), torch.no_grad():
        model = _plain(model)
        graph = Graph(model, tasks)
        if precision == "int8":
            for layer in _linear(graph.model.backbone):
                product = partial(F.linear, weight=layer.weight)
                layer.forward = partial(by_token, product, layer.bias)  # type: ignore[method-assign]
        whole = Path(temporary) / "model.onnx" if precision == "int8" else path
        backbone = type(model.backbone).__name__
        try:
            _traced(graph).save(whole)
        except Exception as error:  # exporters raise whatever they meet
            reason = first_line(error)
            raise ConfigError(
                f"a {backbone} with {model.config.method!r} cannot be exported: {reason}; "
                "save the tagger as a checkpoint"
            ) from error
        if (far := _difference(model, tasks, whole)) > NEAR:
            raise ConfigError(
                f"in ONNX a {backbone} with {model.config.method!r} answers otherwise (logits "
                f"differ by {far:.2g}); save the tagger as a checkpoint"
            )
        if precision == "int8":
            _quantise(graph.model.backbone, whole, path)


def _plain(model: TokenTagger) -> TokenTagger:
    """A copy of ``model`` in float32 on the CPU. Raises ConfigError where it cannot be a graph."""
    if model.reads_input:
        raise ConfigError(
            f"the weights of {model.config.method!r} depend on the text, so they cannot be "
            "constants of a graph; save the tagger as a checkpoint"
        )
    if is_quantised(model):
        raise ConfigError("the tagger computes in int8 already; load it in float32 to export it")
    return copy.deepcopy(model).to("cpu", torch.float32).eval().requires_grad_(False)


def _traced(graph: Graph) -> Any:
    most = graph.model.family.max_tokens(graph.model.backbone)
    batch, length, words = Dim("batch"), Dim("length", max=most), Dim("words")
    takes = inputs_of(graph.model.config, len(graph.numbers))
    tokens: Any = ({0: batch, 1: length}, {0: batch, 1: length})
    named = zip(INPUTS, (*tokens, *[{0: batch, 1: words}] * 3, {}), strict=True)
    shapes = {name: axes for name, axes in named if name in takes}
    example = {**_example(2, 7, 3), TASK: torch.tensor([0])}
    given = {name: example[name] for name in takes}
    program = torch.export.export(graph, (), given, dynamic_shapes=shapes, strict=False)
    return torch.onnx.export(
        program,
        dynamo=True,
        input_names=takes,
        output_names=["logits"],
        dynamic_shapes=shapes,  # for the names of the axes
        verbose=False,
    )


def _example(batch: int, length: int, words: int) -> dict[str, Tensor]:
    """Sentences of any tokens, the last of them shorter: all inputs but the task."""
    ids = torch.arange(batch * length).reshape(batch, length)
    mask = torch.ones_like(ids)
    mask[-1, length - 1 :] = 0
    first = torch.arange(words).expand(batch, words) % (length - 2)
    return dict(zip(INPUTS, (ids, mask, first, first + 1, first % len(SHAPES)), strict=False))


def _difference(model: TokenTagger, tasks: Sequence[str], path: Path) -> float:
    """The largest difference between the logits of ``model`` and those of the file ``path``."""
    session, worst, task = open_graph(path), 0.0, tasks[-1]
    for batch, length, words in ((1, 4, 2), (3, 11, 5)):
        example = _example(batch, length, words)
        expected = model(**example, task_ids=model.task_ids(task)).logits
        example[TASK] = torch.tensor([len(tasks) - 1])
        inputs = {name: example[name].numpy() for name in inputs_of(model.config, len(tasks))}
        found = torch.from_numpy(session.run(None, inputs)[0])
        used = model.tags[task]
        if found.shape[:2] != expected.shape[:2] or found[..., used:].isfinite().any():
            return float("inf")
        apart = (found[..., :used] - expected[..., :used]).abs().max().nan_to_num(float("inf"))
        worst = max(worst, float(apart))
    return worst


def _quantise(backbone: nn.Module, whole: Path, path: Path) -> None:
    """Write the graph ``whole`` with the linear layers of ``backbone`` in int8 as ``path``."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # A graph has no names of layers, so they are found by their weights.
    linear = {
        _digest(matrix.numpy())
        for layer in _linear(backbone)
        for matrix in (layer.weight, layer.weight.t())
    }
    graph = onnx.load(whole).graph
    layers = {
        weight.name
        for weight in graph.initializer
        if _digest(onnx.numpy_helper.to_array(weight)) in linear
    }
    quantize_dynamic(
        whole,
        path,
        per_channel=True,
        # Seven bits for weights: with eight, processors without VNNI would overflow.
        reduce_range=True,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["MatMul", "Gemm"],
        nodes_to_quantize=[node.name for node in graph.node if not layers.isdisjoint(node.input)],
    )


def _linear(backbone: nn.Module) -> list[nn.Linear]:
    return [layer for layer in backbone.modules() if isinstance(layer, nn.Linear)]


def _digest(matrix: Any) -> bytes:
    return sha256(matrix.tobytes()).digest()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the notes of the exporters, which are for their own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
