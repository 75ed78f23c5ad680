"""A corpus: one task with its training, validation and test sentences, and how they were read."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from hyperloader.types import Example

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Reading:
    """How the files of one part were read: in which format, why, and what was noticed."""

    part: str
    path: str
    format: str
    reason: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.part}: {self.path} read as {self.format} because {self.reason}"

    def account(self) -> list[str]:
        """The same, and below it what was noticed, a line each."""
        return [str(self), *(f"  {note}" for note in self.notes)]


@dataclass(frozen=True, slots=True)
class Unused:
    """A file or folder that lies in a corpus folder and is not read, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """One tagging task. ``splits`` maps train, validation and test to examples (may be empty)."""

    name: str
    splits: dict[str, tuple[Example, ...]] = field(repr=False)
    readings: tuple[Reading, ...] = field(default=(), repr=False, compare=False)
    unused: tuple[Unused, ...] = field(default=(), repr=False, compare=False)

    def labels(self, *splits: str) -> tuple[str, ...]:
        """Sorted slot types (without B-/I-) that occur in ``splits`` (all when none is named)."""
        chosen = splits or tuple(self.splits)
        return tuple(
            sorted({s.label for part in chosen for e in self.splits.get(part, ()) for s in e.spans})
        )

    def account(self) -> list[str]:
        """What was read as what and why, what was noticed, what was not read; a line each."""
        lines = [line for reading in self.readings for line in reading.account()]
        return lines + [f"not read: {file.path} ({file.reason})" for file in self.unused]


def account(corpora: Iterable[Corpus]) -> str:
    """How the files of ``corpora`` were read, below the name of each; empty where none were."""
    return "\n".join(
        line
        for corpus in corpora
        if (lines := corpus.account())
        for line in (corpus.name, *(f"  {line}" for line in lines))
    )
