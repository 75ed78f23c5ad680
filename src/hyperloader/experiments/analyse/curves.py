"""Validation F1 on the way: learning curves, systems at equal time, and who is still learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np

from hyperloader.experiments.analyse.study import Study, Summary
from hyperloader.experiments.report.content import MISSING, share, title
from hyperloader.experiments.report.tables import TextTable, cells
from hyperloader.experiments.run.record import Outcome

FLAT = 0.005  # less change than this over the last quarter of the steps is no change


@dataclass(frozen=True, slots=True)
class Point:
    """One validation, a mean over seeds: ``seconds`` are those of the steps up to it."""

    step: float
    seconds: float
    f1: Summary


def curve(study: Study, system: str, fraction: float) -> list[Point]:
    """Validation F1 of a system against steps, over the seeds with all corpora.

    A run's training seconds are spread evenly over its steps. Of a system with one model a
    corpus, the k-th validations of all models make one point: steps and seconds added up, F1
    averaged. Where runs differ in their number of validations the last ones are taken.
    """
    seeds = [
        _of_seed([study.outcome(system, fraction, seed, task) for task in _models(study, system)])
        for seed in study.average(system, fraction)
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


def equal_time_table(study: Study, fraction: float) -> TextTable | None:
    """Validation F1 after equally many sentences and after equal time; None without a curve."""
    curves = {system: curve(study, system, fraction) for system in study.systems(fraction)}
    seconds = {system: points[-1].seconds for system, points in curves.items() if points}
    if not seconds:
        return None
    fastest = min(seconds, key=seconds.__getitem__)
    limit = seconds[fastest]
    rows = []
    for system, points in curves.items():
        name = title(study, system)
        if not points:
            rows.append(cells(name, *[MISSING] * 5))
            continue
        before = [point for point in points if point.seconds <= limit * (1 + 1e-9)]
        rows.append(
            cells(
                name,
                _f1(points[-1].f1),
                f"{points[-1].step:,.0f}",
                f"{seconds[system]:,.0f}",
                _f1(before[-1].f1) if before else "no validation yet",
                f"{before[-1].step:,.0f}" if before else "",
            )
        )
    caption = (
        f"Validation F1 with {share(fraction)} of the data. At equal examples: at the last "
        f"validation, when all systems have seen as many sentences. At equal time: at the last "
        f"validation within {limit:,.0f} s, which is all that the fastest system "
        f"({title(study, fastest)}) took. Means ± standard deviations over the finished seeds. "
        "Seconds are those of the training steps alone, spread evenly over a run's steps; those "
        "of runs that shared their machine with other work compare badly."
    )
    header = ["system", "equal examples", "steps", "seconds", "equal time", "steps by then"]
    return TextTable(caption, header, rows)


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


def learning_lines(study: Study, fraction: float) -> list[str]:
    """A sentence for each system with a result."""
    curves = {system: curve(study, system, fraction) for system in study.systems(fraction)}
    return [f"{title(study, s)}: {learning(points)}" for s, points in curves.items() if points]


def _models(study: Study, system: str) -> Sequence[str]:
    """A corpus of each model."""
    return study.tasks if study.apart(system) else study.tasks[:1]


def _of_seed(outcomes: Sequence[Outcome | None]) -> list[tuple[float, float, float]]:
    """(step, seconds, F1) of all models of one seed together."""
    models = [
        [_point(outcome, entry) for entry in outcome.validation]
        for outcome in outcomes
        if outcome is not None
    ]
    return [
        (sum(p[0] for p in points), sum(p[1] for p in points), fmean(p[2] for p in points))
        for points in _aligned(models)
    ]


def _point(outcome: Outcome, entry: dict[str, Any]) -> tuple[float, float, float]:
    return entry["step"], outcome.training_seconds * entry["step"] / outcome.steps, entry["f1"]


def _aligned(
    curves: Sequence[Sequence[tuple[float, float, float]]],
) -> list[tuple[tuple[float, float, float], ...]]:
    """The k-th points of all curves together; of unequally long ones the last points."""
    shortest = min((len(c) for c in curves), default=0)
    return list(zip(*(c[len(c) - shortest :] for c in curves), strict=True))


def _f1(f1: Summary) -> str:
    return f"{f1.mean:.4f}" + ("" if f1.deviation is None else f" ± {f1.deviation:.4f}")
