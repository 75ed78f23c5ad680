"""Comparing the systems of a study by their kept predictions."""

from functools import cache

import numpy as np

from hyperloader.experiments.sentences import Gold
from hyperloader.experiments.significance import (
    Counts,
    Difference,
    paired_bootstrap,
    span_counts,
)
from hyperloader.experiments.study import Study


class Comparison:
    """Differences between systems, over the seeds that both have finished.

    Without ``gold`` spans nothing can be compared: every difference is None.
    """

    def __init__(self, study: Study, gold: Gold | None) -> None:
        self.study = study
        self.gold = gold or {}
        self._counts = cache(self._count)

    def difference(
        self, first: str, second: str, fraction: float, tasks: tuple[str, ...]
    ) -> Difference | None:
        """F1 of ``first`` less that of ``second``, averaged over ``tasks``.

        The predictions of all seeds that both have for all ``tasks`` are pooled; None without
        such a seed.
        """
        if not self.gold:
            return None
        finished = [
            set(self.study.f1(system, fraction, task))
            for system in (first, second)
            for task in tasks
        ]
        if not (seeds := sorted(set.intersection(*finished))):
            return None
        first_counts, second_counts = (
            [
                np.sum([self._counts(system, fraction, seed, task) for seed in seeds], axis=0)
                for task in tasks
            ]
            for system in (first, second)
        )
        return paired_bootstrap(first_counts, second_counts)

    def best(self, fraction: float, tasks: tuple[str, ...]) -> str | None:
        """The system with the highest mean F1, if it is significantly above the second."""
        means = {}
        for system in self.study.systems(fraction):
            one = len(tasks) == 1
            f1 = (
                self.study.f1(system, fraction, tasks[0])
                if one
                else self.study.average(system, fraction)
            )
            if f1:
                means[system] = sum(f1.values()) / len(f1)
        ranked = sorted(means, key=means.__getitem__, reverse=True)
        if len(ranked) < 2:
            return None
        found = self.difference(ranked[0], ranked[1], fraction, tasks)
        return ranked[0] if found and found.significant and found.value > 0 else None

    def _count(self, system: str, fraction: float, seed: int, task: str) -> Counts:
        return span_counts(self.gold[task], self.study.predicted(system, fraction, seed, task))
