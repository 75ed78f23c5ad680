"""Filling a T5 of torch alone with weights, where it is sure to compute what transformers' does."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hyperloader.backbones.t5.light_model import LightT5, read_config

_SHARED, _HEAD = "shared.weight", "lm_head.weight"
_INPUTS = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


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

    def build() -> LightT5:
        model = LightT5(config)
        if is_tied(_HEAD):
            model.lm_head.weight = model.shared.weight
        return model

    with torch.device("meta"):  # nothing is allocated before it is known to fit
        shapes = {name: parameter.shape for name, parameter in build().named_parameters()}
    if any(name not in tensors or tensors[name].shape != shapes[name] for name in shapes):
        return None
    model = build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(tensors[name])
    return model.eval()
