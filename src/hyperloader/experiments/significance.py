"""Whether one system is better than another: on other sentences, and with other seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from hyperloader.types import Span

Counts = NDArray[np.int64]
RESAMPLES = 10_000
LEVEL = 0.05
_CHUNK = 500
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Difference:
    """F1 of the first less that of the second: as measured, its 95 % interval, and p."""

    value: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether p is below 0.05."""
        return self.p < LEVEL


def span_counts(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> Counts:
    """(sentences, 3): correct, predicted and gold spans of each sentence."""
    rows = [
        (len({*truth} & {*guess}), len(guess), len(truth))
        for truth, guess in zip(gold, predicted, strict=True)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def paired_bootstrap(
    first: Sequence[Counts], second: Sequence[Counts], *, resamples: int = RESAMPLES, seed: int = 0
) -> Difference:
    """Compare two systems by micro F1, averaged over corpora.

    Sentences are drawn with replacement, corpus by corpus, the same ones for both systems (Koehn
    2004, https://aclanthology.org/W04-3250). ``p`` is two-sided: twice the smaller share of
    draws in which the difference is not above, or not below, zero.

    Args:
        first, second: for each corpus the :func:`span_counts` of the two systems; over several
            seeds they are added up, so that a sentence is drawn with all of its predictions.
    """
    random = np.random.default_rng(seed)
    drawn = np.zeros(resamples)
    measured = 0.0
    for ours, theirs in zip(first, second, strict=True):
        both = np.concatenate([ours, theirs], axis=1)
        measured += float(_difference(both.sum(0)[None])[0]) / len(first)
        # Sentences with the same counts are interchangeable: how often each kind is drawn is all.
        kinds, sizes = np.unique(both, axis=0, return_counts=True)
        for start in range(0, resamples, _CHUNK):
            rows = min(_CHUNK, resamples - start)
            times = random.multinomial(len(both), sizes / len(both), size=rows)
            drawn[start : start + rows] += _difference(times @ kinds) / len(first)
    low, high = np.quantile(drawn, [0.025, 0.975])
    smaller = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (float(smaller) + 1) / (resamples + 1))
    return Difference(measured, float(low), float(high), p)


def over_seeds(differences: Sequence[float]) -> Difference | None:
    """The mean of the ``differences`` between two systems' runs with the same seed, by a paired t
    test (two-sided, 95 % interval): what holds for runs with other seeds, as far as so few tell.

    A seed stands for a share of the data, its order and the first weights. None below two seeds.
    """
    if len(differences) < 2:
        return None
    mean = float(np.mean(differences))
    if np.ptp(differences) < _ROUNDING:  # t is infinite, or undefined without a difference
        return Difference(mean, mean, mean, 0.0 if abs(mean) >= _ROUNDING else 1.0)
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(1 - LEVEL)
    return Difference(mean, float(interval.low), float(interval.high), float(test.pvalue))


def _difference(totals: NDArray[np.int64]) -> NDArray[np.float64]:
    """(draws, 6) summed counts of two systems -> (draws,) difference of F1 (0 where undefined)."""
    f1 = [
        2 * part[:, 0] / np.maximum(part[:, 1] + part[:, 2], 1)
        for part in (totals[:, :3], totals[:, 3:])
    ]
    return f1[0] - f1[1]
