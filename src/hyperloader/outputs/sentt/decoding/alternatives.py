"""What else a word might have been: the probabilities that decoding computed on its way."""

from collections.abc import Iterable

from hyperloader.outputs.sentt.decoding.paths import TagPaths
from hyperloader.outputs.sentt.decoding.search import Decided
from hyperloader.types import Alternative


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
            scores = part.distribution.exp()
            # Of one decision no more than these can be among a word's likeliest.
            likeliest, choices = scores.topk(min(limit + 1, scores.shape[1]))
            columns = (*part[:5], scores.gather(1, part.taken[:, None])[:, 0], likeliest, choices)
            for row, word, node, opened, taken, kept, likely, options in zip(
                *(column.tolist() for column in columns), strict=True
            ):
                before = mass[row][word]
                mass[row][word] = before * kept
                for score, choice in zip(likely, options, strict=True):
                    if score and choice != taken:
                        names = self._tags(node, choice, bool(opened))
                        found[row][word].append(Alternative(names, before * score))
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
