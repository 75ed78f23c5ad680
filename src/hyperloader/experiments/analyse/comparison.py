"""Comparing the systems of an experiment by the span counts of every sentence."""

from functools import cache

import numpy as np

from hyperloader.experiments.analyse.results import Results
from hyperloader.experiments.analyse.significance import (
    Difference,
    Totals,
    paired_bootstrap,
    resample,
)
from hyperloader.experiments.plan.grid import run_name


class Comparison:
    """Differences between systems, over the seeds that both have finished.

    Where the folder has neither counts nor gold spans to count by, ``counts`` is empty, nothing
    can be compared, and every difference is None.
    """

    def __init__(self, results: Results) -> None:
        self.results = results
        self.counts = results.folder.counts()
        self._totals = cache(self._resample)

    def difference(
        self, first: str, second: str, fraction: float, tasks: tuple[str, ...]
    ) -> Difference | None:
        """F1 of ``first`` less that of ``second``, averaged over ``tasks``.

        The predictions of all seeds that both have for all ``tasks`` are pooled; None without
        such a seed.
        """
        if not self.counts:
            return None
        totals = [self._totals(fraction, task) for task in tasks]
        seeds = [
            seed
            for seed in self.results.seeds(first, fraction)
            if all((system, seed) in each for system in (first, second) for each in totals)
        ]
        if not seeds:
            return None
        ours, theirs = (
            [np.sum([each[system, seed] for seed in seeds], axis=0) for each in totals]
            for system in (first, second)
        )
        return paired_bootstrap(ours, theirs)

    def best(self, fraction: float, tasks: tuple[str, ...]) -> str | None:
        """The system with the highest mean F1, if it is significantly above the second."""
        means = {}
        for system in self.results.systems(fraction):
            one = len(tasks) == 1
            f1 = (
                self.results.f1(system, fraction, tasks[0])
                if one
                else self.results.average(system, fraction)
            )
            if f1:
                means[system] = sum(f1.values()) / len(f1)
        ranked = sorted(means, key=means.__getitem__, reverse=True)
        if len(ranked) < 2:
            return None
        found = self.difference(ranked[0], ranked[1], fraction, tasks)
        return ranked[0] if found and found.significant and found.value > 0 else None

    def _resample(self, fraction: float, task: str) -> dict[tuple[str, int], Totals]:
        """Of every finished (system, seed), all with the same draws of the corpus's sentences."""
        runs = {
            (system, seed): run_name(
                system, fraction, seed, task if self.results.apart(system) else ""
            )
            for system in self.results.systems(fraction)
            for seed in self.results.f1(system, fraction, task)
        }
        counts = {key: self.counts[run][task] for key, run in runs.items() if run in self.counts}
        if not counts:
            return {}
        # The corpora have nothing to do with each other: each is drawn from by a seed of its own.
        totals = resample(
            np.concatenate(list(counts.values()), axis=1), seed=self.results.tasks.index(task)
        )
        return dict(zip(counts, np.split(totals, len(counts), axis=1), strict=True))
