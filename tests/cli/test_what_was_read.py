"""Every command that reads labelled files says what it read as what, and what it repaired."""

import json
from pathlib import Path

import pytest

from training_helpers import Outcome, cli, settings, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, one with a stray I- in training, and a file that is not used."""
    folder = write_data(tmp_path_factory.mktemp("read") / "data")
    train = folder / "home" / "train.conll"
    train.write_text("lamp\tI-device\noff\tB-state\n\n" + train.read_text())
    (folder / "home" / "notes.txt").write_text("to do")
    return folder


@pytest.fixture(scope="module")
def trained(data: Path) -> Outcome:
    done = cli("train", "--data", data, "--out", data.parent / "run", *settings())
    assert done.code == 0, done.err
    return done


def account(data: Path) -> str:
    """What ``data stats`` says of the corpus ``home``, without what looks odd."""
    told = cli("data", "stats", data, "--task", "home").out.partition("\nhome\n")[2]
    lines = [line for line in told.splitlines() if line and not line.startswith("  odd: ")]
    assert len(lines) == 5, lines
    assert "read as conll because the last column is a tag" in lines[0]
    assert lines[1].startswith("    tags that go on with no open span")
    assert lines[1].endswith(": 1 (the first in line 1)")
    assert lines[-1] == "  not read: notes.txt (its name says no part)"
    return "\n".join(["home", *lines])


def test_train_says_it_before_it_trains(data: Path, trained: Outcome) -> None:
    assert account(data) in trained.err
    assert trained.err.index("not read: notes.txt") < trained.err.index("step ")
    assert " read as " not in trained.out


def test_a_dry_run_and_a_resumed_run_say_it(data: Path, trained: Outcome) -> None:
    assert account(data) in cli("train", "--data", data, "--dry-run", *settings()).err
    done = cli("train", "--resume", data.parent / "run", "--steps", 7)
    assert done.code == 0, done.err
    assert account(data) in done.err


def test_evaluate_says_it_of_folders_and_of_files(data: Path, trained: Outcome) -> None:
    run = data.parent / "run"
    done = cli("evaluate", run, "--json")
    assert account(data) in done.err
    assert set(json.loads(done.out)["tasks"]) == {"dining", "home"}
    done = cli("evaluate", run, "--data", data / "home" / "train.conll")
    said = account(data).splitlines()
    assert done.err.splitlines() == ["home", said[1].replace("train: ", "test: "), said[2]]


def test_score_and_convert_say_it(data: Path, tmp_path: Path) -> None:
    train = data / "home" / "train.conll"
    done = cli("score", train, train)
    because = "read as conll because the last column is a tag in 100% of the lines"
    assert done.err.splitlines() == [f"{side}: {train} {because}" for side in ("gold", "predicted")]
    assert f"{train}: tags that go on with no open span" in done.out
    done = cli("data", "convert", data / "home", tmp_path / "out", "--to", "jsonl")
    assert done.err.rstrip() == account(data)


def test_calibrate_and_check_leaks_say_it(data: Path, trained: Outcome, tmp_path: Path) -> None:
    assert account(data) in cli("calibrate", data.parent / "run").err
    (tmp_path / "a.txt").write_text("nothing of these\n")
    assert account(data) in cli("pretrain-check", "--text", tmp_path, "--data", data).err
