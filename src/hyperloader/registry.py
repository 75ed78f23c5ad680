"""What varies, by name: methods, kinds of modules, families of backbones, outputs, formats."""

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from hyperloader.errors import ConfigError, unknown


class Named(Protocol):
    """Something with a name of its own."""

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Named)


class Registry(dict[str, T], Generic[T]):
    """Entries by their names, in the order in which they were registered.

    Args:
        what: what an entry is called in messages, such as "method".
        entries: the first ones.
    """

    def __init__(self, what: str, entries: Iterable[T] = ()) -> None:
        super().__init__()
        self.what = what
        for entry in entries:
            self.register(entry)

    def register(self, entry: T) -> T:
        """Add ``entry``. Raises ConfigError where its name is taken."""
        if entry.name in self:
            raise ConfigError(f"there is a {self.what} {entry.name!r} already; choose another name")
        self[entry.name] = entry
        return entry

    def named(self, name: str) -> T:
        """The entry called ``name``. Raises ConfigError that lists the known ones."""
        if name not in self:
            raise ConfigError(unknown(self.what, name, self))
        return self[name]
