"""Trials scored on validation sentences, and the best of each method; no test sentence is used."""

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiment_helpers import arguments, start
from folders import ROOT
from hyperloader.corpora.splits import subsample
from hyperloader.experiments.analyse.best import best_lines, trials
from hyperloader.experiments.plan.data import experiment_corpora
from hyperloader.experiments.plan.grid import plan, run_name
from hyperloader.experiments.plan.spec import Experiment, System, load_experiment
from hyperloader.experiments.run.folder import METADATA, Design, Metadata, ResultsFolder
from hyperloader.experiments.run.record import RECORD, read_record, write_record
from training_helpers import Outcome, cli, corpora, refused, write_data

SYSTEMS: dict[str, Any] = {
    "hyperloader@1e-4": {"training.learning_rate": 1e-4},
    "hyperloader@1e-3": {"training.learning_rate": 1e-3},
    "lora@1e-3": {"model.method": "lora", "tasks": "apart", "training.learning_rate": 1e-3},
}
RATES: dict[str, Any] = {"systems": SYSTEMS, "score": "validation"}


def records(out: Path) -> dict[str, dict[str, Any]]:
    paths = sorted((out / "runs").glob(f"*/{RECORD}"))
    return {path.parent.name: json.loads(path.read_text()) for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The search on corpora whose test files are gone."""
    folder = tmp_path_factory.mktemp("rates")
    write_data(folder / "data")
    files = list((folder / "data").glob("*/test*"))
    assert len(files) == 2
    for path in files:
        path.unlink()
    return folder, start(folder, **RATES)


def test_it_needs_no_test_sentences_and_scores_those_that_choose(
    made: tuple[Path, Outcome],
) -> None:
    folder, done = made
    assert done.code == 0, done
    assert "validation F1" in done.out
    assert json.loads((folder / "out" / METADATA).read_text())["score"] == "validation"
    gold = json.loads(gzip.decompress((folder / "out" / "gold.json.gz").read_bytes()))
    for name, corpus in corpora().items():
        chosen = subsample(corpus, 0.5, 1).splits["validation"]
        assert len(chosen) == 4
        assert gold[name] == [
            [[s.word_start, s.word_end, s.label] for s in e.spans] for e in chosen
        ]
    for record in records(folder / "out").values():
        result = record["result"]
        f1 = {point["step"]: point["f1"] for point in result["validation"]}
        scores = [score["default"]["f1"] for score in result["scores"].values()]
        assert sum(scores) / len(scores) == pytest.approx(f1[result["best_step"]])


def test_other_test_sentences_change_nothing(made: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder, _ = made
    shutil.copytree(folder / "out", tmp_path / "out")
    write_data(tmp_path / "data")  # with test files
    again = cli("experiment", "run", *arguments(tmp_path, **RATES))
    assert again.code == 0
    assert records(tmp_path / "out") == records(folder / "out"), "all of it was there already"


def test_scores_of_the_two_parts_are_not_mixed(made: tuple[Path, Outcome], tmp_path: Path) -> None:
    folder, _ = made
    shutil.copytree(folder / "out", tmp_path / "out")
    line = refused("experiment", "run", *arguments(tmp_path, **{**RATES, "score": "test"}))
    assert "scored on validation, now on test" in line


@pytest.mark.parametrize("more", [{"fractions": [0.5, 1.0]}, {"seeds": [1, 2]}])
def test_several_shares_or_seeds_are_refused(tmp_path: Path, more: dict[str, Any]) -> None:
    line = refused("experiment", "run", *arguments(tmp_path, **RATES, **more))
    assert "score: validation takes one of fractions and one of seeds" in line


def test_the_test_part_is_scored_by_default(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    tested = Experiment.model_validate({"systems": {"a": {}}})
    found = experiment_corpora(data, tested, None)
    written = {name: corpus.splits["test"] for name, corpus in corpora().items()}
    assert {name: len(c.splits["test"]) for name, c in found.items()} == {
        name: len(test) for name, test in written.items()
    }
    few = experiment_corpora(data, tested, 3)
    assert {len(part) for corpus in few.values() for part in corpus.splits.values()} == {3}


def test_the_report_works_on_it(made: tuple[Path, Outcome]) -> None:
    folder, _ = made
    done = cli("experiment", "report", folder / "out", "--out", folder / "report")
    assert done.code == 0, done
    text = (folder / "report" / "report.md").read_text()
    assert "Micro F1 on the validation part" in text
    assert "The paper's F1" not in text


def set_f1(out: Path, values: dict[str, float | None]) -> None:
    """Give runs a made-up F1 on every corpus; None: no result."""
    for name, f1 in values.items():
        for folder in (out / "runs").glob(f"{name}-*"):
            record = read_record(folder)
            assert record is not None
            assert record.result is not None
            if f1 is None:
                shutil.rmtree(folder)
                continue
            scores = {
                task: score.model_copy(
                    update={"default": score.default.model_copy(update={"f1": f1})}
                )
                for task, score in record.result.scores.items()
            }
            result = record.result.model_copy(update={"scores": scores})
            write_record(folder, record.model_copy(update={"result": result}))


def test_the_best_rates_are_lines_of_an_experiment_file(
    made: tuple[Path, Outcome], tmp_path: Path
) -> None:
    out = shutil.copytree(made[0] / "out", tmp_path / "out")
    set_f1(out, {"hyperloader@1e-4": 0.25, "hyperloader@1e-3": 0.5, "lora@1e-3": 0.125})
    done = cli("experiment", "best", out)
    assert done.code == 0, done
    assert done.out.splitlines()[0].startswith("# hyperloader: 1e-4 0.2500, 1e-3 0.5000; ")
    pasted = Experiment.model_validate({"systems": yaml.safe_load(done.out)})
    given = {n.partition("@")[0]: s for n, s in SYSTEMS.items()}  # the last of each method
    assert pasted.systems == {n: System.model_validate(s) for n, s in given.items()}
    set_f1(out, {"hyperloader@1e-3": None, "lora@1e-3": None})
    lines = best_lines(ResultsFolder(out))
    assert lines[0].startswith("# hyperloader: 1e-4 0.2500, 1e-3 missing")
    assert lines[1] == "hyperloader: {training.learning_rate: 0.0001}"
    assert lines[2:] == ["# lora: 1e-3 missing"]


def test_a_best_trial_with_others_beyond_it_is_not_called_at_the_edge(tmp_path: Path) -> None:
    names = [f"full@{rate}" for rate in ("1", "3", "9")]
    about = Metadata(
        data="",
        corpora={"atis": ""},
        recipe="builtin",
        budget="full",
        base={},
        backbone=None,
        score="validation",
        experiments={
            "rates": Design(systems={n: System() for n in names}, fractions=(0.1,), seeds=(1,))
        },
    )
    (tmp_path / METADATA).write_text(about.model_dump_json())
    for place, edge in enumerate((True, False, True)):
        for i, name in enumerate(names):
            _write(tmp_path / "runs" / run_name(name, 0.1, 1), name, 0.5 + 0.25 * (i == place))
        assert ("at the edge" in best_lines(ResultsFolder(tmp_path))[0]) == edge


def _write(folder: Path, system: str, f1: float) -> None:
    score = {"precision": 0.5, "recall": 0.5, "f1": f1, "support": 2}
    result = {
        "scores": {"atis": {"sentences": 2, "default": score, "strict": score}},
        **dict.fromkeys(("best_step", "steps", "sentences_seen", "trainable", "total"), 1),
        **dict.fromkeys(("training_seconds", "scoring_seconds", "wall_seconds"), 1.0),
        "validation": [],
    }
    record = {
        **{"status": "done", "system": system, "fraction": 0.1, "seed": 1, "tasks": ["atis"]},
        **{"apart": False, "result": result, "finished": "now"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(record))


def test_a_folder_without_trials(tmp_path: Path) -> None:
    assert "holds no experiment" in refused("experiment", "best", tmp_path)
    grid = Design(systems={"full": System()}, fractions=(0.1,), seeds=(1,))
    plain = {"recipe": "", "budget": "", "base": {}, "backbone": None, "data": "", "corpora": {}}
    about = Metadata.model_validate({**plain, "experiments": {"mine": grid}})
    (tmp_path / METADATA).write_text(about.model_dump_json())
    assert "is called METHOD@TRIAL" in refused("experiment", "best", tmp_path)


def test_the_packages_tables_have_the_best_rates_of_the_kept_search() -> None:
    best = {m: t.best for m, t in trials(ResultsFolder(ROOT / "results" / "rates")).items()}
    assert None not in best.values()
    used = {}
    for name in ("table4", "claim", "ablations"):
        runs = plan(load_experiment(name).with_budget("cpu"), corpora())
        for run in runs:
            training = run.recipe.training
            full = run.system == "full"
            used[run.system] = training.backbone_learning_rate if full else training.learning_rate
    assert {m: float(rate) for m, rate in best.items() if rate} == {m: used[m] for m in best}
