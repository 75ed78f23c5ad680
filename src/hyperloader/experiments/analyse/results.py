"""The results of an experiment, run by run: system, share of the data, seed, corpus."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from hyperloader.experiments.plan.grid import run_name
from hyperloader.experiments.run.folder import Metadata, ResultsFolder, planned
from hyperloader.experiments.run.record import Record, Result
from hyperloader.types import Span

Key = tuple[str, float, int, str]
Mode = Literal["default", "strict"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean over ``seeds`` seeds and their standard deviation (None below two)."""

    mean: float
    deviation: float | None
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Summary | None":
        """The summary of ``values``; None of none."""
        if not values:
            return None
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation, len(values))


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of one model (the mean where there is one per corpus), and of all models together."""

    trainable: float
    total: float
    models: int
    trainable_of_all: int

    @property
    def percent(self) -> float:
        """The trained share of one model, in percent."""
        return 100 * self.trainable / self.total


@dataclass(frozen=True, slots=True)
class Results:
    """What is planned in a folder of results, and the record of each run (None: missing)."""

    folder: ResultsFolder
    metadata: Metadata
    records: Mapping[Key, Record | None]

    @classmethod
    def of(cls, folder: ResultsFolder) -> "Results":
        """Read the folder. Raises ConfigError when it holds no experiment."""
        metadata, records = folder.metadata(), folder.records()
        return cls(folder, metadata, {k: records.get(run_name(*k)) for k in planned(metadata)})

    @property
    def tasks(self) -> tuple[str, ...]:
        """The corpora."""
        return tuple(self.metadata.corpora)

    @property
    def fractions(self) -> list[float]:
        """The shares of the data that are planned, ascending."""
        return sorted({fraction for _, fraction, _, _ in self.records})

    @property
    def reached(self) -> list[float]:
        """The shares of the data with at least one finished run, ascending."""
        done = {k[1] for k, r in self.records.items() if r is not None and r.result is not None}
        return sorted(done)

    def systems(self, fraction: float | None = None) -> list[str]:
        """The systems that are planned (for a share), in the order of the experiment files."""
        chosen = [k[0] for k in self.records if fraction in (None, k[1])]
        return list(dict.fromkeys(chosen))

    def apart(self, system: str) -> bool:
        """Whether the system has one model per corpus."""
        return any(key[0] == system and key[3] for key in self.records)

    def seeds(self, system: str, fraction: float) -> list[int]:
        """The seeds that are planned."""
        return sorted({k[2] for k in self.records if k[:2] == (system, fraction)})

    def without_result(self) -> dict[str, str]:
        """The runs that have no scores: name -> ``missing`` or the error."""
        return {
            run_name(*key): "missing" if record is None else record.error or "failed"
            for key, record in self.records.items()
            if record is None or record.result is None
        }

    def result(self, system: str, fraction: float, seed: int, task: str) -> Result | None:
        """What the model for ``task`` measured; None while there is none."""
        key = (system, fraction, seed, task if self.apart(system) else "")
        record = self.records.get(key)
        return None if record is None else record.result

    def f1(
        self, system: str, fraction: float, task: str, mode: Mode = "default"
    ) -> dict[int, float]:
        """F1 on a corpus's test part by seed, of the seeds that are finished."""
        found = {
            seed: self.result(system, fraction, seed, task) for seed in self.seeds(system, fraction)
        }
        return {s: getattr(o.scores[task], mode).f1 for s, o in found.items() if o is not None}

    def average(self, system: str, fraction: float, mode: Mode = "default") -> dict[int, float]:
        """Unweighted mean F1 over the corpora by seed, of the seeds with all corpora."""
        each = [self.f1(system, fraction, task, mode) for task in self.tasks]
        whole = [s for s in self.seeds(system, fraction) if all(s in f1 for f1 in each)]
        return {seed: statistics.fmean(f1[seed] for f1 in each) for seed in whole}

    def differences(self, first: str, second: str, fraction: float) -> dict[int, float]:
        """Average F1 of ``first`` less that of ``second`` by seed, of the seeds that both have."""
        ours, theirs = self.average(first, fraction), self.average(second, fraction)
        return {seed: f1 - theirs[seed] for seed, f1 in ours.items() if seed in theirs}

    def parameters(self, system: str, fraction: float) -> Parameters | None:
        """Trained and total parameters of the first seed that is finished."""
        for seed in self.average(system, fraction):
            found = self._results(system, fraction, seed)
            return Parameters(
                statistics.fmean(o.trainable for o in found),
                statistics.fmean(o.total for o in found),
                len(found),
                sum(o.trainable for o in found),
            )
        return None

    def training_seconds(self, system: str, fraction: float) -> list[float]:
        """Of each finished seed, all its models together."""
        return [
            sum(o.training_seconds for o in self._results(system, fraction, seed))
            for seed in self.average(system, fraction)
        ]

    def _results(self, system: str, fraction: float, seed: int) -> list[Result]:
        tasks = self.tasks if self.apart(system) else self.tasks[:1]
        found = [self.result(system, fraction, seed, task) for task in tasks]
        return [result for result in found if result is not None]

    def training_sentences(self, task: str, fraction: float) -> int | None:
        """How many sentences of ``task`` systems were trained on, as
        :func:`hyperloader.corpora.splits.subsample` draws them; None where it is not recorded."""
        whole = self.metadata.training_sentences.get(task)
        return whole and max(1, math.floor(whole * Fraction(str(fraction))))

    def predicted(
        self, system: str, fraction: float, seed: int
    ) -> dict[str, list[tuple[Span, ...]]]:
        """The predictions for the test part of every corpus that is finished.

        Raises:
            DataError: the runs are packed, which leaves predictions out.
        """
        finished = [t for t in self.tasks if self.result(system, fraction, seed, t) is not None]
        models = finished if self.apart(system) else [""] if finished else []
        return {
            task: spans
            for model in models
            for task, spans in self.folder.predictions(
                run_name(system, fraction, seed, model)
            ).items()
        }
