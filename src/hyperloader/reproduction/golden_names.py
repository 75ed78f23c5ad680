"""The published implementations' names for the parameters of this project's models.

Each function takes parameters or gradients under the reference's names and returns them under the
names that they have here. :class:`Reference` keeps track of which of them were read.
"""

import re
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from hyperloader.backbones.places import STACKS, Site
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.sources.free import FreeGroup
from hyperloader.modeling.sources.generator import Generator
from hyperloader.modeling.sources.input_hypernetwork import InputHypernetwork
from hyperloader.modeling.sources.prefix import PrefixNetwork
from hyperloader.modeling.sources.task_hypernetwork import StackHypernetwork

Tensors = dict[str, Tensor]


class Reference(Mapping[str, Tensor]):
    """The tensors of a golden file whose names start with ``kind``, and which of them were read."""

    def __init__(self, golden: Tensors, kind: str) -> None:
        self._tensors = {n.removeprefix(kind): t for n, t in golden.items() if n.startswith(kind)}
        self._kind = kind
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        tensor = self._tensors[name]
        self.read.add(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


Translate = Callable[[AttachedModel, list[str], Reference], Tensors]

_BLOCKS = {
    "down_weight": "down_sampler_hyper_net.weight_generator.0",
    "down_bias": "down_sampler_hyper_net.bias_generator.0",
    "up_weight": "up_sampler_hyper_net.weight_generator.0",
    "up_bias": "up_sampler_hyper_net.bias_generator.0",
    "norm_weight": "post_layernorm_hypernet.weight_generator",
    "norm_bias": "post_layernorm_hypernet.bias_generator",
    "a": "lora_a_hyper_net.weight_generator.0",
    "b": "lora_b_hyper_net.weight_generator.0",
}


def task_hypernetwork(model: AttachedModel, tasks: list[str], reference: Reference) -> Tensors:
    """The source of hyperloader and hyperformer++."""
    rows = model.source.get_parameter("task_embeddings.weight")
    prefix = "task_embedding_controller.task_to_embeddings."
    ours: Tensors = {
        # A task that was not in the batch has no gradient.
        "source.task_embeddings.weight": torch.stack(
            [
                reference.get(prefix + task, torch.zeros_like(row))
                for task, row in zip(tasks, rows, strict=True)
            ]
        )
    }
    for stack in STACKS:
        theirs, mine = f"{stack}.adapter_layers_hyper_net.", f"source.{stack}."
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
        hypernetwork = model.source.get_submodule(stack)
        assert isinstance(hypernetwork, StackHypernetwork)
        for i, generator in enumerate(hypernetwork.generators):
            assert isinstance(generator, Generator)
            for part in ("weight", "bias") if generator.linear.bias is not None else ("weight",):
                ours[f"{mine}generators.{i}.linear.{part}"] = torch.cat(
                    [reference[f"{theirs}{_BLOCKS[block]}.{part}"] for block in generator.shapes]
                )
    return ours


_ADAPTERS_LIBRARY = {
    "down_weight": "adapters.u.adapter_down.0.weight",
    "down_bias": "adapters.u.adapter_down.0.bias",
    "up_weight": "adapters.u.adapter_up.weight",
    "up_bias": "adapters.u.adapter_up.bias",
    "a": "loras.u.lora_A",
    "b": "loras.u.lora_B",
}


def adapters_library(model: AttachedModel, tasks: list[str], reference: Reference) -> Tensors:
    """The sources of unipelt-t5 and unipelt-bert."""

    def name(group: FreeGroup, weight: str) -> str:
        if weight.startswith("gate"):
            kind = "loras" if group.group.module == "lora" else "adapters"
            return f"{kind}.u.gate.{weight.removeprefix('gate_')}"
        return _ADAPTERS_LIBRARY[weight]

    ours = _free_groups(model, reference, name)
    for path, source in model.source.named_modules(prefix="source"):
        if isinstance(source, PrefixNetwork):
            self_attention = "encoder.layer.{}.attention.self.prefix_tuning."
            pool = self_attention.format(0) + "pool.prefix_tunings.u.self_prefix."
            ours[f"{path}.embeddings.weight"] = reference[f"{pool}wte.weight"]
            for part in ("weight", "bias"):
                for i in (0, 2):
                    theirs = f"{pool}control_trans.{i}.{part}"
                    ours[f"{path}.network.{i}.{part}"] = reference[theirs]
                gates = torch.stack(
                    [
                        reference[f"{self_attention.format(site.layer)}prefix_gates.u.{part}"]
                        for site in source.sites
                    ]
                )
                ours[f"{path}.gate_{part}"] = gates[:, None]
    return ours


def hyperdecoder(model: AttachedModel, tasks: list[str], reference: Reference) -> Tensors:
    """The sources of hyperdecoder. Its generated matrices are (in, out): transposed to ours."""

    def name(group: FreeGroup, weight: str) -> str:
        direction, part = weight.split("_")
        return f"adapter_layer.adapter_{direction}_manual.{part}"

    ours = _free_groups(model, reference, name)
    for path, source in model.source.named_modules(prefix="source"):
        if isinstance(source, InputHypernetwork):
            theirs = "decoder.param_gen."
            ours[f"{path}.layer_embeddings.weight"] = reference[f"{theirs}layer_embed.weight"]
            for part in ("weight", "bias"):
                for i in (0, 2):
                    ours[f"{path}.summary.{i}.{part}"] = reference[f"decoder.mlp.{i}.{part}"]
                ours[f"{path}.projector.0.{part}"] = reference[f"{theirs}decoder.linear1.{part}"]
                heads = []
                for block, shape in source.generator.shapes.items():
                    direction, kind = block.split("_")
                    rows = reference[f"{theirs}decoder.{kind}_{direction}.{part}"]
                    if kind == "weight":
                        rows = rows.unflatten(0, shape[::-1]).transpose(0, 1).flatten(0, 1)
                    heads.append(rows)
                ours[f"{path}.generator.linear.{part}"] = torch.cat(heads)
    return ours


def backbone(model: AttachedModel, names: list[str], reference: Reference) -> Tensors:
    """The backbone's own parameters ``names`` (with "backbone." before), which are named alike."""
    return {name: reference[name.removeprefix("backbone.")] for name in names}


def _free_groups(
    model: AttachedModel, reference: Reference, name: Callable[[FreeGroup, str], str]
) -> Tensors:
    """The free parameters, each stacked from those that stand beside the hooked modules."""
    at = _sublayers(model)
    return {
        f"{path}.weights.{weight}": torch.stack(
            [reference[f"{at[site]}.{name(group, weight)}"] for site in group.sites]
        )[:, None]
        for path, group in model.source.named_modules(prefix="source")
        if isinstance(group, FreeGroup)
        for weight in group.weights
    }


def _sublayers(model: AttachedModel) -> dict[Site, str]:
    """The module that holds what is attached at a site, by its name."""
    names = {module: name for name, module in model.backbone.named_modules()}
    ends = re.compile(r"\.(SelfAttention\.o|DenseReluDense\.wo|LayerNorm)$")
    sites = model.family.find_sites(model.backbone, model.method.places)
    return {site: ends.sub("", names[module]) for site, module in sites.items()}
