"""Where something can be attached in a backbone: places, found by module name.

A *place* is a kind of spot inside a transformer layer; a *site* is that place in one layer of
one stack. The order of the places is the order of the paper's position embedding.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from torch import nn

from hyperloader.errors import ConfigError


class Place(StrEnum):
    """Spots in a T5 layer; ``list(Place).index(p)`` is the reference's position id (0 to 5)."""

    FEED_FORWARD = "feed_forward"
    SELF_ATTENTION = "self_attention"
    SELF_QUERY = "self_query"
    SELF_VALUE = "self_value"
    CROSS_QUERY = "cross_query"
    CROSS_VALUE = "cross_value"


class Site(NamedTuple):
    """One place in one layer of the ``encoder`` or the ``decoder``."""

    stack: str
    layer: int
    place: Place


STACKS = ("encoder", "decoder")

# Every place is the output of one linear layer: an adapter works on what leaves the sublayer,
# LoRA adds to a projection. All of the T5 family (t5, v1.1, flan, mt5, umt5) shares these names.
_LINEAR_OF_PLACE = {
    Place.FEED_FORWARD: r"DenseReluDense\.wo",
    Place.SELF_ATTENTION: r"SelfAttention\.o",
    Place.SELF_QUERY: r"SelfAttention\.q",
    Place.SELF_VALUE: r"SelfAttention\.v",
    Place.CROSS_QUERY: r"EncDecAttention\.q",
    Place.CROSS_VALUE: r"EncDecAttention\.v",
}
_CROSS = (Place.CROSS_QUERY, Place.CROSS_VALUE)


def find_sites(backbone: nn.Module, places: Iterable[Place]) -> dict[Site, nn.Linear]:
    """Map every site of ``places`` to its linear layer.

    Raises:
        ConfigError: a place has no match in a stack where it belongs (cross-attention exists
            in the decoder only), or what matches is not a linear layer.
    """
    named = dict(backbone.named_modules())
    sites: dict[Site, nn.Linear] = {}
    for place in places:
        pattern = re.compile(
            rf"(encoder|decoder)\.block\.(\d+)\.layer\.\d+\.{_LINEAR_OF_PLACE[place]}"
        )
        found = {
            Site(match[1], int(match[2]), place): module
            for name, module in named.items()
            if (match := pattern.fullmatch(name))
        }
        for stack in STACKS[1:] if place in _CROSS else STACKS:
            if not any(site.stack == stack for site in found):
                raise ConfigError(
                    f"{type(backbone).__name__} has no {place.value} in its {stack}: "
                    "the backbone must be of the T5 family (t5, flan-t5, t5 v1.1, mt5, umt5)"
                )
        for site, module in found.items():
            if not isinstance(module, nn.Linear):
                raise ConfigError(f"{site} is a {type(module).__name__}, not a plain linear layer")
            sites[site] = module
    return sites
