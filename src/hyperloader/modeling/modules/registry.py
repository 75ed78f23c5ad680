"""The kinds of modules by name."""

from hyperloader.errors import ConfigError, unknown
from hyperloader.modeling.modules.adapter import Adapter
from hyperloader.modeling.modules.head import Head
from hyperloader.modeling.modules.kind import Kind
from hyperloader.modeling.modules.lora import Lora
from hyperloader.modeling.modules.prefix import Prefix

KINDS: dict[str, Kind] = {kind.name: kind for kind in (Adapter(), Lora(), Prefix(), Head())}


def register(kind: Kind) -> Kind:
    """Make ``kind`` known. Raises ConfigError where its name is taken."""
    if kind.name in KINDS:
        raise ConfigError(f"there is a kind of module {kind.name!r} already; choose another name")
    KINDS[kind.name] = kind
    return kind


def kind_named(name: str) -> Kind:
    """The kind called ``name``. Raises ConfigError that lists the known ones."""
    if name not in KINDS:
        raise ConfigError(unknown("kind of module", name, KINDS))
    return KINDS[name]
