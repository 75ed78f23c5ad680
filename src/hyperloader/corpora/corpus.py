"""A corpus: one task with its training, validation and test sentences."""

from dataclasses import dataclass, field

from hyperloader.types import Example

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Corpus:
    """One tagging task. ``splits`` maps train, validation and test to examples (may be empty)."""

    name: str
    splits: dict[str, tuple[Example, ...]] = field(repr=False)

    def labels(self, *splits: str) -> tuple[str, ...]:
        """Sorted slot types (without B-/I-) that occur in ``splits`` (all when none is named)."""
        chosen = splits or tuple(self.splits)
        return tuple(
            sorted({s.label for part in chosen for e in self.splits.get(part, ()) for s in e.spans})
        )
