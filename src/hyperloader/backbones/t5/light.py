"""Where a checkpoint is loaded for tagging only: whether its T5 can be a light one, and if so it.

The light one starts without transformers and computes the same (:mod:`hyperloader.modeling.
light_t5`). What it is not sure to compute alike is left to transformers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hyperloader.backbones.t5.light_config import read_config
from hyperloader.backbones.t5.light_model import LightT5
from hyperloader.builtin import backbone_path

_SHARED, _HEAD = "shared.weight", "lm_head.weight"
_INPUTS = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def light_backbone(name: str, settings: Mapping[str, Any]) -> LightT5 | None:
    """The T5 ``name``, ``builtin`` or a folder with one safetensors file; None: by transformers."""
    path = Path(backbone_path(name)) / "model.safetensors"
    if not path.is_file():
        return None
    try:
        return light_t5(settings, load_file(path))
    except (SafetensorError, OSError):  # damaged; transformers' way of loading says so
        return None


def light_t5(settings: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LightT5 | None:
    """A T5 in evaluation mode and float32 with a copy of ``tensors``.

    None where ``settings`` are not of a T5 with a known activation, or tensors are not all there,
    do not fit, or are tied in some other way.

    Args:
        settings: the configuration as transformers writes it (``to_dict``).
        tensors: by the names of the parameters; the output embedding is tied unless it differs.
    """
    config = read_config(settings)
    if config is None or _SHARED not in tensors:
        return None

    def is_tied(name: str) -> bool:
        return name not in tensors or torch.equal(tensors[name], tensors[_SHARED])

    if not all(map(is_tied, _INPUTS)):
        return None
    with torch.device("meta"):  # nothing is allocated before it is known to fit
        model = LightT5(config)
    if is_tied(_HEAD):
        model.lm_head.weight = model.shared.weight
    parameters = dict(model.named_parameters())
    if any(n not in tensors or tensors[n].shape != p.shape for n, p in parameters.items()):
        return None
    model.to_empty(device="cpu")
    if is_tied(_HEAD):  # which that has undone
        model.lm_head.weight = model.shared.weight
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])
    return model.eval()
