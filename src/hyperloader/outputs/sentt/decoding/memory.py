"""What words were tagged as before: the first draft of the sentences to come.

It changes how many passes decoding takes, never the answer, which is checked against the model's
scores whatever the draft was.
"""

from collections.abc import Iterator, Sequence

from hyperloader.codec.windows import Pieces

LIMIT = 100_000


class DraftMemory:
    """The last tag of each pair of neighbouring words and of each word, by task.

    At most ``LIMIT`` entries are kept; beyond it everything is forgotten and learnt again.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, Pieces | None, Pieces], int] = {}

    def guess(self, task: str, words: Sequence[Pieces]) -> Iterator[int | None]:
        """The tag number of each word, None where it is unknown."""
        before: Pieces = ()
        for word in words:
            tag = self._seen.get((task, before, word))
            yield self._seen.get((task, None, word)) if tag is None else tag
            before = word

    def learn(self, task: str, words: Sequence[Pieces], tags: Sequence[int]) -> None:
        """Remember the ``tags`` of ``words``."""
        if len(self._seen) > LIMIT:
            self._seen.clear()
        before: Pieces = ()
        for word, tag in zip(words, tags, strict=True):
            self._seen[task, before, word] = self._seen[task, None, word] = tag
            before = word
