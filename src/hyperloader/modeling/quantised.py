"""The backbone's linear layers in int8, for tagging on the CPU.

Weights are rounded once, symmetrically and with one scale per output; inputs are rounded again at
each call, every token by its own largest number: of one range for all, a few tokens with large
numbers would take most. Generated weights, embeddings, norms and the output embedding stay as
they are: they are few products, or decide between near equals.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hyperloader.errors import ConfigError
from hyperloader.modeling.attached import AttachedModel

LARGEST, LEAST = 127, torch.finfo(torch.float32).tiny


def quantise(model: AttachedModel) -> int:
    """Let the backbone of ``model`` multiply in int8 from now on; how many layers it changed.

    Parameters keep their names and values, so saving is as before and memory does not shrink; the
    products are made of what the weights are now, and have no gradient.

    Raises:
        ConfigError: the model is not on the CPU or not in float32, or this build of torch has no
            int8 products.
    """
    parameter = next(model.backbone.parameters())
    if parameter.device.type != "cpu" or parameter.dtype != torch.float32:
        raise ConfigError(
            f"int8 is for the CPU and starts from float32, not from {parameter.dtype} on "
            f"{parameter.device.type}; load the model again and leave it there"
        )
    output = model.backbone.get_output_embeddings()
    chosen = [m for m in model.backbone.modules() if isinstance(m, nn.Linear) and m is not output]
    for linear in chosen:
        # Hooks with generated weights are on the module and stay in force around its forward.
        product = partial(_product, _packed(linear))
        linear.forward = partial(by_token, product, linear.bias)  # type: ignore[method-assign]
    return len(chosen)


def is_quantised(model: AttachedModel) -> bool:
    """Whether :func:`quantise` has changed ``model``."""
    return any("forward" in vars(m) for m in model.backbone.modules() if isinstance(m, nn.Linear))


def by_token(product: Callable[[Tensor], Tensor], bias: Tensor | None, x: Tensor) -> Tensor:
    """``product(x) + bias`` of tokens ``x`` (..., d), each divided by its largest number before a
    ``product`` that rounds it, and multiplied again after it."""
    largest = x.abs().amax(-1, keepdim=True).clamp(min=LEAST)
    y = product(x / largest) * largest
    return y if bias is None else y + bias


@torch.no_grad()
def _product(packed: Any, x: Tensor) -> Tensor:
    # Seven bits for inputs: with eight, processors without VNNI would overflow.
    return torch.ops.quantized.linear_dynamic(x, packed, reduce_range=True)


@torch.no_grad()
def _packed(linear: nn.Linear) -> Any:
    scales = linear.weight.abs().amax(dim=1).clamp(min=LEAST) / LARGEST
    zeros = torch.zeros(len(scales), dtype=torch.long)
    try:
        with warnings.catch_warnings():
            # torch will have other names for this some day; the range of versions is pinned.
            warnings.simplefilter("ignore")
            weight = torch.quantize_per_channel(linear.weight, scales, zeros, 0, torch.qint8)
            return torch.ops.quantized.linear_prepack(weight, None)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"int8 cannot be used with this build of torch ({reason}); use float32"
        ) from error
