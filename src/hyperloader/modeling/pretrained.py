"""Saving and loading a model: a JSON configuration and safetensors, never a pickle.

A folder holds the parameters that training changed. The frozen rest of the backbone is named
together with a hash of its values, or stored too ("whole") where no name could bring it back.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperloader.backbones.loading import light_backbone, load_backbone, shape_of, weights_hash
from hyperloader.backbones.registry import family_of_type
from hyperloader.errors import CheckpointError
from hyperloader.modeling.config import ModelConfig
from hyperloader.store import Kind, atomic_folder, check_folder, read_json
from hyperloader.trust import check_settings, followed

if TYPE_CHECKING:
    from hyperloader.modeling.attached import AttachedModel

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT = 2

M = TypeVar("M", bound="AttachedModel")


def save_model(
    model: "AttachedModel", folder: Path, whole: bool | None = None, *, overwrite: bool = False
) -> None:
    """Save ``model`` as ``folder``, atomically.

    Args:
        whole: store the backbone's frozen weights too; default: only where it has no name, or
            nothing of it is frozen.
        overwrite: replace a model that ``folder`` holds.

    Raises:
        TargetError: ``folder`` holds something else, or (without ``overwrite``) a model.
    """
    with atomic_folder(folder, Kind.MODEL, overwrite=overwrite) as temporary:
        write_model(model, temporary, whole)


def write_model(
    model: "AttachedModel",
    folder: Path,
    whole: bool | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write the model's files into an existing ``folder``, parameters stored as ``dtype``."""
    trained = set(model.trainable_names())
    if whole is None:
        whole = model.backbone_name is None or all(
            f"backbone.{name}" in trained for name, _ in model.backbone.named_parameters()
        )
    tensors = {
        name: parameter.detach().to("cpu", dtype).contiguous()
        for name, parameter in model.named_parameters()
        if whole or name in trained or not name.startswith("backbone.")
    }
    settings = model.backbone.config.to_dict()
    settings.pop("_name_or_path", None)  # where it lay on this machine
    config = {
        "format": FORMAT,
        "output": model.output,
        "settings": model.settings,
        "model": model.config.model_dump(mode="json"),
        "backbone": {
            "name": model.backbone_name,
            "whole": whole,
            "frozen_sha256": None if whole else _frozen_hash(model),
            "config": settings,
        },
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1, sort_keys=True))
    write_tensors(folder / WEIGHTS, tensors)


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, inside of an :func:`~hyperloader.store.atomic_folder`."""
    save_file(tensors, path, metadata={"format": "pt"})


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises CheckpointError when it is damaged."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is no readable safetensors file ({error}); use an undamaged copy"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """What ``folder`` says of its model, in the present form; the folder is checked first.

    Raises:
        CheckpointError: missing, incomplete, damaged, or of a format that is not known.
    """
    if check_folder(folder).kind == Kind.ONNX:
        raise CheckpointError(
            f"{folder} holds a tagger in ONNX, which tags and does nothing else; give the run or "
            "the checkpoint that it was exported from"
        )
    config = read_json(folder / CONFIG)
    if config.get("format") == 1:
        config = _from_format_1(config)
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {config.get('format')}, this version reads 1 and "
            f"{FORMAT}; install the version that wrote it"
        )
    return config


def load_model(
    kind: type[M],
    folder: Path,
    backbone: Any = None,
    *,
    tagging_only: bool = False,
    config: dict[str, Any] | None = None,
) -> M:
    """Load a model saved by :func:`save_model`, in evaluation mode on the CPU.

    Args:
        kind: the class of the model, which is that of how it answers.
        backbone: use this one instead of the one that the folder names or holds.
        tagging_only: the model will neither be trained nor generate freely. Its backbone is then
            a stand-in that needs no transformers, where its family has one that computes the same.
        config: what :func:`read_config` has read of the folder already.

    Raises:
        CheckpointError: the folder is missing, incomplete or damaged, holds a model that answers
            in another way, or the backbone is not the one that the model was trained on.
    """
    config = read_config(folder) if config is None else config
    try:
        model_config = ModelConfig(**config["model"])
        about = {"name": None, "whole": False, "frozen_sha256": None, **config["backbone"]}
        check_settings(about["config"], str(folder / CONFIG))
        settings, output = config["settings"], config["output"]
    except (ValidationError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{folder / CONFIG} is not usable: {error}; use an undamaged copy"
        ) from error
    if kind.output != output:
        raise CheckpointError(
            f"{folder} holds a {model_config.method} model that answers by {output!r}, which a "
            f"{kind.__name__} does not; load it with hyperloader.checkpoint.load_checkpoint"
        )
    if backbone is None and not about["whole"]:
        about["name"] = followed(about["name"], folder)
    if not isinstance(about["name"], str | None):
        raise CheckpointError(f"{folder / CONFIG}: a backbone's name is text; it is damaged")
    tensors = read_tensors(folder / WEIGHTS)
    if backbone is None and tagging_only:
        backbone = _light(about, tensors)
    if backbone is None:
        backbone = _backbone(about)
    model = kind(backbone, model_config, about["name"], **settings)
    if config.get("renamed"):
        tensors = {_present_name(name): _present_shape(name, t) for name, t in tensors.items()}
    if not about["whole"] and _frozen_hash(model) != about["frozen_sha256"]:
        raise CheckpointError(
            f"{folder} was trained on another backbone than the present {about['name']!r} "
            "(the hash of its frozen weights differs); give the original one"
        )
    load_parameters(model, tensors, str(folder / WEIGHTS))
    return model.eval()


@torch.no_grad()
def load_parameters(model: "AttachedModel", tensors: dict[str, Tensor], where: str) -> None:
    """Copy ``tensors`` into the parameters of the same names; all trained ones must be there."""
    parameters = dict(model.named_parameters())
    needed = {*model.trainable_names(), *(n for n in parameters if not n.startswith("backbone."))}
    for problem, names in (
        ("lacks", needed - set(tensors)),
        ("has the unknown", set(tensors) - set(parameters)),
        (
            "has another shape for",
            {n for n in tensors if n in parameters and tensors[n].shape != parameters[n].shape},
        ),
    ):
        if names:
            raise CheckpointError(
                f"{where} {problem} {sorted(names)[0]} ({len(names)} such); use an undamaged copy"
            )
    check_numbers(tensors, where)
    for name, tensor in tensors.items():
        parameters[name].copy_(tensor)


def check_numbers(tensors: dict[str, Tensor], where: str) -> None:
    """Raise CheckpointError for a tensor of the file ``where`` that does not hold numbers."""
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise CheckpointError(
                f"{where} has values in {name} that are no numbers; do not use it"
            )


def _from_format_1(config: dict[str, Any]) -> dict[str, Any]:
    """Format 1 said how a model answers by the number of its tags, for one task."""
    try:
        tags, tasks = config["tags"], config["model"]["tasks"]
        output = "sentt" if tags is None else "token_tags"
        settings = {} if tags is None else {"tags": {tasks[0]: tags}}
    except (KeyError, TypeError, IndexError) as error:
        raise CheckpointError(f"a checkpoint of format 1 without {error}; it is damaged") from error
    return {
        **config,
        "format": FORMAT,
        "output": output,
        "settings": settings,
        "renamed": tags is not None,
    }


# The only method of format 1 with a head had two sources beside it.
_RENAMED = {
    "head.weight": "source.sources.2.groups.0.weights.weight",
    "head.bias": "source.sources.2.groups.0.weights.bias",
}


def _present_name(name: str) -> str:
    return _RENAMED.get(name, name)


def _present_shape(name: str, tensor: Tensor) -> Tensor:
    """A head's weights have got dimensions for sites and tasks."""
    return tensor[None, None] if name in _RENAMED else tensor


def _backbone(about: dict[str, Any]) -> Any:
    if about["whole"]:
        return shape_of(about["config"])
    # A recipe may have changed the dropout, which going on with training must see again.
    family = family_of_type(about["config"].get("model_type"))
    config = about["config"]
    return load_backbone(about["name"], {n: config[n] for n in family.dropouts if n in config})


def _light(about: dict[str, Any], tensors: dict[str, Tensor]) -> Any | None:
    """The backbone without transformers; None where that would not be sure to be the same."""
    if not about["whole"]:
        return light_backbone(about["name"], about["config"])
    parts = (name.partition("backbone.") for name in tensors)
    own = {name: tensors[prefix + name] for start, prefix, name in parts if prefix and not start}
    return family_of_type(about["config"].get("model_type")).light(about["config"], own)


def _frozen_hash(model: "AttachedModel") -> str:
    trained = {n.removeprefix("backbone.") for n in model.trainable_names()}
    return weights_hash(model.backbone, exclude=trained)
