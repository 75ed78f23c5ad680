"""What else a word might have been: the probabilities that decoding computed on its way."""

from collections.abc import Iterable
from typing import NamedTuple

from hyperloader.decoding.paths import TagPaths
from hyperloader.decoding.search import Decided


class Alternative(NamedTuple):
    """Tags and their probability given the tags decided before.

    Usually one tag. Several where their texts begin alike and another tag was chosen before they
    part: the model was not asked which of them, and ``probability`` is that of all together.
    """

    tags: tuple[str, ...]
    probability: float


class Alternatives:
    """Reads the decisions of a search as distributions over tags."""

    def __init__(self, paths: TagPaths) -> None:
        self._names, self._end = paths.names, len(paths.tokens)
        self._next, self._tag_at = paths.next_node, paths.tag_at
        self._below: dict[int, tuple[int, ...]] = {}
        below: dict[int, set[int]] = {}
        for tag, nodes in enumerate(paths.nodes.tolist()):
            for node in nodes:
                below.setdefault(node, set()).add(tag)
        self._below = {node: tuple(sorted(tags)) for node, tags in below.items()}
        self._inside = set(paths.inside.values())

    def of_words(
        self, decided: Iterable[Decided], tags: list[list[int]], limit: int
    ) -> list[list[tuple[Alternative, ...]]]:
        """For the ``tags`` of every row's words the ``limit`` likeliest alternatives of each.

        The alternatives of a word share no tag and, if all are taken, their probabilities sum to
        1. A word without any decision has its tag with probability 1.
        """
        mass = [[1.0] * len(row) for row in tags]
        found: list[list[list[Alternative]]] = [[[] for _ in row] for row in tags]
        for part in decided:
            columns = zip(*(column.tolist() for column in part[:5]), strict=True)
            for (row, word, node, opened, taken), scores in zip(
                columns, part.distribution.exp(), strict=True
            ):
                before = mass[row][word]
                for choice in scores.nonzero()[:, 0].tolist():
                    probability = before * float(scores[choice])
                    if choice == taken:
                        mass[row][word] = probability
                    else:
                        names = self._tags(node, choice, bool(opened))
                        found[row][word].append(Alternative(names, probability))
        return [
            [
                tuple(
                    sorted(
                        [Alternative((self._names[tag],), sure), *others],
                        key=lambda alternative: -alternative.probability,
                    )[:limit]
                )
                for tag, sure, others in zip(row, masses, rest, strict=True)
            ]
            for row, masses, rest in zip(tags, mass, found, strict=True)
        ]

    def _tags(self, node: int, choice: int, opened: bool) -> tuple[str, ...]:
        if choice == self._end:
            return (self._names[int(self._tag_at[node])],)
        below = self._below[int(self._next[node, choice])]
        return tuple(self._names[tag] for tag in below if opened or tag not in self._inside)
