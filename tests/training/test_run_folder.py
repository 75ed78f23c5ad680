"""Run folders that are damaged, odd, foreign or in use: one line, and nothing is lost."""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperloader.checkpoint import best_checkpoint
from hyperloader.errors import CheckpointError, ConfigError, DataError, HyperloaderError
from hyperloader.store import claimed
from hyperloader.training.run import RunFolder
from hyperloader.training.start import resume_run
from training_helpers import (
    cli,
    corpora,
    in_process,
    log,
    make_trainer,
    refused,
    run_main,
    settings,
    write_data,
)

LAST = "checkpoints/step-00000006"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six steps, with checkpoints after three (the best) and six."""
    out = tmp_path_factory.mktemp("trained") / "run"
    scores = iter([0.9, 0.4])
    make_trainer(
        out,
        validation={"every": 3, "select": "f1"},
        make_evaluate=lambda *_: lambda model: {"home": next(scores)},
    ).train()
    return out


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of it to be damaged."""
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    return out


def line(error: type[HyperloaderError], work: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != ".lock"
    }


def rewrite(folder: Path, **changes: Any) -> None:
    """Change the state stored in a checkpoint, with a manifest that says it is right."""
    path, manifest = folder / "trainer.json", folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    listed = json.loads(manifest.read_text())
    content = path.read_bytes()
    listed["files"]["trainer.json"] = {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    manifest.write_text(json.dumps(listed))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"data: 5\ntasks: [home]\nrecipe: {}\n", "data: Input should be a valid string"),
        (b"data: x\ntasks: [1]\nrecipe: {}\n", "tasks.0: Input should be a valid string"),
        (b"data: x\ntasks: []\nrecipe: {}\n", "tasks: "),
        (b"data: x\ntasks: home\nrecipe: {}\n", "tasks: Input should be a valid list"),
        (b"data: x\ntasks: [home]\nrecipe: [1]\n", "recipe: Input should be a valid dictionary"),
        (b"data: x\ntasks: [home]\n", "recipe: Field required"),
        (b"- 1\n", "damaged"),
        (b"", "damaged"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[" * 100_000, "cannot be read"),
    ],
)
def test_an_odd_run_file_is_one_line(run: Path, content: bytes, reason: str) -> None:
    (run / "run.yaml").write_bytes(content)
    assert reason in line(CheckpointError, lambda: resume_run(run, corpora()))


def test_an_odd_run_file_is_one_line_of_the_command(run: Path) -> None:
    (run / "run.yaml").write_text("data: 5\ntasks: [1]\nrecipe: {}\n")
    assert "run.yaml is damaged (data: " in refused("train", "--resume", run)


@pytest.mark.parametrize("value", [3.5, "3", [3], True, {"a": 1}])
def test_a_best_step_that_is_no_step_is_one_line(run: Path, value: Any) -> None:
    rewrite(run / LAST, best_step=value)
    said = line(CheckpointError, lambda: resume_run(run, corpora()))
    assert "trainer.json is damaged (best_step: " in said
    assert "best_step is" in line(CheckpointError, lambda: best_checkpoint(run))


def test_a_state_of_other_tasks_or_keys_is_one_line(run: Path) -> None:
    rewrite(run / LAST, drawn={"other": 3})
    assert "other tasks" in line(CheckpointError, lambda: resume_run(run, corpora()))
    rewrite(run / LAST, drawn="many")
    assert "drawn: " in line(CheckpointError, lambda: resume_run(run, corpora()))


ENTRY = b'{"kind": "train", "step": 1}\n'


@pytest.mark.parametrize("odd", [b"\xff\xfe\n", b'{"step": "2"}\n', b"[]\n", b"[" * 9999 + b"\n"])
def test_a_log_that_is_damaged_in_the_middle_is_one_line_and_kept(run: Path, odd: bytes) -> None:
    path = run / "log.jsonl"
    path.write_bytes(ENTRY + odd + ENTRY)
    said = line(CheckpointError, resume_run(run, corpora()).train)
    assert f"{path}:2 is not a log entry" in said
    assert path.read_bytes() == ENTRY + odd + ENTRY


def test_a_log_that_is_torn_at_the_end_is_cut(run: Path) -> None:
    path = run / "log.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind": "train", "step": 7}\n\x00\x00\xff\n{"kind": "tr')
    resume_run(run, corpora()).train()
    assert path.read_bytes() == whole


def test_a_log_that_is_a_folder_is_one_line(run: Path) -> None:
    (run / "log.jsonl").unlink()
    (run / "log.jsonl").mkdir()
    assert "log.jsonl cannot be read" in line(CheckpointError, resume_run(run, corpora()).train)


def test_only_checkpoints_are_ever_removed(run: Path) -> None:
    """A run that is made longer replaces its own checkpoints; all else stays."""
    checkpoints = run / "checkpoints"
    for name in ("bert-large", "step-best", "step-3", ".step-mine.tmp", "old-step-00000003"):
        (checkpoints / name).mkdir()
        (checkpoints / name / "weights.txt").write_text("mine")
    for name in (
        ".step-00000005.hyperloader-new",
        ".step-00000004.hyperloader-old",
        "step-00000001",
    ):
        (checkpoints / name).mkdir()
    (checkpoints / "notes-step-1.txt").write_text("mine")
    resume_run(run, corpora(), steps=9).train()
    left = {p.name for p in checkpoints.iterdir()}
    best = best_checkpoint(run).name
    assert left == {"bert-large", "step-best", "step-3", ".step-mine.tmp", "old-step-00000003"} | {
        "notes-step-1.txt",
        "step-00000009",
        best,
    }


def test_a_new_run_needs_a_new_or_empty_folder(tmp_path: Path) -> None:
    """Refused before anything is read: the data are not even there."""
    full, file, empty = tmp_path / "full", tmp_path / "file", tmp_path / "empty"
    (full / "checkpoints" / "bert-large").mkdir(parents=True)
    empty.mkdir()
    file.write_text("mine")
    absent = tmp_path / "absent"
    for out, reason in (
        (full, "is not empty (it holds checkpoints); choose a new or empty folder"),
        (file, "file is a file, not a folder"),
        (file / "below", "file is a file, not a folder"),
    ):
        assert reason in refused("train", "--data", absent, "--out", out)
    before = contents(tmp_path)
    assert "absent" in refused("train", "--data", absent, "--out", empty)
    assert "absent" in refused("train", "--data", absent, "--out", tmp_path / "new")
    assert contents(tmp_path) == before
    assert not (tmp_path / "new").exists()
    make_trainer(empty, training={"steps": 1}).train()


def test_a_task_without_spans_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    plain = tmp_path / "data" / "neg"
    plain.mkdir(parents=True)
    (plain / "train.conll").write_text("hello O\nthere O\n\ngood O\nday O\n\n" * 20)
    said = refused("train", "--data", plain.parent, "--out", tmp_path / "r", *settings())
    assert "task 'neg' has no labelled span in its training and validation sentences" in said
    assert not (tmp_path / "r").exists()


def test_a_validation_part_without_anything_to_decide_is_passed_over(tmp_path: Path) -> None:
    """Its loss has no terms; the other task's counts."""
    trainer = make_trainer(tmp_path / "r", training={"steps": 1})
    trainer.objective.count = lambda windows: 0  # type: ignore[method-assign]
    assert trainer._validation_losses() == {}


def test_damaged_checkpoints_are_said_and_need_consent(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    newest, older = sorted((run / "checkpoints").iterdir(), reverse=True)
    os.truncate(newest / "optimizer.safetensors", 100)
    resume_run(run, corpora()).run.release()
    (said,) = capsys.readouterr().err.splitlines()
    assert f"falling back to {older} ({newest / 'optimizer.safetensors'} has 100 bytes" in said
    (older / "manifest.json").unlink()
    before = contents(run)
    said = line(CheckpointError, lambda: resume_run(run, corpora()))
    assert f"all checkpoints of {run} are damaged" in said
    assert f"hyperloader train --resume {run} --from-scratch" in said
    assert contents(run) == before
    resume_run(run, corpora(), from_scratch=True).train()
    (said,) = capsys.readouterr().err.splitlines()
    assert "starts again from step 0" in said
    assert [entry["step"] for entry in log(run)] == list(range(1, 7))


def test_the_command_says_a_fallback_on_stderr_in_one_line(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    assert cli("train", "--data", data, "--out", out, *settings()).code == 0
    for folder in (out / "checkpoints").iterdir():
        os.truncate(folder / "model.safetensors", 10)
    assert "--from-scratch" in refused("train", "--resume", out)
    done = cli("train", "--resume", out, "--from-scratch")
    assert done.code == 0
    assert len([text for text in done.err.splitlines() if "starts again" in text]) == 1
    assert "starts again" not in done.out


def test_a_run_that_is_claimed_is_refused_and_left_as_it_was(run: Path, tmp_path: Path) -> None:
    before = contents(run)
    with claimed(run) as ours:
        assert ours
        said = line(ConfigError, lambda: resume_run(run, corpora()))
    assert "another process is training in" in said
    assert contents(run) == before
    new = tmp_path / "new"
    with claimed(new):
        assert "another process" in line(ConfigError, lambda: make_trainer(new))
    assert not contents(new)


def test_a_claim_ends_with_the_training_and_with_a_failed_start(run: Path, tmp_path: Path) -> None:
    resume_run(run, corpora()).train()
    resume_run(run, corpora()).train()
    with pytest.raises(ConfigError, match="does not divide"):
        make_trainer(tmp_path / "new", training={"batch_size": 7, "gradient_accumulation": 2})
    make_trainer(tmp_path / "new", training={"steps": 1}).train()


def test_the_second_of_two_commands_is_refused(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    options = settings(training={"steps": 100_000}, validation={"every": 100_000})
    command = ["train", "--data", str(data), "--out", str(out), *options]
    first = in_process(run_main, command, tmp_path / "first")
    _wait(lambda: (out / "log.jsonl").exists(), first)
    other = ["train", "--data", str(data), "--out", str(out), "--seed", "2", *options]
    assert "already holds a run" in refused(*other)
    assert "another process is training in" in refused("train", "--resume", str(out))
    os.kill(first.pid, signal.SIGINT)
    first.join()
    assert first.exitcode == 130
    assert RunFolder.open(out).recipe().seed == 42
    steps = [entry["step"] for entry in log(out)]
    assert steps == list(range(1, len(steps) + 1)), "of one process alone"


def _wait(for_it: Callable[[], bool], child: Any) -> None:
    deadline = time.monotonic() + 120
    while not for_it():
        assert child.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_is_made_longer(run: Path) -> None:
    with pytest.raises(ConfigError, match="has made 6 steps already"):
        resume_run(run, corpora(), steps=5)
    with pytest.raises(ConfigError, match="minutes do not make it longer; give --steps"):
        resume_run(run, corpora(), minutes=5)
    resume_run(run, corpora(), steps=9).train()
    assert [entry["step"] for entry in log(run)] == list(range(1, 10))
    assert RunFolder.open(run).recipe().training.steps == 9
    assert (run / "checkpoints" / "step-00000009").is_dir()


def test_an_absurd_rate_is_one_line(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    options = settings(training={"learning_rate": 1e30, "steps": 30})
    done = cli("train", "--data", data, "--out", out, *options)
    assert done.code == 2
    errors = [text for text in done.err.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    assert "is not finite at step" in errors[0]
    assert "lower training.learning_rate" in errors[0]
    assert "Traceback" not in done.err


def test_a_share_without_spans_says_so(tmp_path: Path) -> None:
    home = corpora()["home"]
    bare = tuple(type(e)(e.words, (), "home") for e in home.splits["train"])
    corpus = type(home)("home", {"train": bare, "validation": (), "test": ()})
    said = line(
        DataError,
        lambda: make_trainer(tmp_path / "r", on={"home": corpus}, data={"fraction": 0.5}),
    )
    assert "data.fraction=0.5" in said


def test_a_start_that_was_killed_while_it_wrote_does_not_stand_in_the_way(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".run.yaml.123.tmp").write_text("data:")
    (out / ".notes.123.tmp").write_text("mine")
    assert ".notes.123.tmp" in line(ConfigError, lambda: make_trainer(out))
    (out / ".notes.123.tmp").unlink()
    make_trainer(out).run.release()
    assert sorted(p.name for p in out.iterdir() if p.name != ".lock") == ["run.yaml"]
