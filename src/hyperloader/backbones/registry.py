"""The families of backbones, and which of them a backbone is of."""

from typing import Any

from hyperloader.backbones.bert.family import Bert
from hyperloader.backbones.family import Family
from hyperloader.backbones.t5.family import T5
from hyperloader.errors import ConfigError, unknown

FAMILIES: dict[str, Family] = {}


def register(family: Family) -> Family:
    """Make ``family`` known. Raises ConfigError where its name or a member is known already."""
    taken = {member: other.name for other in FAMILIES.values() for member in other.model_types}
    if family.name in FAMILIES:
        raise ConfigError(f"there is a family {family.name!r} already; choose another name")
    for member in family.model_types:
        if member in taken:
            raise ConfigError(f"{member!r} is in the family {taken[member]!r} already")
    FAMILIES[family.name] = family
    return family


for _family in (T5(), Bert()):
    register(_family)


def family_of_type(model_type: str | None) -> Family:
    """The family of transformers' ``model_type``.

    Raises:
        ConfigError: it is in none; the message lists those that are.
    """
    for family in FAMILIES.values():
        if model_type in family.model_types:
            return family
    known = [member for family in FAMILIES.values() for member in family.model_types]
    raise ConfigError(f"{unknown('kind of backbone', str(model_type), known)}; choose another one")


def family_of(backbone: Any) -> Family:
    """The family of a loaded ``backbone``. Raises ConfigError where it is in none."""
    config = getattr(backbone, "config", None)
    model_type = getattr(config, "model_type", None)
    if model_type is None:
        raise ConfigError(f"a {type(backbone).__name__} is no backbone: it has no model_type")
    return family_of_type(model_type)
