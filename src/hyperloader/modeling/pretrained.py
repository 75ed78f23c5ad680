"""Saving and loading a model: a JSON configuration and safetensors, never a pickle.

A folder holds the parameters that training changed. The frozen rest of the backbone is named
together with a hash of its values, or stored too ("whole") where no name could bring it back.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from hyperloader.backbones.sites import BERT
from hyperloader.backbones.t5.backbone import attention, backbone_hash, load_backbone
from hyperloader.backbones.t5.light import light_backbone, light_t5
from hyperloader.backbones.t5.light_model import LightT5
from hyperloader.errors import CheckpointError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.outputs.token_tags.model import TokenTagger, load_encoder
from hyperloader.store import Kind, atomic_folder, check_folder, read_json
from hyperloader.trust import check_settings, followed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
FORMAT = 1


def save_pretrained(
    model: AttachedModel,
    folder: Path | str,
    whole: bool | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Save ``model`` as ``folder``, atomically.

    Args:
        whole: store the backbone's frozen weights too; default: only where it has no name, or
            nothing of it is frozen.
        overwrite: replace a model that ``folder`` holds.

    Raises:
        TargetError: ``folder`` holds something else, or (without ``overwrite``) a model.
    """
    with atomic_folder(Path(folder), Kind.MODEL, overwrite=overwrite) as temporary:
        write_model(model, temporary, whole)


def write_model(
    model: AttachedModel,
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
        "model": model.config.model_dump(mode="json"),
        "backbone": {
            "name": model.backbone_name,
            "whole": whole,
            "frozen_sha256": None if whole else _frozen_hash(model),
            "config": settings,
        },
        "tags": model.tags if isinstance(model, TokenTagger) else None,
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
        raise CheckpointError(f"{path} is no readable safetensors file ({error})") from error


def from_pretrained(folder: Path | str, backbone: "PreTrainedModel | None" = None) -> TaggingModel:
    """Load a text-to-text model saved by :func:`save_pretrained`, in evaluation mode on the CPU.

    Args:
        backbone: use this one instead of the one that the folder names or holds.

    Raises:
        CheckpointError: the folder is missing, incomplete or damaged, of a tagging head instead,
            or the backbone is not the one that the model was trained on.
    """
    model = load_model(Path(folder), backbone)
    if not isinstance(model, TaggingModel):
        raise CheckpointError(
            f"{folder} holds a {model.config.method} model, which has a tagging head and writes "
            "no text; load it with hyperloader.modeling.pretrained.load_token_tagger"
        )
    return model


def load_token_tagger(folder: Path | str, backbone: "PreTrainedModel | None" = None) -> TokenTagger:
    """As :func:`from_pretrained`, for a model with a tagging head."""
    model = load_model(Path(folder), backbone)
    if not isinstance(model, TokenTagger):
        raise CheckpointError(
            f"{folder} holds a {model.config.method} model, which has no tagging head; load it "
            "with TaggingModel.from_pretrained"
        )
    return model


def load_model(
    folder: Path,
    backbone: "PreTrainedModel | None" = None,
    *,
    tagging_only: bool = False,
) -> AttachedModel:
    """As :func:`from_pretrained`, for a model of either kind.

    Args:
        tagging_only: the model will neither be trained nor generate freely. Its backbone is then
            a :class:`~hyperloader.backbones.t5.light_model.LightT5` where that computes the same,
            which is loaded without transformers.
    """
    check_folder(folder)
    config = read_json(folder / CONFIG)
    if config.get("format") != FORMAT:
        raise CheckpointError(
            f"{folder} has checkpoint format {config.get('format')}, this version reads {FORMAT}"
        )
    try:
        model_config = ModelConfig(**config["model"])
        about = {"name": None, "whole": False, "frozen_sha256": None, **config["backbone"]}
        check_settings(about["config"], str(folder / CONFIG))
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / CONFIG} is not usable: {error}") from error
    if backbone is None and not about["whole"]:
        about["name"] = followed(about["name"], folder)
    is_bert = model_config.row.family is BERT
    tensors = read_tensors(folder / WEIGHTS)
    if backbone is None and tagging_only and not is_bert:
        backbone = _light(about, tensors)
    if backbone is None:
        # A recipe may have changed the dropout, which going on with training must see again.
        if about["whole"]:
            backbone = _shape_of(about["config"], is_bert)
        elif is_bert:
            backbone = load_encoder(about["name"], about["config"].get("hidden_dropout_prob"))
        else:
            backbone = load_backbone(about["name"], about["config"].get("dropout_rate"))
    model = (
        TokenTagger(backbone, model_config, config["tags"], backbone_name=about["name"])
        if is_bert
        else TaggingModel(backbone, model_config, backbone_name=about["name"])
    )
    if not about["whole"] and _frozen_hash(model) != about["frozen_sha256"]:
        raise CheckpointError(
            f"{folder} was trained on another backbone than the present {about['name']!r} "
            "(the hash of its frozen weights differs); give the original one"
        )
    load_parameters(model, tensors, str(folder / WEIGHTS))
    return model.eval()


@torch.no_grad()
def load_parameters(model: AttachedModel, tensors: dict[str, Tensor], where: str) -> None:
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
            raise CheckpointError(f"{where} {problem} {sorted(names)[0]} ({len(names)} such)")
    for name, tensor in tensors.items():
        if not (tensor.is_floating_point() and tensor.isfinite().all()):
            raise CheckpointError(
                f"{where} has values in {name} that are no numbers; do not use it"
            )
    for name, tensor in tensors.items():
        parameters[name].copy_(tensor)


def _light(about: dict[str, Any], tensors: dict[str, Tensor]) -> LightT5 | None:
    """The backbone without transformers; None where that would not be sure to be the same."""
    if not about["whole"]:
        return light_backbone(about["name"], about["config"])
    parts = (name.partition("backbone.") for name in tensors)
    own = {name: tensors[prefix + name] for start, prefix, name in parts if prefix and not start}
    return light_t5(about["config"], own)


def _shape_of(config: dict[str, Any], is_bert: bool) -> "PreTrainedModel":
    from transformers import AutoConfig, AutoModel, AutoModelForSeq2SeqLM

    settings = AutoConfig.for_model(**config)
    if is_bert:
        return AutoModel.from_config(
            settings, add_pooling_layer=False, trust_remote_code=False
        ).eval()
    # transformers ties the output embedding whatever the configuration says; as does training.
    backbone = AutoModelForSeq2SeqLM.from_config(
        settings, attn_implementation=attention(), trust_remote_code=False
    )
    return backbone.eval()


def _frozen_hash(model: AttachedModel) -> str:
    trained = {n.removeprefix("backbone.") for n in model.trainable_names()}
    return backbone_hash(model.backbone, exclude=trained)
