"""Where something can be attached in a backbone: places, found by module name.

A *place* is a kind of spot inside a transformer layer; a *site* is that place in one layer of
one stack. The order of the first six places is the order of the paper's position embedding.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from torch import nn

from hyperloader.errors import ConfigError


class Place(StrEnum):
    """Spots in a layer; ``list(Place).index(p)`` is the reference's position id (0 to 5)."""

    FEED_FORWARD = "feed_forward"
    SELF_ATTENTION = "self_attention"
    SELF_QUERY = "self_query"
    SELF_VALUE = "self_value"
    CROSS_QUERY = "cross_query"
    CROSS_VALUE = "cross_value"
    PARALLEL_FEED_FORWARD = "parallel_feed_forward"
    SELF_PREFIX = "self_prefix"


class Site(NamedTuple):
    """One place in one layer of the ``encoder`` or the ``decoder``."""

    stack: str
    layer: int
    place: Place


STACKS = ("encoder", "decoder")
_CROSS = (Place.CROSS_QUERY, Place.CROSS_VALUE)


@dataclass(frozen=True, slots=True)
class Family:
    """Backbones whose modules share names.

    ``layer`` is the start of the name of every module inside a layer, with groups for the stack
    and the number; ``modules`` says for each place how the name goes on and of what kind the
    module is that is hooked there.
    """

    name: str
    members: str
    stacks: tuple[str, ...]
    layer: str
    modules: dict[Place, tuple[str, type[nn.Module]]]


# An adapter works on what leaves the sublayer and LoRA adds to a projection, each the output of
# one linear layer. A parallel adapter also needs the input of the sublayer: the whole of it.
T5 = Family(
    "T5",
    "t5, flan-t5, t5 v1.1, mt5, umt5",
    STACKS,
    r"(encoder|decoder)\.block\.(\d+)\.layer\.\d+",
    {
        Place.FEED_FORWARD: (r"\.DenseReluDense\.wo$", nn.Linear),
        Place.SELF_ATTENTION: (r"\.SelfAttention\.o$", nn.Linear),
        Place.SELF_QUERY: (r"\.SelfAttention\.q$", nn.Linear),
        Place.SELF_VALUE: (r"\.SelfAttention\.v$", nn.Linear),
        Place.CROSS_QUERY: (r"\.EncDecAttention\.q$", nn.Linear),
        Place.CROSS_VALUE: (r"\.EncDecAttention\.v$", nn.Linear),
        Place.PARALLEL_FEED_FORWARD: (r"(?=\.DenseReluDense$)", nn.Module),
    },
)
# BERT normalises after the residual, so an adapter before the residual sits at the layer norm.
BERT = Family(
    "BERT",
    "bert, roberta, xlm-roberta, electra",
    ("encoder",),
    r"(encoder)\.layer\.(\d+)",
    {
        Place.FEED_FORWARD: (r"\.output\.LayerNorm$", nn.LayerNorm),
        Place.SELF_QUERY: (r"\.attention\.self\.query$", nn.Linear),
        Place.SELF_VALUE: (r"\.attention\.self\.value$", nn.Linear),
        Place.SELF_PREFIX: (r"\.attention\.self$", nn.Module),
    },
)


def find_sites(
    backbone: nn.Module, places: Iterable[Place], family: Family = T5
) -> dict[Site, nn.Module]:
    """Map every site of ``places`` to the module that is hooked there.

    Raises:
        ConfigError: the backbone is not of the family, the family has no such place, a place has
            no match in a stack where it belongs (cross-attention exists in the decoder only), or
            what matches is of another kind (a quantised projection, say).
    """
    named = dict(backbone.named_modules())
    if not any(re.match(family.layer, name) for name in named):
        raise ConfigError(
            f"{type(backbone).__name__} is not of the {family.name} family ({family.members}), "
            "which the method attaches to; choose another backbone or another method"
        )
    sites: dict[Site, nn.Module] = {}
    for place in places:
        if place not in family.modules:
            raise ConfigError(
                f"a {family.name} backbone has no place {place.value!r} "
                f"(known: {', '.join(family.modules)})"
            )
        tail, kind = family.modules[place]
        pattern = re.compile(family.layer + tail)
        found = {
            Site(match[1], int(match[2]), place): named[match[0]]
            for name in named
            if (match := pattern.match(name))
        }
        for stack in STACKS[1:] if place in _CROSS else family.stacks:
            if not any(site.stack == stack for site in found):
                raise ConfigError(
                    f"{type(backbone).__name__} has no {place.value} in its {stack}; load a whole "
                    f"backbone of the {family.name} family ({family.members})"
                )
        for site, module in found.items():
            if not isinstance(module, kind):
                raise ConfigError(
                    f"{place.value} in layer {site.layer} of the {site.stack} is a "
                    f"{type(module).__name__}, not a plain {kind.__name__}: load the backbone "
                    "unchanged (not quantised, no other adapters)"
                )
            sites[site] = module
    return sites


def sizes(module: nn.Module) -> tuple[int, int]:
    """Width of what goes into a hooked module and of what leaves it."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    # A sublayer or a layer norm keeps the width, which its first weight takes in.
    width = next(module.parameters()).shape[-1]
    return width, width
