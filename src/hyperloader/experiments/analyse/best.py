"""The best trial of each method, where systems are called METHOD@TRIAL."""

import statistics
from dataclasses import dataclass

import yaml

from hyperloader.errors import ConfigError
from hyperloader.experiments.analyse.results import Results
from hyperloader.experiments.plan.spec import System
from hyperloader.experiments.run.folder import ResultsFolder

SIGN = "@"


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials of a method in the order of the file: mean F1 over corpora, shares and seeds.

    None where not all of its runs are finished.
    """

    f1: dict[str, float | None]
    systems: dict[str, System]

    @property
    def best(self) -> str | None:
        """The trial with the highest F1, the first of equals; None when none is finished."""
        finished = {trial: f1 for trial, f1 in self.f1.items() if f1 is not None}
        return max(finished, key=finished.__getitem__, default=None)

    @property
    def at_the_edge(self) -> bool:
        """Whether what lies beyond the best trial has not been tried."""
        return self.best in (next(iter(self.f1)), next(reversed(self.f1)))


def trials(folder: ResultsFolder) -> dict[str, Trials]:
    """The trials of every method in a folder of results.

    Raises:
        ConfigError: the folder holds no experiment, or no system is called METHOD@TRIAL.
    """
    results = Results.of(folder)
    systems = {
        name: system
        for design in results.metadata.experiments.values()
        for name, system in design.systems.items()
        if SIGN in name
    }
    if not systems:
        raise ConfigError(
            f"no system in {folder.path} is called METHOD{SIGN}TRIAL; the experiment rates has "
            "such systems"
        )
    found: dict[str, dict[str, System]] = {}
    for name, system in systems.items():
        method, _, trial = name.partition(SIGN)
        found.setdefault(method, {})[trial] = system
    return {
        method: Trials(
            {trial: _mean(results, f"{method}{SIGN}{trial}") for trial in mine},
            mine,
        )
        for method, mine in found.items()
    }


def best_lines(folder: ResultsFolder) -> list[str]:
    """Each method's best trial as a line of an experiment file's ``systems``.

    The comment above it gives the F1 of all its trials and says what they leave open.
    Raises as :func:`trials`.
    """
    lines = []
    for method, mine in trials(folder).items():
        scores = ", ".join(
            f"{trial} {'missing' if f1 is None else f'{f1:.4f}'}" for trial, f1 in mine.f1.items()
        )
        edge = "; the best is at the edge of what was tried" if mine.at_the_edge else ""
        lines.append(f"# {method}: {scores}{edge}")
        if mine.best is not None:
            lines.append(f"{method}: {_flow(mine.systems[mine.best])}")
    return lines


def _mean(results: Results, system: str) -> float | None:
    each: list[float] = []
    for fraction in results.fractions:
        if planned := results.seeds(system, fraction):
            f1 = results.average(system, fraction)
            if set(f1) != set(planned):
                return None
            each += f1.values()
    return statistics.fmean(each)


def _flow(system: System) -> str:
    tasks = {"tasks": system.tasks} if system.tasks != "together" else {}
    settings = {**system.set, **tasks}
    text = yaml.safe_dump(settings, default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip()
