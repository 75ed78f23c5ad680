"""Sequences of BIO tags: the best one that is valid, and exact probabilities of spans.

A sequence is valid if every I-x follows B-x or I-x. Its score is the sum of its tags' logits, and
its probability is that of a softmax over all valid sequences of the sentence (a linear-chain
conditional random field, Lafferty et al., 2001, whose transitions are allowed or not and have no
weights of their own). Only I-x looks at what came before, and only at one label, so that every
recursion takes O(labels) for a word and not their square.

Tags are numbered as :class:`~hyperloader.outputs.token_tags.codec.TokenCodec` numbers them: O, then
B and I of each label.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hyperloader.outputs.output import NEVER
from hyperloader.outputs.token_tags.best_sequences import Floats, best_sequences

Lengths: TypeAlias = npt.NDArray[np.int64]

NO_SPAN = 0


def log_partition(logits: Tensor, lengths: Tensor) -> Tensor:
    """The logarithm of the sum of exp(score) over all valid sequences, (N,).

    Args:
        logits: (N, words, T), finite or minus infinity; a sentence is at least one word.
        lengths: (N,) words of each sentence.
    """
    logits = logits.float().clamp(min=NEVER)
    outside, begins, inside = logits[..., :1], logits[..., 1::2], logits[..., 2::2]
    free = torch.cat([outside, begins], -1).logsumexp(-1)  # (N, words): whatever came before
    total, opened = free[:, 0], begins[:, 0]
    for word in range(1, logits.shape[1]):
        on = inside[:, word] + opened
        now = torch.cat([(free[:, word] + total)[:, None], on], -1).logsumexp(-1)
        opened = torch.logaddexp(begins[:, word] + total[:, None], on)
        going = word < lengths
        total = torch.where(going, now, total)
    return total


def gold_score(logits: Tensor, tags: Tensor) -> Tensor:
    """The score (N,) of the sequences ``tags`` (N, words), negative beyond a sentence's end."""
    chosen = logits.gather(-1, tags.clamp(min=0)[..., None])[..., 0].float()
    return chosen.masked_fill(tags < 0, 0.0).sum(-1)


class GoldTags(NamedTuple):
    """The right tags of N sentences: see :class:`~hyperloader.outputs.output.Gold`."""

    logits: Tensor  # (N, words, T)
    tags: Tensor  # (N, words), negative beyond a sentence's end
    lengths: Tensor  # (N,)

    @property
    def decisions(self) -> int:
        """Words."""
        return int(self.lengths.sum())

    def unlikelihood(self, inverse: Tensor | float) -> Tensor:
        """See :meth:`~hyperloader.outputs.output.Gold.unlikelihood`."""
        logits = self.logits.clamp(min=NEVER) * inverse
        whole = log_partition(logits, self.lengths) - gold_score(logits, self.tags)
        return whole.double().sum()


@dataclass(frozen=True)
class Lattice:
    """All tag sequences of N sentences.

    Args:
        logits: (N, W, T), finite or minus infinity, of each word's tags.
        lengths: (N,) words of each sentence, at least one; what lies beyond is arbitrary.
    """

    logits: Floats
    lengths: Lengths

    @cached_property
    def _parts(self) -> tuple[Floats, Floats, Floats]:
        """Logits of O (N, W), of B (N, W, L) and of I (N, W, L)."""
        logits = np.maximum(self.logits, NEVER)
        return logits[..., NO_SPAN], logits[..., 1::2], logits[..., 2::2]

    @cached_property
    def _free(self) -> Floats:
        """(N, W) log-sums over the tags that may follow any other: O and every B."""
        outside, begins, _ = self._parts
        return np.logaddexp(outside, _log_sum(begins))

    @cached_property
    def _forward(self) -> tuple[Floats, Floats, Floats]:
        """Log-sums over what comes first: of everything before a word (N, W + 1), with the whole
        sentence last; of spans that go on into a word, up to and with it (N, W, L); and of spans
        that are open after it (N, W, L)."""
        outside, begins, inside = self._parts
        before = np.zeros((len(outside), outside.shape[1] + 1))
        going = np.full_like(begins, NEVER)
        opened = begins.copy()
        for word in range(outside.shape[1]):
            if word:
                going[:, word] = inside[:, word] + opened[:, word - 1]
                started = begins[:, word] + before[:, word, None]
                opened[:, word] = np.logaddexp(started, going[:, word])
            total = np.logaddexp(self._free[:, word] + before[:, word], _log_sum(going[:, word]))
            before[:, word + 1] = np.where(word < self.lengths, total, before[:, word])
        return before, going, opened

    @cached_property
    def _backward(self) -> tuple[Floats, Floats]:
        """Log-sums over what comes after a word: where no span goes on (N, W), and where a span of
        each label is open and may (N, W, L)."""
        outside, begins, inside = self._parts
        closed, opened = np.zeros_like(outside), np.zeros_like(begins)
        for word in range(outside.shape[1] - 2, -1, -1):
            new = _log_sum(begins[:, word + 1] + opened[:, word + 1])
            after = np.logaddexp(outside[:, word + 1] + closed[:, word + 1], new)
            on = inside[:, word + 1] + opened[:, word + 1]
            last = word >= self.lengths - 1
            closed[:, word] = np.where(last, 0.0, after)
            opened[:, word] = np.where(last[:, None], 0.0, np.logaddexp(after[:, None], on))
        return closed, opened

    @property
    def log_partition(self) -> Floats:
        """(N,): see :func:`log_partition`."""
        return self._forward[0][:, -1]

    def span_probability(self, sentence: int, start: int, end: int, label: int) -> float:
        """How likely it is that words ``start`` to ``end`` (exclusive) are a span of ``label`` that
        begins and ends there."""
        _, begins, inside = self._parts
        score = begins[sentence, start, label] + inside[sentence, start + 1 : end, label].sum()
        around = self._forward[0][sentence, start] + self._backward[0][sentence, end - 1]
        total = self.log_partition[sentence]
        return float(min(1.0, np.exp(around + score - total)))

    def tag_probabilities(self, sentence: int) -> Floats:
        """(words, T): how likely every tag of every word is, whatever the others are."""
        outside, begins, _ = (part[sentence] for part in self._parts)
        before, going, _ = (part[sentence] for part in self._forward)
        closed, opened = (part[sentence] for part in self._backward)
        found = np.empty_like(self.logits[sentence])
        found[:, NO_SPAN] = before[:-1] + outside + closed
        found[:, 1::2] = before[:-1, None] + begins + opened
        found[:, 2::2] = going + opened
        length = self.lengths[sentence]
        return np.exp(np.minimum(found[:length] - self.log_partition[sentence], 0.0))

    def likeliest(self, sentence: int, count: int) -> list[tuple[list[int], float]]:
        """The ``count`` likeliest sequences of tags, or all where they are fewer, best first; each
        with its probability."""
        found = best_sequences(self.logits[sentence, : self.lengths[sentence]], count)
        total = self.log_partition[sentence]
        return [(tags, float(min(1.0, np.exp(score - total)))) for tags, score in found]

    def best(self) -> list[list[int]]:
        """The valid sequence of tags with the highest score, of every sentence."""
        outside, begins, inside = self._parts
        count, words = outside.shape
        tags = np.full_like(self.logits[:, 0], NEVER)  # of the best sequences that end in each tag
        previous = np.zeros((count, words), dtype=np.int64)  # the best tag before O or any B
        starts = np.zeros(begins.shape, dtype=bool)  # whether the tag before I-x is B-x
        rows = np.arange(count)
        ends = np.empty(count, dtype=np.int64)
        for word in range(words):
            best: Floats = np.zeros((count, 1))
            if word:
                previous[:, word] = tags.argmax(-1)
                best = tags[rows, previous[:, word]][:, None]
                starts[:, word] = tags[:, 1::2] >= tags[:, 2::2]
                tags[:, 2::2] = inside[:, word] + np.maximum(tags[:, 1::2], tags[:, 2::2])
            tags[:, :1] = outside[:, word, None] + best
            tags[:, 1::2] = begins[:, word] + best
            over = self.lengths == word + 1
            ends[over] = tags[over].argmax(-1)
        return [
            _walk_back(int(tag), previous[row, :length], starts[row, :length])
            for row, (tag, length) in enumerate(zip(ends, self.lengths.tolist(), strict=True))
        ]


def _walk_back(
    tag: int, previous: npt.NDArray[np.int64], starts: npt.NDArray[np.bool_]
) -> list[int]:
    """The sequence that ends in ``tag``."""
    found = [tag]
    for word in range(len(previous) - 1, 0, -1):
        if tag != NO_SPAN and tag % 2 == 0:
            tag = tag - 1 if starts[word, tag // 2 - 1] else tag
        else:
            tag = int(previous[word])
        found.append(tag)
    return found[::-1]


def _log_sum(scores: Floats) -> Floats:
    """log(sum(exp(scores))) over the last axis, which a task without labels leaves empty."""
    if not scores.shape[-1]:
        return np.full(scores.shape[:-1], NEVER)
    most = scores.max(-1)
    total: Floats = np.log(np.exp(scores - most[..., None]).sum(-1)) + most
    return total
