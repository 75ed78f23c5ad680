"""Validation F1 along the way: learning curves, and whether they are still rising."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from hyperloader.experiments.analyse.results import Results, Summary
from hyperloader.experiments.run.record import Result

FLAT = 0.005  # less change than this over the last quarter of the steps is no change


@dataclass(frozen=True, slots=True)
class Point:
    """One validation, a mean over seeds: ``seconds`` are those of the steps up to it."""

    step: float
    seconds: float
    f1: Summary


def curve(results: Results, system: str, fraction: float) -> list[Point]:
    """Validation F1 of a system against steps, over the seeds with all corpora.

    A run's training seconds are spread evenly over its steps. Of a system with one model a
    corpus, the k-th validations of all models make one point: steps and seconds added up, F1
    averaged. Where runs differ in their number of validations the last ones are taken.
    """
    seeds = [
        _of_seed(
            [results.result(system, fraction, seed, task) for task in _models(results, system)]
        )
        for seed in results.average(system, fraction)
    ]
    return [
        Point(
            fmean(p[0] for p in points),
            fmean(p[1] for p in points),
            Summary(fmean(f1), None if len(f1) < 2 else float(np.std(f1, ddof=1)), len(f1)),
        )
        for points in _aligned(seeds)
        for f1 in [[p[2] for p in points]]
    ]


def learning(points: Sequence[Point]) -> str:
    """Whether a curve has flattened: how much F1 changed over the last quarter of the steps.

    F1 at three quarters of the steps is read off the straight line between two validations.
    """
    if len(points) < 2 or points[0].step > 0.75 * points[-1].step:
        return "too few validations to tell"
    steps, f1 = [p.step for p in points], [p.f1.mean for p in points]
    change = f1[-1] - float(np.interp(0.75 * steps[-1], steps, f1))
    word = "flat" if abs(change) < FLAT else "still rising" if change > 0 else "falling"
    return f"{word}: {change:+.3f} over the last quarter".replace("-", "−")


def _models(results: Results, system: str) -> Sequence[str]:
    """A corpus of each model."""
    return results.tasks if results.apart(system) else results.tasks[:1]


def _of_seed(results: Sequence[Result | None]) -> list[tuple[float, float, float]]:
    """(step, seconds, F1) of all models of one seed together."""
    models = [
        [_point(result, entry) for entry in result.validation]
        for result in results
        if result is not None
    ]
    return [
        (sum(p[0] for p in points), sum(p[1] for p in points), fmean(p[2] for p in points))
        for points in _aligned(models)
    ]


def _point(result: Result, entry: dict[str, Any]) -> tuple[float, float, float]:
    return entry["step"], result.training_seconds * entry["step"] / result.steps, entry["f1"]


def _aligned(
    curves: Sequence[Sequence[tuple[float, float, float]]],
) -> list[tuple[tuple[float, float, float], ...]]:
    """The k-th points of all curves together; of unequally long ones the last points."""
    shortest = min((len(c) for c in curves), default=0)
    return list(zip(*(c[len(c) - shortest :] for c in curves), strict=True))
