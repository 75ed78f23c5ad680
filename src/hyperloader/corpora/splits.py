"""Seeded draws from a corpus: a validation part where none is published, and low-resource parts."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from hyperloader.corpora.corpus import Corpus
from hyperloader.types import Example

HELD_OUT = Fraction(1, 10)
SUBSAMPLED = ("train", "validation")


def draw(size: int, count: int, seed: int, purpose: str) -> list[int]:
    """``count`` of ``range(size)``, ascending, at random by ``seed`` and ``purpose``.

    A larger count of the same draw contains the smaller one. Only ``random.random`` is used: its
    sequence is the same in every Python version, that of ``sample`` and ``shuffle`` need not be.
    """
    generator = random.Random(f"{seed}/{purpose}")
    keys = [generator.random() for _ in range(size)]
    return sorted(sorted(range(size), key=keys.__getitem__)[:count])


def hold_out(
    train: Sequence[Example], indices: Sequence[int]
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """``train`` without the examples at ``indices``, and those examples, both in file order."""
    held = set(indices)
    rest = tuple(example for i, example in enumerate(train) if i not in held)
    return rest, tuple(example for i, example in enumerate(train) if i in held)


def draw_validation(size: int, seed: int) -> list[int]:
    """Indices of a tenth of ``size`` training sentences, rounded up; none when ``size`` is 1.

    Sampled, never sliced: restaurant's training file is sorted.
    """
    return draw(size, math.ceil(size * HELD_OUT) if size > 1 else 0, seed, "hold out")


def subsample(corpus: Corpus, fraction: float, seed: int = 42) -> Corpus:
    """The corpus with a ``fraction`` of its train and validation parts; test stays whole.

    A part of n sentences keeps floor(n * fraction), at least one: over the paper's seven corpora
    8,644, 17,291 and 43,236 training sentences for 0.1, 0.2 and 0.5. With the same seed the
    smaller fraction lies inside the larger, and sentences keep their order.
    Raises ValueError unless 0 < fraction <= 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"a fraction lies in (0, 1], not {fraction}")
    exact = Fraction(str(fraction))  # 0.29 * 100 is below 29 in floating point
    splits = dict(corpus.splits)
    for part in SUBSAMPLED:
        examples = splits.get(part, ())
        count = min(len(examples), max(1, math.floor(len(examples) * exact)))
        kept = draw(len(examples), count, seed, part)
        splits[part] = tuple(examples[i] for i in kept)
    return replace(corpus, splits=splits)
