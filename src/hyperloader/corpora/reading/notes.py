"""What a reader noticed: counted by kind, with the first place of each."""

from collections import defaultdict

from hyperloader.errors import DataError


class Notes:
    """Counts by kind (a plural noun phrase such as ``relations, which are not read``).

    ``repair`` is for what changes or leaves out labelled data: an error where ``strict`` is set.
    """

    def __init__(self, path: object, strict: bool = False):
        self._path, self._strict = path, strict
        self._count: dict[str, int] = defaultdict(int)
        self._first: dict[str, int] = {}
        self._said: list[str] = []

    def say(self, sentence: str) -> None:
        """Note something that is true of the whole file."""
        self._said.append(sentence)

    def add(self, kind: str, line: int | None = None, count: int = 1) -> None:
        """Note something that is no fault."""
        if count:
            self._count[kind] += count
            if line is not None:
                self._first.setdefault(kind, line)

    def repair(self, kind: str, line: int | None = None, count: int = 1) -> None:
        """Note a repair. Raises DataError with the line when reading is strict."""
        if count and self._strict:
            raise DataError(f"{kind}; mend it, or read without strict", str(self._path), line)
        self.add(kind, line, count)

    def lines(self) -> tuple[str, ...]:
        """One sentence per kind: ``relations, which are not read: 12 (the first in line 3)``."""
        return *self._said, *(
            f"{kind}: {count:,}"
            + (f" (the first in line {self._first[kind]:,})" if kind in self._first else "")
            for kind, count in self._count.items()
        )
