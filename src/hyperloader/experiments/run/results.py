"""The folder of an experiment's results: made with one set of settings, and holding them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from hyperloader.builtin import backbone_path
from hyperloader.config import Recipe, Section, parse_model
from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.splits import draw
from hyperloader.errors import ConfigError, DataError
from hyperloader.experiments.plan.grid import Run, run_name
from hyperloader.experiments.plan.spec import Experiment, Score, Settings, System, differences
from hyperloader.experiments.run.record import Record, read_record, write_spans
from hyperloader.store import file_hash, read_json, write_text

ABOUT = "experiment.json"
GOLD = "gold.json.gz"
RUNS = "runs"
_WEIGHTS = "model.safetensors"


class Grid(Section):
    """What one experiment file plans in a folder of results."""

    systems: dict[str, System]
    fractions: tuple[float, ...]
    seeds: tuple[int, ...]


class About(Section):
    """``experiment.json``: what all runs of a folder share, and which runs are planned.

    ``base`` is the recipe's differences from its defaults, ``corpora`` a hash of each corpus,
    ``backbone`` a hash of its weights where they lie in a folder; ``training_sentences`` counts
    those of each corpus before a share is drawn (folders made by older versions have none);
    ``score`` is the part of the corpora that systems are scored on.
    """

    data: str
    corpora: dict[str, str]
    recipe: str
    budget: str
    base: Settings
    backbone: str | None
    training_sentences: dict[str, int] = Field(default_factory=dict)
    score: Score = "test"
    experiments: dict[str, Grid] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Results:
    """A folder: ``experiment.json``, the gold spans, and ``runs/NAME`` for each run."""

    path: Path

    def run_folder(self, name: str) -> Path:
        """Where the run called ``name`` lies or will lie."""
        return self.path / RUNS / name

    def record(self, name: str) -> Record | None:
        """What is kept of a run; None when it has not come to an end."""
        return read_record(self.run_folder(name))

    def about(self) -> About:
        """What the folder was made with. Raises ConfigError when it holds no experiment."""
        path = self.path / ABOUT
        if not path.is_file():
            raise ConfigError(
                f"{self.path} holds no experiment ({ABOUT} is missing); start one with: "
                f"hyperloader experiment run NAME --data DIR --out {self.path}"
            )
        return parse_model(About, read_json(path), str(path))

    def check(self, wanted: About) -> None:
        """Raise ConfigError when the folder was made with other settings or other data."""
        if not (self.path / ABOUT).is_file():
            if self.path.exists() and any(self.path.iterdir()):
                raise ConfigError(
                    f"{self.path} holds other files and no experiment; choose another --out"
                )
            return
        made = self.about()
        if change := _first_change(made, wanted) or _other_system(made, wanted):
            raise ConfigError(
                f"{self.path} was made with other settings ({change}); its results would not be "
                "comparable: choose another --out"
            )

    def check_run(self, run: Run, base: Recipe) -> None:
        """Raise ConfigError when ``run`` is there already, with other settings."""
        record = self.record(run.name)
        settings = differences(run.recipe, base)
        if record is not None and (record.settings != settings or record.tasks != run.tasks):
            change = _change(record.settings, settings) or "other corpora"
            raise ConfigError(
                f"{self.run_folder(run.name)} was made with other settings ({change}); choose "
                "another --out, or delete that folder to make the run again"
            )

    def open(self, wanted: About, corpora: Mapping[str, Corpus]) -> None:
        """Make the folder, or add what ``wanted`` plans to one made with the same settings."""
        self.check(wanted)
        known = self.about().experiments if (self.path / ABOUT).is_file() else {}
        about = wanted.model_copy(update={"experiments": {**known, **wanted.experiments}})
        text = json.dumps(about.model_dump(mode="json"), indent=1, ensure_ascii=False)
        write_text(self.path / ABOUT, text + "\n")
        if not (self.path / GOLD).exists():
            gold = {name: [e.spans for e in c.splits["test"]] for name, c in corpora.items()}
            write_spans(self.path / GOLD, gold)


def planned(about: About) -> list[tuple[str, float, int, str]]:
    """(system, fraction, seed, corpus or "") of every run that some experiment plans, once."""
    runs: dict[tuple[str, float, int, str], None] = {}
    for grid in about.experiments.values():
        for fraction in grid.fractions:
            for name, system in grid.systems.items():
                for seed in grid.seeds:
                    for task in about.corpora if system.tasks == "apart" else [""]:
                        runs[name, fraction, seed, task] = None
    return list(runs)


def planned_names(about: About) -> list[str]:
    """The names of :func:`planned` runs."""
    return [run_name(*key) for key in planned(about)]


def limit(corpora: Mapping[str, Corpus], sentences: int | None) -> dict[str, Corpus]:
    """``corpora`` with at most so many ``sentences`` in each part, drawn by a fixed seed."""
    if sentences is None:
        return dict(corpora)
    return {
        name: Corpus(
            name,
            {
                part: tuple(
                    examples[i] for i in draw(len(examples), sentences, 42, f"budget {part}")
                )
                for part, examples in corpus.splits.items()
            },
        )
        for name, corpus in corpora.items()
    }


def check_corpora(corpora: Mapping[str, Corpus]) -> None:
    """Raise DataError for a corpus with a part that has no sentence."""
    for name, corpus in corpora.items():
        for part in SPLITS:
            if not corpus.splits.get(part):
                raise DataError(
                    f"corpus {name!r} has no {part} sentences; an experiment trains, selects "
                    "and scores on all three parts"
                )


def corpus_hash(corpus: Corpus) -> str:
    """SHA-256 over the words and spans of every part, in order."""
    digest = hashlib.sha256()
    for part in SPLITS:
        examples = corpus.splits.get(part, ())
        digest.update(f"{part} {len(examples)}\n".encode())
        for example in examples:
            spans = [(s.word_start, s.word_end, s.label) for s in example.spans]
            digest.update(json.dumps([example.words, spans]).encode())
    return digest.hexdigest()


def backbone_hash(name: str) -> str | None:
    """SHA-256 of the weights of a backbone in a folder (or the builtin one), else None."""
    weights = Path(backbone_path(name)) / _WEIGHTS
    return file_hash(weights) if weights.is_file() else None


def about(
    experiment: Experiment,
    name: str,
    budget: str,
    base: Recipe,
    data: str,
    corpora: Mapping[str, Corpus],
) -> About:
    """What a folder with the results of ``experiment`` (with its budget applied) says of itself."""
    grid = Grid(systems=experiment.systems, fractions=experiment.fractions, seeds=experiment.seeds)
    return About(
        data=data,
        corpora={task: corpus_hash(corpus) for task, corpus in corpora.items()},
        recipe=experiment.recipe,
        budget=budget,
        base=differences(base, Recipe()),
        backbone=backbone_hash(base.backbone),
        training_sentences={task: len(c.splits["train"]) for task, c in corpora.items()},
        score=experiment.score,
        experiments={name: grid},
    )


def _first_change(made: About, wanted: About) -> str | None:
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


def _other_system(made: About, wanted: About) -> str | None:
    """A system whose name another experiment of the folder gives to other settings."""
    for known, grid in made.experiments.items():
        for experiment, new in wanted.experiments.items():
            if experiment == known:
                continue  # its finished runs are looked at one by one
            for name in grid.systems.keys() & new.systems.keys():
                if grid.systems[name] != new.systems[name]:
                    return f"system {name} of experiment {known}"
    return None


def _change(before: Settings, now: Settings) -> str | None:
    for key in [*before, *now]:
        if before.get(key, _DEFAULT) != now.get(key, _DEFAULT):
            return f"{key} {before.get(key, _DEFAULT)}, now {now.get(key, _DEFAULT)}"
    return None


_DEFAULT = "the default"
