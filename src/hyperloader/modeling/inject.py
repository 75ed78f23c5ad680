"""Attaching modules with forward hooks: nothing in the backbone is copied, renamed or edited."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.backbones.sites import Place, Site
from hyperloader.errors import ConfigError
from hyperloader.modeling import active
from hyperloader.modeling.modules.layers import (
    AdapterWeights,
    LoraWeights,
    ModuleWeights,
    PrefixWeights,
    adapter,
    bottleneck,
    lora,
)
from hyperloader.modeling.modules.prefix import add_prefix
from hyperloader.modeling.sources.source import Source


class NoActiveWeightsError(RuntimeError):
    """The backbone was run on its own; it would answer as if no task had been asked for."""


@dataclass(frozen=True)
class SiteHook:
    """Applies the weights in force for ``site`` to the output of its module."""

    site: Site
    activation: str
    lora_scale: float

    def __call__(self, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        here, runs = _weights_at(self.site), active.runs()
        if runs is None:
            return self._apply(module, inputs[0], output, here)
        rows = zip(inputs[0].split(runs), output.split(runs), strict=True)
        return torch.cat(
            [
                self._apply(module, x, y, active.one_of(here, k))
                for k, (x, y) in enumerate(rows)
                if len(x)
            ]
        )

    def _apply(self, module: Any, inputs: Tensor, output: Tensor, here: ModuleWeights) -> Tensor:
        if isinstance(here, LoraWeights):
            return output + lora(inputs, here, self.lora_scale)
        assert isinstance(here, AdapterWeights)
        if self.site.place is Place.PARALLEL_FEED_FORWARD:
            # The sublayer is x + dropout(FF(LN x)); the adapter reads LN x and joins undropped.
            return output + bottleneck(module.layer_norm(inputs), here, self.activation)
        if isinstance(module, nn.LayerNorm):
            # UniPELT on BERT: the adapter reads LN(y + x) and is added before LN is made again.
            again = inputs + bottleneck(output, here, self.activation)
            return F.layer_norm(
                again, module.normalized_shape, module.weight, module.bias, module.eps
            )
        return adapter(output, here, self.activation)


@dataclass(frozen=True)
class PrefixHook:
    """Lets a self-attention attend to the prefix in force for ``site`` too."""

    site: Site

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        here = _weights_at(self.site)
        assert isinstance(here, PrefixWeights)
        return add_prefix(module, here, args, kwargs)


@dataclass(frozen=True)
class EncoderHook:
    """Puts the weights that depend on the input in force once the encoder has run."""

    source: Source

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        active.join(self.source.from_encoder(output[0], kwargs.get("attention_mask")))


def attach(
    backbone: nn.Module,
    sites: dict[Site, nn.Module],
    source: Source,
    activation: str,
    lora_scale: float,
) -> None:
    """Hook every site, and the encoder where ``source`` reads what it makes.

    Raises:
        ConfigError: the backbone has such hooks already (they would apply twice).
    """
    kinds = (SiteHook, PrefixHook, EncoderHook)
    for module in backbone.modules():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if any(isinstance(hook, kinds) for hook in hooks):
            raise ConfigError("this backbone already has modules attached; load a fresh one")
    for site, module in sites.items():
        if site.place is Place.SELF_PREFIX:
            module.register_forward_pre_hook(PrefixHook(site), with_kwargs=True)
        else:
            module.register_forward_hook(SiteHook(site, activation, lora_scale))
    if source.reads_encoder:
        encoder = backbone.get_submodule("encoder")
        encoder.register_forward_hook(EncoderHook(source), with_kwargs=True)


def _weights_at(site: Site) -> ModuleWeights:
    weights = active.current()
    if weights is None:
        raise NoActiveWeightsError(
            "the backbone has generated modules attached and no task is in force: call the "
            "model (with task_ids) instead of its backbone, or wrap the call in model.use(task)"
        )
    here = weights.get(site)
    if here is None:
        raise NoActiveWeightsError(
            f"no weights are in force for {site.place.value} in layer {site.layer} of the "
            f"{site.stack}: they depend on the source text, so run the encoder before the "
            "decoder inside the same model.use(task)"
        )
    return here
