"""Comparing this project's models with vectors computed by the published implementations.

A golden file holds the parameters of a tiny random model under the reference's own names, and what
the reference computed from them. The parameters are copied into this project's model, and the
largest difference of every kind of result is reported.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import BertConfig, T5Config

from hyperloader.backbones.places import STACKS, Place, Site
from hyperloader.backbones.registry import family_of_type
from hyperloader.errors import CheckpointError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.modules.kind import ModuleWeights
from hyperloader.modeling.sources.task_hypernetwork import StackHypernetwork
from hyperloader.reproduction import golden_names
from hyperloader.reproduction.golden_names import Reference, Tensors, Translate

# Absolute, except gradients: relative to the largest entry of the same tensor. What BERT gives
# are hidden states; they are held to the tolerance of logits and reported as such.
TOLERANCES = {"logits": 1e-4, "loss": 1e-4, "generated": 1e-5, "gradients": 1e-3}


@dataclass(frozen=True, slots=True)
class Case:
    """How to build the model of a golden file, and how its parameters are named.

    ``settings`` maps each key of the file's configuration to the field of ModelConfig that it is.
    """

    method: str
    translate: Translate
    settings: dict[str, str]


_HYPERNETWORK = {
    key: key
    for key in (
        *("reduction_factor", "lora_rank", "lora_alpha", "task_embedding_dim"),
        *("layer_embedding_dim", "position_embedding_dim", "projector_hidden_dim"),
        *("input_embedding_dim", "activation"),
    )
}
_CASES = {
    "hyperloader": Case(
        "hyperloader",
        golden_names.task_hypernetwork,
        _HYPERNETWORK,
    ),
    "hyperformer_pp": Case(
        "hyperformer++",
        golden_names.task_hypernetwork,
        _HYPERNETWORK,
    ),
    "hyperdecoder": Case(
        "hyperdecoder",
        golden_names.hyperdecoder,
        {
            "adapter_dim": "adapter_dim",
            "hypernetwork_bottleneck": "projector_hidden_dim",
            "layer_embedding_dim": "layer_embedding_dim",
            "activation": "activation",
        },
    ),
    "unipelt_t5": Case(
        "unipelt-t5",
        golden_names.adapters_library,
        {key: key for key in ("reduction_factor", "lora_rank", "lora_alpha")},
    ),
    "unipelt_bert": Case(
        "unipelt-bert",
        golden_names.adapters_library,
        {
            "adapter_reduction_factor": "reduction_factor",
            "prefix_length": "prefix_length",
            "prefix_bottleneck": "prefix_hidden_dim",
            "lora_rank": "lora_rank",
        },
    ),
}


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
    if method not in _CASES:
        return GoldenResult(path.name, method)
    try:
        with safe_open(path, "pt") as file:
            config = json.loads(file.metadata()["config"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a golden file: {error}; take it out of the folder"
        ) from error
    try:
        return GoldenResult(path.name, method, _compare(_CASES[method], config, tensors))
    except KeyError as error:
        raise CheckpointError(
            f"{path} is an incomplete golden file: it has no {error}; take it out"
        ) from error


def _build(case: Case, config: dict[str, Any]) -> AttachedModel:
    settings = {ours: config[theirs] for theirs, ours in case.settings.items()}
    model_config = ModelConfig(
        method=case.method, tasks=tuple(config.get("tasks", ["one"])), **settings
    )
    if "hidden_size" in config:
        sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        bert = BertConfig(
            **{key: config[key] for key in (*sizes, "vocab_size")},
            max_position_embeddings=32,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        return AttachedModel(family_of_type("bert").build(bert), model_config)
    sizes = ("d_model", "d_ff", "num_layers", "num_heads")
    t5 = T5Config(
        **{key: config[key] for key in (*sizes, "d_kv", "vocab_size")},
        dropout_rate=0.0,
        decoder_start_token_id=0,
    )
    return AttachedModel(family_of_type("t5").build(t5), model_config)


def _compare(case: Case, config: dict[str, Any], golden: Tensors) -> dict[str, float]:
    """The largest difference of each kind of result that the file holds."""
    model, tasks = _build(case, config), config.get("tasks", ["one"])
    parameters = Reference(golden, "param.")
    own = [f"backbone.{name}" for name, _ in model.backbone.named_parameters()]
    state = golden_names.backbone(model, own, parameters)
    state |= case.translate(model, tasks, parameters)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[name])
    model.eval()
    worst = {kind: 0.0 for kind in TOLERANCES if kind != "generated" or "tasks" in config}
    for index, task in enumerate(tasks):
        model.zero_grad(set_to_none=True)
        output, loss, name = _run(model, index, golden)
        end = f".{task}" if "tasks" in config else ""
        worst["logits"] = max(worst["logits"], _largest(output, golden[name + end]))
        worst["loss"] = max(worst["loss"], _largest(loss, golden["loss" + end]))
        if "generated" in worst:
            worst["generated"] = max(worst["generated"], _generated(model, index, task, golden))
        if index == 0:
            loss.backward()
            worst["gradients"] = _gradients(model, case.translate, tasks, golden)
    return worst


def _run(model: AttachedModel, task: int, golden: Tensors) -> tuple[Tensor, Tensor, str]:
    """The model's output, its loss, and the name that the output has in the file."""
    ids, mask = golden["input_ids"], golden["attention_mask"]
    with model.use(torch.tensor([task])):
        if "loss_weights" in golden:  # of an encoder: the file ends at the hidden states
            states = model.backbone(ids, attention_mask=mask).last_hidden_state
            return states, (states * golden["loss_weights"]).mean(), "last_hidden_state"
        out = model.backbone(
            input_ids=ids,
            attention_mask=mask,
            decoder_input_ids=golden["decoder_input_ids"],
            labels=golden["labels"].masked_fill(golden["labels"] == 0, -100),
        )
    return out.logits, out.loss, "logits"


def _gradients(
    model: AttachedModel, translate: Translate, tasks: list[str], golden: Tensors
) -> float:
    reference = Reference(golden, "grad.")
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    own = [name for name in trained if name.startswith("backbone.")]
    expected = golden_names.backbone(model, own, reference) | translate(model, tasks, reference)
    if unmatched := set(reference) - reference.read:
        raise CheckpointError(f"gradients without a counterpart here: {', '.join(unmatched)}")
    worst = 0.0
    for name, p in trained.items():
        ours = torch.zeros_like(p) if p.grad is None else p.grad
        scale = expected[name].nan_to_num().abs().max().item()
        worst = max(worst, _largest(ours, expected[name]) / max(scale, 1e-12))
    return worst


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
def _generated(model: AttachedModel, index: int, task: str, golden: Tensors) -> float:
    embedding = model.source.get_parameter("task_embeddings.weight")[[index]]
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
        hypernetwork = model.source.get_submodule(stack)
        assert isinstance(hypernetwork, StackHypernetwork)
        made = hypernetwork(embedding, sites)
        for site, parts in wanted.items():
            for part, tensor in parts.items():
                worst = max(worst, _largest(_part(made[site], part)[0], tensor))
    return worst


def _part(weights: ModuleWeights, part: str) -> Tensor:
    return getattr(weights, part.removeprefix("post_").replace(".", "_"))


def _largest(ours: Tensor, theirs: Tensor) -> float:
    if ours.shape != theirs.shape:
        raise CheckpointError(f"shapes differ: {tuple(ours.shape)} here, {tuple(theirs.shape)}")
    difference = (ours.detach() - theirs).abs().max().item()
    return difference if difference == difference else float("inf")
