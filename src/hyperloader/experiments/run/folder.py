"""The folder of an experiment's results: running, packed, or packed and continued.

While an experiment runs, ``runs/NAME`` holds each run's record, log, checkpoints and predictions.
Packed, the folder holds two files instead, ``runs.jsonl`` and ``counts.npz``. Whoever reads results
reads records and counts, from whichever of the two has them.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from hyperloader.builtin import backbone_path
from hyperloader.config import Recipe, Section, parse_model
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import ConfigError, DataError
from hyperloader.experiments.plan.data import corpus_hash
from hyperloader.experiments.plan.grid import Run, run_name
from hyperloader.experiments.plan.spec import Experiment, Score, Settings, System, differences
from hyperloader.experiments.run.counts import (
    COUNTS,
    Counts,
    read_counts,
    span_counts,
    write_counts,
)
from hyperloader.experiments.run.record import (
    PREDICTIONS,
    RECORDS,
    Record,
    Spans,
    read_record,
    read_records,
    read_spans,
    write_records,
    write_spans,
)
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS
from hyperloader.store import file_hash, read_json, write_text
from hyperloader.types import Span

METADATA = "experiment.json"
GOLD = "gold.json.gz"
RUNS = "runs"
_WEIGHTS = "model.safetensors"


class Design(Section):
    """What one experiment file plans in a folder of results: every combination of these."""

    systems: dict[str, System]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]


class Metadata(Section):
    """``experiment.json``: what all runs of a folder share, and which runs are planned.

    ``base`` is the recipe's differences from its defaults, ``corpora`` a hash of each corpus,
    ``backbone`` a hash of its weights where they lie in a folder; ``training_sentences`` counts
    those of each corpus before a share is drawn (folders made by older versions have none);
    ``score`` is the part of the corpora that systems are scored on; ``predictions`` says where
    logs and predictions of packed runs can be found.
    """

    data: str
    corpora: dict[str, str]
    recipe: str
    budget: str
    base: Settings
    backbone: str | None
    training_sentences: dict[str, int] = Field(default_factory=dict)
    score: Score = "test"
    predictions: str | None = None
    experiments: dict[str, Design] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResultsFolder:
    """``experiment.json``, and the runs: ``runs/NAME`` with the gold spans, packed, or both."""

    path: Path

    def run_folder(self, name: str) -> Path:
        """Where the run called ``name`` lies or will lie."""
        return self.path / RUNS / name

    def record(self, name: str) -> Record | None:
        """What is kept of a run; None when it has not ended."""
        return read_record(self.run_folder(name)) or read_records(self.path / RECORDS).get(name)

    def records(self) -> dict[str, Record]:
        """The records of all runs that have ended, by name; a run's folder before its packed one.

        Raises:
            CheckpointError: a damaged record.
        """
        folders = sorted((self.path / RUNS).glob("*/"))
        found = {folder.name: read_record(folder) for folder in folders}
        return {
            **read_records(self.path / RECORDS),
            **{name: record for name, record in found.items() if record is not None},
        }

    def counts(self) -> dict[str, dict[str, Counts]]:
        """Of every finished run the span counts of the scored sentences: run -> task -> counts.

        A run in its own folder is counted again from its predictions, if the folder holds the gold
        spans; otherwise it is left out.

        Raises:
            CheckpointError: a damaged file, or predictions that are missing.
        """
        packed = self.path / COUNTS
        counts = read_counts(packed) if packed.exists() else {}
        if (self.path / GOLD).exists():
            gold = read_spans(self.path / GOLD)
            for folder in sorted((self.path / RUNS).glob("*/")):
                record = read_record(folder)
                if record is not None and record.result is not None:
                    predicted = self.predictions(folder.name)
                    counts[folder.name] = {t: span_counts(gold[t], s) for t, s in predicted.items()}
        return counts

    def predictions(self, name: str) -> dict[str, list[tuple[Span, ...]]]:
        """The predicted spans of a run's scored sentences, by task.

        Raises:
            DataError: the run is packed, which leaves predictions out.
            CheckpointError: the file is missing or damaged.
        """
        path = self.run_folder(name) / PREDICTIONS
        if not path.exists() and name in read_records(self.path / RECORDS):
            where = self.metadata().predictions
            raise DataError(
                "predictions were left out when the runs were packed"
                + (f"; they are in {where}" if where else "; use the folder that was packed"),
                self.path,
            )
        return read_spans(path)

    def metadata(self) -> Metadata:
        """What the folder was made with. Raises ConfigError when it holds no experiment."""
        path = self.path / METADATA
        if not path.is_file():
            raise ConfigError(
                f"{self.path} holds no experiment ({METADATA} is missing); start one with: "
                f"hyperloader experiment run NAME --data DIR --out {self.path}"
            )
        return parse_model(Metadata, read_json(path), str(path))

    def check(self, wanted: Metadata) -> None:
        """Raise ConfigError when the folder was made with other settings or other data."""
        if not (self.path / METADATA).is_file():
            if self.path.exists() and any(self.path.iterdir()):
                raise ConfigError(
                    f"{self.path} holds other files and no experiment; choose another folder"
                )
            return
        made = self.metadata()
        if change := _first_change(made, wanted) or _other_system(made, wanted):
            raise ConfigError(
                f"{self.path} was made with other settings ({change}); its results would not be "
                "comparable: choose another folder"
            )

    def check_run(self, run: Run, base: Recipe) -> None:
        """Raise ConfigError when ``run`` is there already, with other settings."""
        record = self.record(run.name)
        settings = differences(run.recipe, base)
        if record is not None and (record.settings != settings or record.tasks != run.tasks):
            change = _change(record.settings, settings) or "other corpora"
            raise ConfigError(
                f"{self.run_folder(run.name)} was made with other settings ({change}); choose "
                f"another --out, or delete that folder (a packed run: its line in {RECORDS}) to "
                "make the run again"
            )

    def open(self, wanted: Metadata, corpora: Mapping[str, Corpus]) -> None:
        """Make the folder, or add what ``wanted`` plans to one made with the same settings."""
        self._write_metadata(wanted)
        if not (self.path / GOLD).exists():
            gold: dict[str, Spans] = {
                name: [e.spans for e in c.splits["test"]] for name, c in corpora.items()
            }
            write_spans(self.path / GOLD, gold)

    def pack(self, target: Path, predictions: str | None = None) -> list[Path]:
        """Write the runs that have ended into two small files in ``target``; return the paths.

        ``target`` may hold packed runs of the same settings: those that this folder lacks stay.
        It may be this folder: packed runs need their own folders no longer. Nothing is deleted.

        Args:
            predictions: where logs and predictions can be found later, in words.

        Raises:
            ConfigError: ``target`` was made with other settings or holds something else.
            DataError: a finished run cannot be counted, since the gold spans are missing.
            CheckpointError: a damaged file, or one that cannot be written.
        """
        to = ResultsFolder(target)
        metadata = self.metadata()
        if predictions is not None:
            metadata = metadata.model_copy(update={"predictions": predictions})
        to.check(metadata)
        records = {**read_records(target / RECORDS), **self.records()}
        kept = read_counts(target / COUNTS) if (target / COUNTS).exists() else {}
        counts = {**kept, **self.counts()}
        for name, record in records.items():
            if record.result is not None and name not in counts:
                raise DataError(f"{name} cannot be counted: {GOLD} is missing", self.path)
        to._write_metadata(metadata)
        order = [run_name(*key) for key in planned(to.metadata())]
        names = [*(n for n in order if n in records), *(n for n in records if n not in order)]
        write_counts(target / COUNTS, {name: counts[name] for name in names if name in counts})
        write_records(target / RECORDS, (records[name] for name in names))
        return [target / name for name in (METADATA, RECORDS, COUNTS)]

    def _write_metadata(self, wanted: Metadata) -> None:
        self.check(wanted)
        made = self.metadata() if (self.path / METADATA).is_file() else wanted
        metadata = wanted.model_copy(
            update={
                "experiments": {**made.experiments, **wanted.experiments},
                "predictions": wanted.predictions or made.predictions,
            }
        )
        text = json.dumps(metadata.model_dump(mode="json"), indent=1, ensure_ascii=False)
        write_text(self.path / METADATA, text + "\n")


def planned(metadata: Metadata) -> list[tuple[str, float, int, str]]:
    """(system, fraction, seed, corpus or "") of every run that some experiment plans, once."""
    runs: dict[tuple[str, float, int, str], None] = {}
    for design in metadata.experiments.values():
        for fraction in design.fractions:
            for name, system in design.systems.items():
                for seed in design.seeds:
                    for task in metadata.corpora if system.tasks == "apart" else [""]:
                        runs[name, fraction, seed, task] = None
    return list(runs)


def describe(
    experiment: Experiment,
    name: str,
    budget: str,
    base: Recipe,
    data: str,
    corpora: Mapping[str, Corpus],
) -> Metadata:
    """The metadata of a folder with the results of ``experiment`` (with its budget applied)."""
    design = Design(
        systems=experiment.systems, fractions=experiment.fractions, seeds=experiment.seeds
    )
    weights = Path(backbone_path(base.backbone)) / _WEIGHTS
    return Metadata(
        data=data,
        corpora={task: corpus_hash(corpus) for task, corpus in corpora.items()},
        recipe=experiment.recipe,
        budget=budget,
        base=differences(base, Recipe()),
        backbone=file_hash(weights) if weights.is_file() else None,
        training_sentences={task: len(c.splits["train"]) for task, c in corpora.items()},
        score=experiment.score,
        experiments={name: design},
    )


def _first_change(made: Metadata, wanted: Metadata) -> str | None:
    if made.score != wanted.score:
        return f"scored on {made.score}, now on {wanted.score}"
    if made.corpora != wanted.corpora:
        names = sorted(made.corpora.keys() ^ wanted.corpora.keys()) or [
            name for name, value in made.corpora.items() if wanted.corpora[name] != value
        ]
        return f"other data: {', '.join(names)}"
    for key in ("recipe", "budget"):
        if getattr(made, key) != getattr(wanted, key):
            return f"{key} {getattr(made, key)}, now {getattr(wanted, key)}"
    if change := _change(made.base, wanted.base):
        return change
    return "other weights in the backbone" if made.backbone != wanted.backbone else None


def _other_system(made: Metadata, wanted: Metadata) -> str | None:
    """A system whose name another experiment of the folder gives to other settings."""
    for known, design in made.experiments.items():
        for experiment, new in wanted.experiments.items():
            if experiment == known:
                continue  # its finished runs are looked at one by one
            for name in design.systems.keys() & new.systems.keys():
                if design.systems[name] != new.systems[name]:
                    return f"system {name} of experiment {known}"
    return None


def _change(before: Settings, now: Settings) -> str | None:
    for key in [*before, *now]:
        default = _default(key)
        if before.get(key, default) != now.get(key, default):
            return f"{key} {before.get(key, _DEFAULT)}, now {now.get(key, _DEFAULT)}"
    return None


_DEFAULT = "the default"


def _default(key: str) -> Any:
    """What ``key`` is where it is not set, if that is one value for all methods."""
    section, _, name = key.partition(".")
    field = ModelConfig.model_fields.get(name) if section == "model" else None
    if field is None or any(name in method.settings for method in METHODS.values()):
        return _DEFAULT
    return field.default
