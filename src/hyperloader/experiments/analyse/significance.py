"""Whether one system is better than another: on other sentences, and with other seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hyperloader.errors import HyperloaderError
from hyperloader.experiments.run.counts import Counts

Totals = NDArray[np.float64]
RESAMPLES = 10_000
LEVEL = 0.05
_CHUNK = 200
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


def resample(counts: Counts, *, resamples: int = RESAMPLES, seed: int = 0) -> Totals:
    """Sum counts over all sentences, and over as many drawn with replacement, ``resamples`` times.

    What is to be compared is drawn together, as columns of one call: the same sentences for all
    (Koehn 2004, https://aclanthology.org/W04-3250).

    Args:
        counts: (sentences, columns).

    Returns:
        (1 + resamples, columns): first the sums as measured, then those of each draw.
    """
    random = np.random.default_rng(seed)
    sentences, columns = counts.shape
    totals = np.empty((1 + resamples, columns))
    totals[0] = counts.sum(0)
    weighed = counts.astype(np.float64)  # a product of floats is fast, and exact below 2 ** 53
    for start in range(1, 1 + resamples, _CHUNK):
        rows = min(_CHUNK, 1 + resamples - start)
        drawn = random.integers(0, sentences, (rows, sentences))
        drawn += sentences * np.arange(rows)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * sentences).reshape(rows, sentences)
        totals[start : start + rows] = times.astype(np.float64) @ weighed
    return totals


def paired_bootstrap(first: Sequence[Totals], second: Sequence[Totals]) -> Difference:
    """Compare two systems by micro F1, averaged over corpora.

    ``p`` is two-sided: twice the smaller share of draws in which the difference is not above, or
    not below, zero.

    Args:
        first, second: for each corpus what :func:`resample` makes of the the span counts of the
            two systems, drawn together; (1 + resamples, 3). Over several seeds they are added
            up, so that a sentence is drawn with all of its predictions.
    """
    pairs = zip(first, second, strict=True)
    differences = np.mean([_f1(ours) - _f1(theirs) for ours, theirs in pairs], axis=0)
    measured, drawn = float(differences[0]), differences[1:]
    low, high = np.quantile(drawn, [0.025, 0.975])
    smaller = min((drawn <= 0).sum(), (drawn >= 0).sum())
    p = min(1.0, 2 * (float(smaller) + 1) / (len(drawn) + 1))
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
    try:
        from scipy import stats
    except ImportError as error:
        raise HyperloaderError(
            "a t test over seeds needs scipy; pip install 'hyperloader[experiments]'"
        ) from error
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(1 - LEVEL)
    return Difference(mean, float(interval.low), float(interval.high), float(test.pvalue))


def _f1(totals: Totals) -> Totals:
    """(draws, 3) correct, predicted and gold spans -> (draws,) F1 (0 where undefined)."""
    return 2 * totals[:, 0] / np.maximum(totals[:, 1] + totals[:, 2], 1)
