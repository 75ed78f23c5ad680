"""Attaching modules with forward hooks: nothing in the backbone is copied, renamed or edited."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hyperloader.backbones.family import Family, Spot
from hyperloader.backbones.places import Place, Site
from hyperloader.errors import ConfigError
from hyperloader.modeling import active
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.modules.kind import Kind, ModuleWeights
from hyperloader.modeling.sources.source import WeightSource


@dataclass(frozen=True)
class SiteHook(active.Hook):
    """Applies the weights in force for ``site`` to the output of its module."""

    site: Site
    kind: Kind
    spot: Spot
    config: ModelConfig

    def __call__(self, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if active.is_apart():
            return output

        def joined(here: ModuleWeights, x: Tensor, y: Tensor) -> Tensor:
            def change(a: Tensor, b: Tensor) -> Tensor:
                return self.kind.change(a, b, here, self.config)

            return self.spot.joined(module, x, y, change)

        return active.apply_at(self.site, joined, inputs[0], output)


@dataclass(frozen=True)
class ReaderHook(active.Hook):
    """Puts the weights that depend on the input in force once the encoder has run."""

    source: WeightSource

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> None:
        active.add(self.source.from_input(output[0], kwargs.get("attention_mask")))


def attach(
    backbone: nn.Module,
    family: Family,
    sites: Mapping[Site, nn.Module],
    kinds: Mapping[Place, Kind],
    source: WeightSource,
    config: ModelConfig,
) -> None:
    """Hook every site, and the encoder where ``source`` reads what it makes.

    Raises:
        ConfigError: the backbone has such hooks already (they would apply twice).
    """
    for module in backbone.modules():
        hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        if any(isinstance(hook, active.Hook) for hook in hooks):
            raise ConfigError("this backbone already has modules attached; load a fresh one")
    for site, module in sites.items():
        kind, spot = kinds[site.place], family.spots[site.place]
        if not kind.hook(module, site, spot.join, config):
            module.register_forward_hook(SiteHook(site, kind, spot, config))
    for module, method in family.apart(backbone) if sites else ():
        setattr(module, method, active.apart(getattr(module, method)))
    if source.reads_input:
        family.reader(backbone).register_forward_hook(ReaderHook(source), with_kwargs=True)
