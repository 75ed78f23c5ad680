"""A killed run, resumed, ends bit-identical to one that never stopped."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import CheckpointError, TrainingError
from hyperloader.training.loop import Trainer
from hyperloader.training.run import RunFolder
from hyperloader.training.start import resume_run
from killing import MOMENTS, STEPS, Moment
from training_helpers import (
    assert_same_tensors,
    cli,
    corpora,
    evaluator,
    in_process,
    log,
    losses,
    make_trainer,
    run_main,
    settings,
    write_data,
)

LAST = f"checkpoints/step-{STEPS:08d}"
# Dropout, warm-up, epochs that end within the run, accumulation: all that could go wrong.
CHANGES: dict[str, Any] = {
    "training": {
        "steps": STEPS,
        "schedule": "linear",
        "warmup_steps": 3,
        "gradient_accumulation": 2,
        "weight_decay": 0.01,
    },
    "validation": {"every": 3, "select": "f1"},
}
MODES: dict[str, dict[str, Any]] = {
    "per_task": CHANGES,
    "mixed": {
        **CHANGES,
        "data": {"batches": "mixed", "draw": "replacement"},
        "training": {**CHANGES["training"], "token_dropout": 0.2, "average": 0.9},
    },
    # Begins in the first step, and ends within the run.
    "length": {**CHANGES, "data": {"curriculum": "length", "curriculum_steps": 6}},
    # Measured after the warm-up, at step 3, and not yet everything at the end.
    "loss": {**CHANGES, "data": {"curriculum": "loss", "curriculum_steps": 9}},
}


def train(out: Path, mode: str) -> None:
    make_trainer(out, make_evaluate=evaluator, **MODES[mode]).train()


def go_on(out: Path, *, from_scratch: bool = False) -> None:
    resume_run(out, corpora(), make_evaluate=evaluator, from_scratch=from_scratch).train()


def train_until(out: Path, mode: str, when: Moment) -> None:
    """Train, or go on with, a run in which ``when`` kills this process."""
    with when():
        if (out / "run.yaml").exists():
            go_on(out)
        else:
            train(out, mode)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The run that never stopped, by mode."""
    made: dict[str, Path] = {}

    def make(mode: str) -> Path:
        if mode not in made:
            made[mode] = tmp_path_factory.mktemp(mode) / "whole"
            train(made[mode], mode)
        return made[mode]

    return make


def assert_same_run(out: Path, whole: Path) -> None:
    assert losses(out) == losses(whole)
    assert log(out, "validation") == log(whole, "validation")
    assert_same_tensors(out / LAST, whole / LAST)
    files = [
        {p.relative_to(run / LAST): p.read_bytes() for p in (run / LAST).rglob("*") if p.is_file()}
        for run in (out, whole)
    ]
    assert [name for name in files[0] if files[0][name] != files[1].get(name)] == []
    assert files[0].keys() == files[1].keys()
    kept = [sorted(p.name for p in (run / "checkpoints").iterdir()) for run in (out, whole)]
    assert kept[0] == kept[1], "and nothing half-written stays"


AGAIN = (
    "before any validation",
    "half of the weights written",
    "between checkpoints",
    "in the log",
)
# At which a run is killed where there is little time; at the others in the slow tests.
QUICK = "while the last one is written"


@pytest.mark.parametrize(
    "moment",
    [
        moment if moment == QUICK else pytest.param(moment, marks=pytest.mark.slow)
        for moment in MOMENTS
        if moment not in AGAIN
    ],
)
def test_a_run_killed_at_any_moment_ends_as_if_it_had_not_been(
    tmp_path: Path, whole: Callable[[str], Path], moment: str
) -> None:
    mode = "mixed" if len(moment) % 2 else "per_task"
    out = tmp_path / "run"
    child = in_process(train_until, out, mode, Moment(moment))
    child.join()
    if moment == "before the first checkpoint":
        # Nothing has happened yet: the folder is a run all the same.
        assert not list((out / "checkpoints").glob("step-*"))
    assert child.exitcode == -signal.SIGKILL
    go_on(out)
    assert_same_run(out, whole(mode))


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "mixed"])
def test_a_run_killed_again_and_again_ends_the_same(
    tmp_path: Path, whole: Callable[[str], Path], mode: str
) -> None:
    out = tmp_path / "run"
    for moment in AGAIN:
        child = in_process(train_until, out, mode, Moment(moment))
        child.join()
        assert child.exitcode == -signal.SIGKILL
    go_on(out)
    assert_same_run(out, whole(mode))


def stop(trainer: Trainer) -> None:
    raise InterruptedError


def test_a_damaged_newest_checkpoint_is_passed_over(
    tmp_path: Path, whole: Callable[[str], Path]
) -> None:
    out = tmp_path / "run"
    trainer = make_trainer(out, make_evaluate=evaluator, harm=(5, stop), **CHANGES)
    with pytest.raises(InterruptedError):
        trainer.train()
    newest = RunFolder.open(out).newest()
    assert newest is not None
    assert newest.name == "step-00000003"
    os.truncate(newest / "optimizer.safetensors", 100)
    assert RunFolder.open(out).newest() is None
    go_on(out, from_scratch=True)
    assert_same_run(out, whole("per_task"))


def test_going_on_with_a_finished_run_changes_nothing(
    tmp_path: Path, whole: Callable[[str], Path]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole("mixed"), out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    go_on(out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_what_a_kill_in_the_last_save_left_is_removed(
    tmp_path: Path, whole: Callable[[str], Path]
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole("mixed"), out)
    for name in ("step-00000001", ".step-00000002.hyperloader-new"):
        shutil.copytree(out / LAST, out / "checkpoints" / name)
        (out / "checkpoints" / name / "model.safetensors").unlink()
    (out / "checkpoints" / "mine").mkdir()
    go_on(out)
    (out / "checkpoints" / "mine").rmdir()
    assert_same_run(out, whole("mixed"))


def test_resuming_without_any_checkpoint_starts_anew(
    tmp_path: Path, whole: Callable[[str], Path]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(whole("per_task") / "run.yaml", out)
    go_on(out)
    assert_same_run(out, whole("per_task"))


def test_a_folder_without_a_run_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no run"):
        resume_run(tmp_path, corpora())


def test_a_damaged_run_file_is_one_line(tmp_path: Path) -> None:
    for content in ("seed: [", "just text", "data: x\n"):
        (tmp_path / "run.yaml").write_text(content)
        with pytest.raises(CheckpointError, match=r"run\.yaml") as caught:
            resume_run(tmp_path, corpora())
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["fewer", "reordered", "relabelled", "validation"])
def test_changed_data_are_refused(
    tmp_path: Path, whole: Callable[[str], Path], change: str
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole("per_task"), out)
    before = (out / "log.jsonl").read_bytes()
    home = corpora()["home"]
    train_part, validation = home.splits["train"], home.splits["validation"]
    changed = {
        "fewer": {"train": train_part[:-1]},
        "reordered": {"train": train_part[::-1]},
        "relabelled": {
            "train": (*train_part[:-1], type(train_part[0])(train_part[-1].words, (), "home"))
        },
        "validation": {"validation": validation[1:]},
    }[change]
    other = {**corpora(), "home": Corpus("home", {**home.splits, **changed})}
    with pytest.raises(TrainingError, match="the data are not what"):
        resume_run(out, other)
    assert (out / "log.jsonl").read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_writes_a_checkpoint_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    options = settings(training={"steps": 100_000}, validation={"every": 100_000})
    child = in_process(
        run_main, ["train", "--data", str(data), "--out", str(out), *options], tmp_path / "stderr"
    )
    deadline = time.monotonic() + 60
    while not (out / "log.jsonl").exists() or len(log_lines(out)) < 5:
        assert child.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(child.pid, number)
    child.join()
    said = (tmp_path / "stderr").read_text()
    assert child.exitcode == 128 + number, said
    newest = RunFolder.open(out).newest()
    assert newest is not None
    step = int(newest.name.removeprefix("step-"))
    assert step == log(out)[-1]["step"] >= 5
    assert said.splitlines()[-1] == (
        f"stopped after step {step}; resume with: hyperloader train --resume {out}"
    )


def log_lines(out: Path) -> list[str]:
    return (out / "log.jsonl").read_text().splitlines()


def test_the_command_goes_on_from_an_older_checkpoint(tmp_path: Path) -> None:
    """With the data read from files again; the run's newest checkpoint is lost here."""
    data = write_data(tmp_path / "data")
    done = cli("train", "--data", data, "--out", tmp_path / "a", *settings(**CHANGES))
    assert done.code == 0, done.err
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / LAST)
    again = cli("train", "--resume", tmp_path / "b")
    assert again.code == 0, again.err
    assert "resuming" in again.out
    assert_same_tensors(tmp_path / "a" / LAST, tmp_path / "b" / LAST)
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
