"""Comparing this project's models with vectors computed by the published implementations.

A golden file holds the parameters of a tiny random model under the reference's own names and
what the reference computed from them. They are copied into this project's model, and the
largest difference of every kind of result is reported.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

from hyperloader.errors import CheckpointError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.layers import AdapterWeights, ModuleWeights
from hyperloader.modeling.model import TaggingModel
from hyperloader.modeling.sites import STACKS, Place, Site
from hyperloader.modeling.sources.task_hypernetwork import Generator, StackHypernetwork

# Absolute, except gradients: relative to the largest entry of the same tensor.
TOLERANCES = {"logits": 1e-4, "loss": 1e-4, "generated": 1e-5, "gradients": 1e-3}

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class GoldenResult:
    """One file's outcome. ``differences`` is None where the method does not exist here yet."""

    file: str
    method: str
    differences: dict[str, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether every difference is a number within its tolerance."""
        return self.differences is not None and all(
            self.differences[kind] <= TOLERANCES[kind] for kind in self.differences
        )


def find_golden_files(paths: Iterable[Path]) -> list[Path]:
    """The ``golden_*.safetensors`` among ``paths`` (files or folders), sorted.

    Raises:
        CheckpointError: a path does not exist or none holds a golden file.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise CheckpointError(f"{path} does not exist; give golden files or their folder")
        files += sorted(path.glob("golden_*.safetensors")) if path.is_dir() else [path]
    if not files:
        raise CheckpointError("no golden_*.safetensors found; give golden files or their folder")
    return files


def verify_file(path: Path) -> GoldenResult:
    """Compute everything that ``path`` holds with this project's model and compare.

    Raises:
        CheckpointError: the file is not a readable golden file.
    """
    method = path.stem.removeprefix("golden_")
    if method not in _BUILDERS:
        return GoldenResult(path.name, method)
    try:
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is not a golden file: {error}") from error
    try:
        model = _BUILDERS[method](config, tensors)
        return GoldenResult(path.name, method, _compare(model, config["tasks"], tensors))
    except KeyError as error:
        raise CheckpointError(f"{path} is not a whole golden file: it has no {error}") from error


def _build_task_hypernetwork(method: str) -> Callable[[dict, Tensors], TaggingModel]:
    def build(config: dict, tensors: Tensors) -> TaggingModel:
        backbone = T5ForConditionalGeneration(
            T5Config(
                **{key: config[key] for key in _BACKBONE_KEYS},
                dropout_rate=0.0,
                decoder_start_token_id=0,
            )
        )
        settings = {key: config[key] for key in _MODEL_KEYS}
        model = TaggingModel(
            backbone, ModelConfig(method=method, tasks=tuple(config["tasks"]), **settings)
        )
        parameters = {
            name.removeprefix("param."): tensor
            for name, tensor in tensors.items()
            if name.startswith("param.")
        }
        for name, _ in backbone.named_parameters():
            if name not in parameters:
                raise KeyError(name)
        state = _to_ours(model, config["tasks"], parameters)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(state[name])
        return model.eval()

    return build


_BACKBONE_KEYS = ("d_model", "d_ff", "num_layers", "num_heads", "d_kv", "vocab_size")
_MODEL_KEYS = (
    *("reduction_factor", "lora_rank", "lora_alpha", "task_embedding_dim"),
    *("layer_embedding_dim", "position_embedding_dim", "projector_hidden_dim"),
    *("input_embedding_dim", "activation"),
)
_BUILDERS = {
    "hyperloader": _build_task_hypernetwork("hyperloader"),
    "hyperformer_pp": _build_task_hypernetwork("hyperformer++"),
}

_REFERENCE_BLOCKS = {
    "down_weight": "down_sampler_hyper_net.weight_generator.0",
    "down_bias": "down_sampler_hyper_net.bias_generator.0",
    "up_weight": "up_sampler_hyper_net.weight_generator.0",
    "up_bias": "up_sampler_hyper_net.bias_generator.0",
    "norm_weight": "post_layernorm_hypernet.weight_generator",
    "norm_bias": "post_layernorm_hypernet.bias_generator",
    "a": "lora_a_hyper_net.weight_generator.0",
    "b": "lora_b_hyper_net.weight_generator.0",
}


def _to_ours(model: TaggingModel, tasks: list[str], reference: Tensors) -> Tensors:
    """Tensors under the reference's names (parameters or gradients) under this model's names."""
    zeros = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    ours: Tensors = {}
    for name, like in zeros.items():
        if name.startswith("backbone."):
            key = name.removeprefix("backbone.")
            ours[name] = reference.get(key, like)
    prefix = "task_embedding_controller.task_to_embeddings."
    rows = zeros["source.task_embeddings.weight"]
    ours["source.task_embeddings.weight"] = torch.stack(
        [reference.get(prefix + task, row) for task, row in zip(tasks, rows, strict=True)]
    )
    for stack in STACKS:
        theirs = f"{stack}.adapter_layers_hyper_net."
        mine = f"source.{stack}."
        names = {
            "layer_embeddings.weight": "layer_id_embeddings.weight",
            "position_embeddings.weight": "adapters_block_type.weight",
        }
        for part in ("weight", "bias"):
            names[f"norm.{part}"] = f"LayerNorm.{part}"
            for i in (0, 2):
                names[f"projector.{i}.{part}"] = f"task_hypernet.task_embeding_generator.{i}.{part}"
        for my_name, their_name in names.items():
            ours[mine + my_name] = reference[theirs + their_name]
        for i, generator in enumerate(_hypernetwork(model, stack).generators):
            assert isinstance(generator, Generator)
            for part in ("weight", "bias") if generator.linear.bias is not None else ("weight",):
                ours[f"{mine}generators.{i}.linear.{part}"] = torch.cat(
                    [reference[f"{theirs}{_REFERENCE_BLOCKS[b]}.{part}"] for b in generator.shapes]
                )
    return ours


def _hypernetwork(model: TaggingModel, stack: str) -> StackHypernetwork:
    module = model.source.get_submodule(stack)
    assert isinstance(module, StackHypernetwork)
    return module


def _compare(model: TaggingModel, tasks: list[str], golden: Tensors) -> dict[str, float]:
    worst = dict.fromkeys(TOLERANCES, 0.0)
    for index, task in enumerate(tasks):
        model.zero_grad(set_to_none=True)
        out = model(
            golden["input_ids"],
            golden["attention_mask"],
            task_ids=torch.tensor([index]),
            decoder_input_ids=golden["decoder_input_ids"],
            labels=golden["labels"].masked_fill(golden["labels"] == 0, -100),
        )
        worst["logits"] = max(worst["logits"], _largest(out.logits, golden[f"logits.{task}"]))
        worst["loss"] = max(worst["loss"], _largest(out.loss, golden[f"loss.{task}"]))
        worst["generated"] = max(worst["generated"], _generated(model, index, task, golden))
        if index == 0:
            out.loss.backward()
            worst["gradients"] = _gradients(model, tasks, golden)
    return worst


def _gradients(model: TaggingModel, tasks: list[str], golden: Tensors) -> float:
    reference = {k.removeprefix("grad."): v for k, v in golden.items() if k.startswith("grad.")}
    expected = _to_ours(model, tasks, reference)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    if unmatched := set(reference) - _covered(model, tasks, reference):
        raise CheckpointError(f"gradients without a counterpart here: {', '.join(unmatched)}")
    worst = 0.0
    for name, p in trained.items():
        ours = torch.zeros_like(p) if p.grad is None else p.grad
        scale = expected[name].nan_to_num().abs().max().item()
        worst = max(worst, _largest(ours, expected[name]) / max(scale, 1e-12))
    return worst


def _covered(model: TaggingModel, tasks: list[str], reference: Tensors) -> set[str]:
    """The reference's gradients that a parameter trained here answers to."""
    trained = {n.removeprefix("backbone.") for n in model.trainable_names()}
    return {
        name
        for name in reference
        if name in trained or "adapter_layers_hyper_net" in name or name.rsplit(".", 1)[-1] in tasks
    }


_GENERATED = re.compile(
    r"generated\.(?P<task>.+)\.(?P<stack>\w+)\.(?P<layer>\d+)\.(?P<place>\w+)\.(?P<part>\w+(\.\w+)?)"
)
_REFERENCE_PLACES = {
    **{place.value: place for place in Place},
    "lora_query": Place.SELF_QUERY,
    "lora_value": Place.SELF_VALUE,
    "lora_cross_query": Place.CROSS_QUERY,
    "lora_cross_value": Place.CROSS_VALUE,
}


@torch.no_grad()
def _generated(model: TaggingModel, index: int, task: str, golden: Tensors) -> float:
    embedding = model.source.task_embeddings(torch.tensor([index]))
    worst = 0.0
    for stack in STACKS:
        wanted: dict[Site, Tensors] = {}
        for name, tensor in golden.items():
            match = _GENERATED.fullmatch(name)
            if match and (match["task"], match["stack"]) == (task, stack):
                site = Site(stack, int(match["layer"]), _REFERENCE_PLACES[match["place"]])
                wanted.setdefault(site, {})[match["part"]] = tensor
        if not wanted:
            raise KeyError(f"generated.{task}.{stack}")
        order = list(model.method.places)
        sites = sorted(wanted, key=lambda site: order.index(site.place))
        made = _hypernetwork(model, stack)(embedding, sites)
        for site, parts in wanted.items():
            for part, tensor in parts.items():
                worst = max(worst, _largest(_part(made[site], part)[0], tensor))
    return worst


def _part(weights: ModuleWeights, part: str) -> Tensor:
    if isinstance(weights, AdapterWeights):
        name = part.removeprefix("post_").replace(".", "_")
    else:
        name = part
    return getattr(weights, name)


def _largest(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise CheckpointError(f"shapes differ: {tuple(ours.shape)} here, {tuple(theirs.shape)}")
    difference = (ours.detach() - theirs).abs().max().item()
    return difference if difference == difference else float("inf")
