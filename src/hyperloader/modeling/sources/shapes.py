"""The weights that one module of a group has: their names and shapes."""

from torch import Tensor, nn

from hyperloader.backbones.sites import Site, sizes
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import LORA_PLACES, Group
from hyperloader.modeling.modules.layers import AdapterWeights, LoraWeights, ModuleWeights

Shapes = dict[str, tuple[int, ...]]


def shapes(group: Group, config: ModelConfig, sites: dict[Site, nn.Module]) -> Shapes:
    """Names and shapes (without the leading dimension) for ``group`` among ``sites``.

    Raises:
        ConfigError: the places of the group are not all equally wide.
    """
    # The encoder has no cross-attention; the published code generates for it all the same.
    served = any(site.place in group.places for site in sites)
    places = group.places if served else LORA_PLACES
    found = {
        into_out if group.module == "lora" else into_out[1:] * 2  # an adapter reads what leaves
        for site, module in sites.items()
        if site.place in places and (into_out := sizes(module))
    }
    if len(found) > 1:
        raise ConfigError(
            f"the backbone's {' and '.join(group.places)} differ in width between layers "
            f"({', '.join(map(str, sorted(found)))}): the method needs one size"
        )
    ((into, out),) = found
    if group.module == "lora":
        made: Shapes = {"a": (config.lora_rank, into), "b": (out, config.lora_rank)}
        return made | (_gate(into) if group.gated else {})
    bottleneck = config.adapter_dim or max(1, out // config.reduction_factor)
    made = {
        "down_weight": (bottleneck, out),
        "down_bias": (bottleneck,),
        "up_weight": (out, bottleneck),
        "up_bias": (out,),
    }
    if config.conditional_norm:
        made |= {"norm_weight": (out,), "norm_bias": (out,)}
    return made | (_gate(out) if group.gated else {})


def _gate(width: int) -> Shapes:
    return {"gate_weight": (1, width), "gate_bias": (1,)}


def as_weights(group: Group, parts: dict[str, Tensor]) -> ModuleWeights:
    """The named tensors as what the group's module takes."""
    return LoraWeights(**parts) if group.module == "lora" else AdapterWeights(**parts)
