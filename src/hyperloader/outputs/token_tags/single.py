"""Each word's likeliest tag, whatever the tags around it, as published with UniPELT."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hyperloader.outputs.token_tags.chain import Floats, Lengths


@dataclass(frozen=True)
class SingleWords:
    """The words of N sentences, one by one.

    Tags are read by the CoNLL rule of :mod:`hyperloader.tags`: an I without its B starts a span.

    Args:
        logits: (N, W, T), finite or minus infinity.
        lengths: (N,) words of each sentence; what lies beyond is arbitrary.
    """

    logits: Floats
    lengths: Lengths

    @cached_property
    def _probability(self) -> Floats:
        weights = np.exp(self.logits - self.logits.max(-1, keepdims=True))
        total: Floats = weights / weights.sum(-1, keepdims=True)
        return total

    @cached_property
    def _tags(self) -> npt.NDArray[np.int64]:
        return self.logits.argmax(-1)

    def best(self) -> list[list[int]]:
        """The tags of each sentence."""
        return [
            tags[:length]
            for tags, length in zip(self._tags.tolist(), self.lengths.tolist(), strict=True)
        ]

    def span_probability(self, sentence: int, start: int, end: int, label: int) -> float:
        """The product of the probabilities of a span's tags, and of the probability that the word
        after it does not go on with it."""
        words = np.arange(start, end)
        score = self._probability[sentence, words, self._tags[sentence, words]].prod()
        if end < self.lengths[sentence]:
            score *= 1 - self._probability[sentence, end, 2 + 2 * label]
        return float(score)

    def tag_probabilities(self, sentence: int) -> Floats:
        """Of every tag of every word, (words, T)."""
        return self._probability[sentence, : self.lengths[sentence]]
