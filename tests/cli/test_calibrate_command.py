"""Calibration from the command line: at the end of training, by itself, and in what is shipped."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hyperloader.checkpoint import best_checkpoint, load_checkpoint
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.sample import sample_corpora
from hyperloader.corpora.writing import write_corpus
from hyperloader.tagger import Tagger
from training_helpers import cli, refused, settings, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks with enough validation sentences, of which a run below takes nine tenths."""
    folder = tmp_path_factory.mktemp("calibrate") / "data"
    made = sample_corpora(seed=3, train=60, validation=60, test=12)
    for name in ("dining", "home"):
        write_corpus(made[name].splits, folder / name, "conll")
    return folder


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    out = data.parent / "run"
    options = settings(
        training={"steps": 70, "learning_rate": 3e-5, "backbone_learning_rate": 1e-3},
        validation={"every": 70},
        dropout=0,
    )
    done = cli("train", "--data", data, "--out", out, *options, "--set", "data.fraction=0.9")
    assert done.code == 0, done.err
    assert "calibrated: the ECE of" in done.out
    return out


def test_training_ends_with_a_calibration_of_the_best_checkpoint(run: Path) -> None:
    found = load_checkpoint(run).calibration
    assert found is not None
    assert (best_checkpoint(run) / "calibration.json").is_file()
    assert {name: task.sentences for name, task in found.tasks.items()} == {
        "dining": 54,  # nine tenths of 60: the run's own share
        "home": 54,
    }
    assert found.fitted_on == "108 validation sentences of dining, home"
    assert Tagger.from_pretrained(run).temperatures == found.temperatures
    assert not list(run.rglob("*.tmp"))


def test_too_few_validation_sentences_are_said_and_no_error(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    done = cli("train", "--data", data, "--out", tmp_path / "run", *settings())
    assert done.code == 0, done.err
    assert "not calibrated: 16 validation sentences" in done.out
    assert load_checkpoint(tmp_path / "run").calibration is None
    assert "16 validation sentences are too few" in refused("calibrate", tmp_path / "run")


def test_a_run_is_calibrated_again_on_its_own_share(run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(run, tmp_path / "run")
    first = load_checkpoint(run).calibration
    done = cli("calibrate", run, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out) == json.loads(
        (best_checkpoint(run) / "calibration.json").read_text()
    )
    assert load_checkpoint(run).calibration == first
    table = cli("calibrate", run, "--sentences", 52)
    assert table.code == 0, table.err
    rows = {line.split()[0]: line.split() for line in table.out.splitlines() if line}
    assert rows["dining"][1] == rows["home"][1] == "52"


def test_what_is_exported_is_calibrated_too_and_can_be_anew(
    run: Path, data: Path, tmp_path: Path
) -> None:
    shipped = tmp_path / "shipped"
    assert cli("export", run, shipped, "--precision", "bfloat16").code == 0
    assert load_checkpoint(shipped).calibration == load_checkpoint(run).calibration
    assert "give --data DIR" in refused("calibrate", shipped)
    done = cli("calibrate", shipped, "--data", data, "--json")
    assert done.code == 0, done.err
    sizes = {name: task["sentences"] for name, task in json.loads(done.out)["tasks"].items()}
    assert sizes == {"dining": 60, "home": 60}, "a folder has no share: all of them"
    assert load_checkpoint(shipped).calibration is not None


def test_the_builtin_tagger_is_not_written_to(data: Path) -> None:
    said = refused("calibrate", "builtin", "--data", data)
    assert "hyperloader export builtin FOLDER" in said


def test_labels_that_a_task_has_not_are_named(run: Path, data: Path, tmp_path: Path) -> None:
    (corpus,) = load_corpora(data, ["home"]).values()
    write_corpus(corpus.splits, tmp_path / "data" / "dining", "conll")
    said = refused("calibrate", best_checkpoint(run), "--data", tmp_path / "data")
    assert "task 'dining' has no label" in said


def test_evaluate_tells_the_calibration_error(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="NOT TESTED: needs the extra 'plots'")
    picture = tmp_path / "r.png"
    done = cli("evaluate", run, "--json", "--split", "validation", "--reliability", picture)
    assert done.code == 0, done.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    document = json.loads(done.out)
    parts = [task["calibration"] for task in document["tasks"].values()]
    temperatures = Tagger.from_pretrained(run).temperatures
    assert [p["temperature"] for p in parts] == list(temperatures.values())
    assert document["calibration"]["spans"] == sum(p["spans"] for p in parts) > 0
    for part in (*parts, document["calibration"]):
        assert 0 <= part["ece"] <= 1
        assert sum(b["spans"] for b in part["bins"]) == part["spans"]
        assert all(b["low"] - 1e-9 <= b["score"] <= b["high"] + 1e-9 for b in part["bins"])
    table = cli("evaluate", run)
    assert "ECE of all" in table.out
    said = refused("evaluate", run, "--scoring", "reference", "--reliability", picture)
    assert "--reliability" in said


def test_tags_and_spans_from_the_command_line(run: Path, data: Path) -> None:
    (corpus,) = load_corpora(data, ["dining"]).values()
    sentences = [" ".join(e.words) for e in corpus.splits["test"]]
    text = "\n".join(sentences).encode()

    def rows(*options: object) -> list[dict[str, Any]]:
        done = cli("tag", run, "--task", "dining", "--json", *options, stdin=text)
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    plain = rows()
    assert [row["text"] for row in plain] == sentences
    assert set(plain[0]) == {"text", "words", "offsets", "spans", "task"}
    scores = sorted(span["score"] for row in plain for span in row["spans"])
    assert scores[0] < scores[-1], "the model finds spans, and is not equally sure of all"
    bound = (scores[0] + scores[-1]) / 2
    kept = rows("--min-score", bound)
    assert kept == [
        {**row, "spans": [s for s in row["spans"] if s["score"] >= bound]} for row in plain
    ]
    assert not any(row["spans"] for row in rows("--min-score", 1))
    found = rows("--alternatives", 2)
    for row in found:
        others = row.pop("alternatives")
        assert [len(choices) for choices in others] == [2] * len(row["words"])
        for choices in others:
            assert [set(choice) for choice in choices] == [{"tags", "probability"}] * 2
            assert 1 >= choices[0]["probability"] >= choices[1]["probability"] >= 0
    assert found == plain
    lines = cli("tag", run, "--task", "dining", "--alternatives", 2, sentences[0]).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == sentences[0].split()
    assert all(len(line.split()) >= 5 for line in lines[1:])


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--min-score", "1.5"), "a score lies in [0, 1]"),
        (("--min-score", "-0.1"), "a score lies in [0, 1]"),
        (("--min-score", "nan"), "a score lies in [0, 1]"),
        (("--alternatives", "-1"), "give 0 (none) or more"),
    ],
)
def test_bad_numbers_are_one_line(run: Path, option: tuple[str, str], said: str) -> None:
    assert said in refused("tag", run, "--task", "home", *option, "turn off the lamp")
