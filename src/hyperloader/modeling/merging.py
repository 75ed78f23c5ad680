"""What is attached, put into the layers that it stands at, where that comes to the same."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor, nn

from hyperloader.backbones.family import Family
from hyperloader.backbones.joins import added
from hyperloader.modeling import active
from hyperloader.modeling.active import SiteWeights
from hyperloader.modeling.attach import SiteHook


class Attached(NamedTuple):
    """A hook of ours, the module that it is on, and that module's name in the backbone."""

    name: str
    module: nn.Module
    key: int
    hook: active.Hook


def attached(backbone: nn.Module) -> list[Attached]:
    """Everything that is attached to ``backbone``."""
    return list(_attached(backbone))


def _attached(backbone: nn.Module) -> Iterator[Attached]:
    for name, module in backbone.named_modules():
        for hooks in (module._forward_hooks, module._forward_pre_hooks):
            for key, hook in hooks.items():
                if isinstance(hook, active.Hook):
                    yield Attached(name, module, key, hook)


def merge(backbone: nn.Module, family: Family, weights: SiteWeights) -> list[Attached]:
    """Add to the weights of linear layers what modules with one set of ``weights`` add to them.

    Those modules are then gone from the backbone, which is changed in place; the others are
    returned.
    """
    if any(True for _ in family.apart(backbone)):
        return attached(backbone)  # such a layer is also used without its modules
    left = []
    for each in attached(backbone):
        change, hook = None, each.hook
        if isinstance(hook, SiteHook) and isinstance(each.module, nn.Linear):
            here = weights.get(hook.site)
            change = None if here is None else hook.kind.merged(here, hook.config)
        if change is None or not isinstance(hook, SiteHook) or hook.spot.join is not added:
            left.append(each)
            continue
        weight: Tensor = each.module.get_parameter("weight")
        weight.chunk(hook.spot.parts)[hook.spot.part].add_(change)
        del each.module._forward_hooks[each.key]
    return left
