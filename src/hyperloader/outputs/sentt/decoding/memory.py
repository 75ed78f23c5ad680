"""What words were tagged as before: the first draft of the sentences to come.

It changes how many passes decoding takes, never the answer, which is checked against the model's
scores whatever the draft was.
"""

from collections.abc import Iterator, Sequence

Word = tuple[int, ...]

LIMIT = 100_000


class DraftMemory:
    """The last tag of each pair of neighbouring words and of each word, by task.

    At most ``LIMIT`` entries are kept; beyond it everything is forgotten and learnt anew.
    """

    def __init__(self, sentinels: Sequence[int]) -> None:
        self._sentinels = frozenset(sentinels)
        self._seen: dict[tuple[str, Word | None, Word], int] = {}

    def words(self, source: Sequence[int], count: int) -> list[Word]:
        """The token ids of the ``count`` words of a SentT' source."""
        words: list[Word] = []
        at = 1
        for place in range(1, len(source)):
            if len(words) == count:
                break
            if source[place] in self._sentinels:
                words.append(tuple(source[at:place]))
                at = place + 1
        return words

    def guess(self, task: str, words: Sequence[Word]) -> Iterator[int | None]:
        """The tag number of each word, None where it is unknown."""
        before: Word = ()
        for word in words:
            tag = self._seen.get((task, before, word))
            yield self._seen.get((task, None, word)) if tag is None else tag
            before = word

    def learn(self, task: str, words: Sequence[Word], tags: Sequence[int]) -> None:
        """Remember the ``tags`` of ``words``."""
        if len(self._seen) > LIMIT:
            self._seen.clear()
        before: Word = ()
        for word, tag in zip(words, tags, strict=True):
            self._seen[task, before, word] = self._seen[task, None, word] = tag
            before = word
