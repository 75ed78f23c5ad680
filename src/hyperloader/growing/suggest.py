"""Which sentences are worth labelling next: those that a tagger is least sure of, and no two alike.

A word's uncertainty is the entropy of its tag's probabilities, as the model gives them (exact
marginals for a tagging head); a sentence's is the mean over its words (Settles and Craven 2008,
https://aclanthology.org/D08-1112). Sentences are chosen one by one, and what is like one that is
chosen already counts for less (maximal marginal relevance, Carbonell and Goldstein 1998).
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from hyperloader.errors import DataError, HyperloaderError
from hyperloader.tagger import Tagger
from hyperloader.types import Alternative, Example, Span, TaggedText

# The likeliest tags of a word that its entropy is computed of; the rest counts as one more.
TAGS = 16


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A sentence with the tagger's own answer, and how unsure it is: nats per word, on average."""

    tagged: TaggedText
    uncertainty: float

    @property
    def example(self) -> Example:
        """The answer as a labelled sentence, to be corrected."""
        spans = (Span(s.word_start, s.word_end, s.label) for s in self.tagged.spans)
        tagged = self.tagged
        return Example(tagged.words, tuple(spans), tagged.task, tagged.text, tagged.offsets)


def suggest(
    tagger: Tagger, pool: Iterable[str], task: str | None = None, *, count: int = 50
) -> list[Suggestion]:
    """The ``count`` sentences of ``pool`` most worth labelling for ``task``, the best first.

    Equal texts count once, and texts without a word not at all.

    Raises:
        HyperloaderError: an unknown task, or a count below 1.
        DataError: no sentence in the pool.
    """
    if count < 1:
        raise HyperloaderError(f"{count} sentences to suggest: give at least 1")
    texts = list(dict.fromkeys(text.strip() for text in pool))
    found = [
        Suggestion(tagged, uncertainty(tagged))
        for tagged in tagger.pipe(texts, task, alternatives=TAGS)
        if tagged.words
    ]
    if not found:
        raise DataError("the pool has no sentence; give a text with one per line")
    return list(islice(_unlike(found), count))


def uncertainty(tagged: TaggedText) -> float:
    """The mean entropy of the tags of its words, in nats; it needs their alternatives."""
    words = tagged.alternatives or ()
    return sum(map(_entropy, words)) / len(words) if words else 0.0


def _entropy(choices: Sequence[Alternative]) -> float:
    shares = [choice.probability for choice in choices]
    shares.append(1 - sum(shares))
    return -sum(share * math.log(share) for share in shares if share > 0)


def _unlike(found: Sequence[Suggestion]) -> Iterator[Suggestion]:
    """One after the other the one with the highest uncertainty, times how unlike it is to what was
    given before: one less the largest share of words and neighbours in common (Jaccard)."""
    features = [_features(one.tagged.words) for one in found]
    nearest = [0.0] * len(found)
    left = set(range(len(found)))
    while left:
        best = min(left, key=lambda i: (-found[i].uncertainty * (1 - nearest[i]), i))
        yield found[best]
        left.remove(best)
        for i in left:
            common = len(features[i] & features[best])
            share = common / (len(features[i]) + len(features[best]) - common)
            nearest[i] = max(nearest[i], share)


def _features(words: Sequence[str]) -> set[tuple[str, ...]]:
    """Words and pairs of neighbours, in small letters."""
    small = [word.lower() for word in words]
    return {(word,) for word in small} | set(pairwise(small))
