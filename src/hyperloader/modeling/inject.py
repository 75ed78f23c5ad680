"""Attaching modules with forward hooks: nothing in the backbone is copied, renamed or edited."""

from dataclasses import dataclass

from torch import Tensor, nn

from hyperloader.errors import ConfigError
from hyperloader.modeling import active
from hyperloader.modeling.layers import AdapterWeights, LoraWeights, adapter, lora
from hyperloader.modeling.sites import Site


class NoActiveWeightsError(RuntimeError):
    """The backbone was run on its own; it would answer as if no task had been asked for."""


@dataclass(frozen=True)
class SiteHook:
    """Applies the weights in force for ``site`` to the output of its linear layer."""

    site: Site
    activation: str
    lora_scale: float

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        weights = active.current()
        if weights is None:
            raise NoActiveWeightsError(
                "the backbone has generated modules attached and no task is in force: call the "
                "model (with task_ids) instead of its backbone, or wrap the call in model.use(task)"
            )
        here = weights[self.site]
        if isinstance(here, AdapterWeights):
            return adapter(output, here, self.activation)
        assert isinstance(here, LoraWeights)
        return output + lora(inputs[0], here, self.lora_scale)


def attach(sites: dict[Site, nn.Linear], activation: str, lora_scale: float) -> None:
    """Hook every site. Raises ConfigError where one is hooked already (it would apply twice)."""
    for module in sites.values():
        if any(isinstance(hook, SiteHook) for hook in module._forward_hooks.values()):
            raise ConfigError("this backbone already has modules attached; load a fresh one")
    for site, module in sites.items():
        module.register_forward_hook(SiteHook(site, activation, lora_scale))
