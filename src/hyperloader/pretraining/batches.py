"""Which sequences make up a step, and what is hidden in them: a function of seed and step."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from hyperloader.errors import ConfigError, DataError
from hyperloader.pretraining.objectives import (
    Ids,
    Pair,
    Symbols,
    Words,
    copy_words,
    corrupt_spans,
    hide_words,
    noise_counts,
    padded,
    pick_words,
    segment_length,
    shuffle_words,
    split_words,
)
from hyperloader.pretraining.prepared import HELD_OUT, Prepared
from hyperloader.pretraining.recipe import Objective, ObjectivesSection
from hyperloader.pretraining.text import factors
from hyperloader.training.sampler import TaskSampler


@dataclass(frozen=True, slots=True)
class DenoisingBatch:
    """``source`` and ``target``: (rows, length), padded; lengths depend on the objective alone.

    ``words``: of each row, before any was hidden; None for ``spans``.
    """

    objective: Objective
    source: Ids
    target: Ids
    words: tuple[Words | None, ...]


class Corruption:
    """Makes pairs of text to restore.

    Args:
        symbols: of the tokenizer.
        section: the recipe's ``objectives``.

    Raises:
        ConfigError: the tokenizer has too few sentinels for the sequence length.
    """

    def __init__(self, symbols: Symbols, section: ObjectivesSection) -> None:
        self.symbols, self.section = symbols, section
        self.segment, self.span_target = segment_length(
            section.source_tokens, section.noise, section.mean_span
        )
        _, spans = noise_counts(self.segment, section.noise, section.mean_span)
        if spans > len(symbols.sentinels):
            raise ConfigError(
                f"sources of {section.source_tokens} tokens have {spans} hidden spans, the "
                f"tokenizer {len(symbols.sentinels)} sentinels; lower objectives.source_tokens "
                "or raise tokenizer.sentinels"
            )

    def pair(
        self, objective: Objective, ids: Ids, random: Generator, *, shuffled: bool = False
    ) -> Pair:
        """One text of 1 to ``segment`` ids as source and target.

        Args:
            shuffled: put the words of ``words`` and ``copy`` in random order.
        """
        section, symbols = self.section, self.symbols
        if objective == "spans":
            _, spans = noise_counts(len(ids), section.noise, section.mean_span)
            return corrupt_spans(
                ids,
                symbols,
                random,
                noise=section.noise,
                mean_span=section.mean_span,
                first=self._first(spans, random),
            )
        words = split_words(ids, symbols)
        if shuffled:
            words = shuffle_words(words, random)
        words = pick_words(words, symbols, random, section.source_tokens)
        first = self._first(len(words.starts) + 1, random)
        if objective == "copy":
            return copy_words(words, symbols, first=first)
        return hide_words(
            words,
            symbols,
            random,
            share=section.hidden_words,
            swapped=section.swapped_words,
            restore=objective == "restore",
            first=first,
        )

    def batch(self, objective: Objective, pairs: list[Pair]) -> DenoisingBatch:
        """Pairs as arrays of the objective's shape."""
        width = self.section.source_tokens
        target = self.span_target if objective == "spans" else width
        return DenoisingBatch(
            objective,
            padded([pair.source for pair in pairs], width, self.symbols.pad),
            padded([pair.target for pair in pairs], target, self.symbols.pad),
            tuple(pair.words for pair in pairs),
        )

    def _first(self, needed: int, random: Generator) -> int:
        if random.random() >= self.section.random_first:
            return 0
        return int(random.integers(len(self.symbols.sentinels) - needed + 1))


class Sequences:
    """The sequences of every step.

    Each source is cut into segments of one length (the last one reaches back to be as long as
    the others). A row's source is drawn by size and weight; all segments of a source come once,
    in a new order each time, before any comes again.

    Args:
        prepared: the text.
        corruption: how it is hidden.
        weights: the recipe's ``text.weights``.
        batch_size: rows of a step over all processes.

    Raises:
        DataError: all that is to be read was held out.
    """

    def __init__(
        self,
        prepared: Prepared,
        corruption: Corruption,
        weights: Mapping[str, float],
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self.corruption, self.seed = corruption, seed
        names = [name for name in prepared.counts if name != HELD_OUT]
        factor = factors(names, weights)
        used = [name for name in names if factor[name] > 0 and prepared.counts[name] > 0]
        if not used:
            raise DataError(
                "no text is left besides the held-out lines; give more", prepared.folder
            )
        self.texts = {name: prepared.tokens(name) for name in used}
        length = corruption.segment
        self.sampler = TaskSampler(
            {name: -(-len(text) // length) for name, text in self.texts.items()},
            batch_size=batch_size,
            mixed=True,
            seed=seed,
        )
        shares = np.array([len(self.texts[n]) * factor[n] for n in self.sampler.tasks], dtype=float)
        self.sampler.probabilities = shares / shares.sum()
        mix = {k: v for k, v in corruption.section.mix.items() if v > 0}
        self._objectives: list[Objective] = sorted(mix)
        self._shares = np.array([mix[name] for name in self._objectives])

    def step(self, number: int, rank: int = 0, world: int = 1) -> DenoisingBatch:
        """The rows of one process at step ``number``. Call it for 1, 2, 3, … in order.

        All rows of a step share an objective, and so a shape.
        """
        random = np.random.default_rng([self.seed, number, 1])
        objective = self._objectives[
            int(random.choice(len(self._objectives), p=self._shares / self._shares.sum()))
        ]
        pairs = []
        for row, (name, segment) in enumerate(self.sampler.step(number)):
            if row % world == rank:
                ids = cut(self.texts[name], segment, self.corruption.segment)
                random = np.random.default_rng([self.seed, number, 2, row])
                pairs.append(self.corruption.pair(objective, ids, random))
        return self.corruption.batch(objective, pairs)


def cut(text: np.ndarray, segment: int, length: int) -> Ids:
    """Segment number ``segment`` of ``text``; the last one reaches back to its full length."""
    start = max(0, min(segment * length, len(text) - length))
    return text[start : start + length].astype(np.int64)


def held_out_pairs(
    prepared: Prepared, corruption: Corruption, objective: Objective, count: int
) -> list[Pair]:
    """At most ``count`` pairs of the held-out text, evenly spread over it; always the same.

    For ``copy`` the words are in random order, so that only alignment by sentinel can tell the
    next one.
    """
    text = prepared.tokens(HELD_OUT)
    segments = -(-len(text) // corruption.segment)
    chosen = np.unique(np.linspace(0, segments - 1, min(count, segments)).round().astype(int))
    pairs = []
    for number in chosen:
        random = np.random.default_rng([zlib.crc32(objective.encode()), int(number)])
        ids = cut(text, int(number), corruption.segment)
        pairs.append(corruption.pair(objective, ids, random, shuffled=objective == "copy"))
    return pairs
