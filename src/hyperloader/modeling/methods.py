"""The table of methods: what is attached where, and which generator makes its weights."""

from dataclasses import dataclass
from typing import Literal

from hyperloader.errors import ConfigError, unknown
from hyperloader.modeling.sites import Place

ADAPTER_PLACES = (Place.FEED_FORWARD, Place.SELF_ATTENTION)
LORA_PLACES = (Place.SELF_QUERY, Place.SELF_VALUE, Place.CROSS_QUERY, Place.CROSS_VALUE)


@dataclass(frozen=True, slots=True)
class Group:
    """One generator of one kind of module, and the places that it serves."""

    module: Literal["adapter", "lora"]
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table: the groups of modules and how their generators are conditioned."""

    name: str
    summary: str
    groups: tuple[Group, ...]
    position_embedding: bool
    source: Literal["task_hypernetwork"] = "task_hypernetwork"

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(place for group in self.groups for place in group.places)


METHODS = {
    method.name: method
    for method in (
        Method(
            "hyperloader",
            "adapters, conditional layer norms and LoRA generated from (task, layer, position)",
            (Group("adapter", ADAPTER_PLACES), Group("lora", LORA_PLACES)),
            position_embedding=True,
        ),
        Method(
            "hyperformer++",
            "adapters and conditional layer norms generated from (task, layer, position)",
            (Group("adapter", ADAPTER_PLACES),),
            position_embedding=True,
        ),
        Method(
            "hyperformer",
            "adapters and conditional layer norms, one generator a place, from (task, layer)",
            tuple(Group("adapter", (place,)) for place in ADAPTER_PLACES),
            position_embedding=False,
        ),
    )
}


def get_method(name: str) -> Method:
    """The method called ``name``. Raises ConfigError that lists the known ones."""
    if name not in METHODS:
        raise ConfigError(unknown("method", name, METHODS))
    return METHODS[name]
