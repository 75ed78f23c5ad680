"""Comparing the systems of a study by their kept predictions."""

from functools import cache

import numpy as np

from hyperloader.experiments.analyse.sentences import Gold
from hyperloader.experiments.analyse.significance import (
    Counts,
    Difference,
    Totals,
    paired_bootstrap,
    resample,
    span_counts,
)
from hyperloader.experiments.analyse.study import Study


class Comparison:
    """Differences between systems, over the seeds that both have finished.

    Without ``gold`` spans nothing can be compared: every difference is None.
    """

    def __init__(self, study: Study, gold: Gold | None) -> None:
        self.study = study
        self.gold = gold or {}
        self._counts = cache(self._count)
        self._totals = cache(self._resample)

    def difference(
        self, first: str, second: str, fraction: float, tasks: tuple[str, ...]
    ) -> Difference | None:
        """F1 of ``first`` less that of ``second``, averaged over ``tasks``.

        The predictions of all seeds that both have for all ``tasks`` are pooled; None without
        such a seed.
        """
        if not self.gold:
            return None
        totals = [self._totals(fraction, task) for task in tasks]
        seeds = [
            seed
            for seed in self.study.seeds(first, fraction)
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

    def _resample(self, fraction: float, task: str) -> dict[tuple[str, int], Totals]:
        """Of every finished (system, seed), all with the same draws of the corpus's sentences."""
        counts = {
            (system, seed): self._counts(system, fraction, seed)[task]
            for system in self.study.systems(fraction)
            for seed in self.study.f1(system, fraction, task)
        }
        if not counts:
            return {}
        # The corpora have nothing to do with each other: each is drawn from by a seed of its own.
        totals = resample(
            np.concatenate(list(counts.values()), axis=1), seed=self.study.tasks.index(task)
        )
        return dict(zip(counts, np.split(totals, len(counts), axis=1), strict=True))

    def _count(self, system: str, fraction: float, seed: int) -> dict[str, Counts]:
        predicted = self.study.predicted(system, fraction, seed)
        return {task: span_counts(self.gold[task], spans) for task, spans in predicted.items()}
