"""How long runs took, and how long those to come will take."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hyperloader.experiments.plan.grid import Run
from hyperloader.experiments.run.folder import ResultsFolder
from hyperloader.store import read_json, write_text

TIMES = "seconds.json"
_SLOWEST = 0.05  # sentences a second; a slower speed is logged as 0


class Clock:
    """How long a run took, over all the sessions that it needed.

    What a killed session spent after its last validation is not counted: those steps are made
    again. The seconds of the steps alone are had from the logged speed, which leaves validation
    and checkpoints out.
    """

    def __init__(self, folder: Path, batch_size: int, started: float) -> None:
        self.path, self.batch_size, self.started = folder / TIMES, batch_size, started
        before = read_json(self.path) if self.path.is_file() else {}
        self.earlier_training = float(before.get("training", 0.0))
        self.earlier_wall = float(before.get("wall", 0.0))
        self.first, self.training, self.wall = 0, self.earlier_training, self.earlier_wall

    def __call__(self, kind: str, entry: dict[str, Any]) -> None:
        if kind == "train":
            done = (entry["step"] - self.first) * self.batch_size
            self.training = self.earlier_training + done / max(
                entry["sentences_per_second"], _SLOWEST
            )
        else:
            self.save(entry["step"])

    def save(self, step: int) -> None:
        """Keep the times up to now, which are those of ``step`` steps."""
        self.wall = self.earlier_wall + time.monotonic() - self.started
        times = {"step": step, "training": self.training, "wall": self.wall}
        write_text(self.path, json.dumps(times) + "\n")


def remaining_seconds(runs: Sequence[Run], results: ResultsFolder) -> dict[str, float | None]:
    """For each run that is not finished the seconds that are left; None while nothing is known.

    A step is taken to last as long as those of the finished runs of the same system, or of any
    system where there is none yet.
    """
    rates: dict[str, list[float]] = {}
    records = {run.name: results.record(run.name) for run in runs}
    for record in records.values():
        if record is not None and record.result is not None:
            rate = record.result.wall_seconds / record.result.steps
            rates.setdefault(record.system, []).append(rate)
    everything = [rate for each in rates.values() for rate in each]
    left: dict[str, float | None] = {}
    for run in runs:
        record = records[run.name]
        if record is not None and record.status == "done":
            continue
        known = rates.get(run.system, everything)
        times = results.run_folder(run.name) / TIMES
        done = int(read_json(times)["step"]) if times.is_file() else 0
        steps = run.recipe.training.steps - done
        left[run.name] = steps * sum(known) / len(known) if known else None
    return left
