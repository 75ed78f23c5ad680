"""Places and sites: where in a backbone something can be attached.

A *place* is a kind of spot inside a transformer layer; a *site* is that place in one layer of one
stack. The order of the first six places is the order of the paper's position embedding.
"""

from enum import StrEnum
from typing import NamedTuple

ENCODER, DECODER = STACKS = ("encoder", "decoder")


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
    FEED_FORWARD_NORM = "feed_forward_norm"
    HEAD = "head"
    WORD_SHAPES = "word_shapes"

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks that can have it: cross-attention is the decoder's alone."""
        return (DECODER,) if self in (Place.CROSS_QUERY, Place.CROSS_VALUE) else STACKS


class Site(NamedTuple):
    """One place in one layer of the ``encoder`` or the ``decoder``."""

    stack: str
    layer: int
    place: Place
