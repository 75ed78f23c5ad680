"""The families of backbones, and which of them a backbone is of."""

from typing import Any

from hyperloader.backbones.bert.family import Bert
from hyperloader.backbones.deberta.family import Deberta
from hyperloader.backbones.distilbert.family import DistilBert
from hyperloader.backbones.family import Family
from hyperloader.backbones.modernbert.family import ModernBert
from hyperloader.backbones.mpnet.family import MPNet
from hyperloader.backbones.t5.family import T5
from hyperloader.errors import ConfigError, unknown
from hyperloader.registry import Registry


class Families(Registry[Family]):
    """Families by name; a type of backbone is in one of them at most."""

    def register(self, entry: Family) -> Family:
        """Add a family. Raises ConfigError where its name or one of its types is known already."""
        for other in self.values():
            if shared := set(entry.model_types) & set(other.model_types):
                raise ConfigError(
                    f"{min(shared)!r} is in the family {other.name!r} already; leave it out"
                )
        return super().register(entry)


FAMILIES = Families(
    "family of backbones", (T5(), Bert(), DistilBert(), MPNet(), Deberta(), ModernBert())
)


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
        raise ConfigError(
            f"a {type(backbone).__name__} is no backbone: it has no model_type; give a "
            "transformers model"
        )
    return family_of_type(model_type)
