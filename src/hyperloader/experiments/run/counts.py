"""Span counts of every sentence: what a test over sentences needs of a run's predictions."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hyperloader.errors import CheckpointError
from hyperloader.store import disk_error
from hyperloader.types import Span

COUNTS = "counts.npz"

Counts = NDArray[np.int64]
RunCounts = Mapping[str, Mapping[str, Counts]]


def span_counts(gold: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span]]) -> Counts:
    """(sentences, 3): true positives, predicted and gold spans of each sentence."""
    rows = [
        (len({*truth} & {*guess}), len(guess), len(truth))
        for truth, guess in zip(gold, predicted, strict=True)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def write_counts(path: Path, counts: RunCounts) -> None:
    """Write the counts of every run: run -> task -> (sentences, 3).

    The file has two arrays for each task: ``runs/TASK``, the names of its runs, and
    ``counts/TASK``, (sentences, runs, 3), in which neighbours are alike and compress well.
    """
    arrays: dict[str, NDArray[np.generic]] = {}
    for task in dict.fromkeys(task for each in counts.values() for task in each):
        runs = [run for run, each in counts.items() if task in each]
        stacked = np.stack([counts[run][task] for run in runs], axis=1)
        arrays[f"runs/{task}"] = np.array(runs)
        arrays[f"counts/{task}"] = stacked.astype(np.min_scalar_type(stacked.max(initial=0)))
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(file.getvalue())
        temporary.replace(path)
    except OSError as error:
        raise disk_error(path, error) from error


def read_counts(path: Path) -> dict[str, dict[str, Counts]]:
    """What :func:`write_counts` wrote. Raises CheckpointError when it is missing or damaged."""
    counts: dict[str, dict[str, Counts]] = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            for key in arrays.files:
                kind, _, task = key.partition("/")
                if kind != "counts":
                    continue
                stacked = arrays[key].astype(np.int64)
                for i, run in enumerate(arrays[f"runs/{task}"].tolist()):
                    counts.setdefault(run, {})[task] = stacked[:, i]
    except (OSError, EOFError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); use another copy") from error
    return counts
