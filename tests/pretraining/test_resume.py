"""Pre-training that is stopped, killed or shared between processes ends the same."""

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from hyperloader.errors import HyperloaderError
from hyperloader.pretraining.recipe import (
    PretrainRecipe,
)
from hyperloader.pretraining.start import resume_pretraining, start_pretraining
from pretraining_helpers import CHECKPOINT, assert_same_checkpoint, exact, log, recipe, stop_after
from training_helpers import in_process

torch.set_num_threads(1)


def test_a_run_stopped_between_goes_on_exactly(whole: Path, prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrainer = start_pretraining(recipe(), None, run, prepared=prepared)
    stop_after(pretrainer, 14)
    with pytest.raises(HyperloaderError, match=r"stopped after step 14; .* --resume"):
        pretrainer.train()
    assert (run / CHECKPOINT.format(14)).is_dir()
    again = resume_pretraining(run)
    assert again.state.step == 14
    again.train()
    assert exact(run) == exact(whole)
    assert_same_checkpoint(run / CHECKPOINT.format(30), whole / CHECKPOINT.format(30))


def test_a_killed_run_goes_on_exactly(whole: Path, prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    child = in_process(_slow_run, run, prepared)
    deadline = time.monotonic() + 60
    while not _logged(run, 16) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    steps = len(log(run))
    assert 16 <= steps < 30
    again = resume_pretraining(run)
    assert again.state.step == steps // 10 * 10 > 0
    again.train()
    assert exact(run) == exact(whole)
    assert_same_checkpoint(run / CHECKPOINT.format(30), whole / CHECKPOINT.format(30))


def test_a_run_killed_before_its_first_evaluation_goes_on(
    whole: Path, prepared: Path, tmp_path: Path
) -> None:
    child = in_process(_dies_in_its_first_step, tmp_path / "run", prepared)
    child.join(90)
    assert child.exitcode == -signal.SIGKILL
    again = resume_pretraining(tmp_path / "run")
    assert again.state.step == 0
    again.train()
    assert exact(tmp_path / "run") == exact(whole)


def test_two_processes_do_the_same(prepared: Path, tmp_path: Path) -> None:
    """Without dropout, whose draws differ: the same losses, to rounding."""
    one = tmp_path / "one"
    plain = recipe(backbone={"dropout": 0.0}, training={"steps": 4})
    start_pretraining(plain, None, one, prepared=prepared).train()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [
        in_process(
            _run,
            tmp_path / "two",
            prepared,
            plain,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        for rank in range(2)
    ]
    for child in children:
        child.join(90)
    assert [child.exitcode for child in children] == [0, 0]
    ours, theirs = log(one), log(tmp_path / "two")
    assert [entry["tokens"] for entry in ours] == [entry["tokens"] for entry in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_accumulation_and_bf16_do_the_same(prepared: Path, tmp_path: Path) -> None:
    losses = {}
    for name, training in {
        "one": {},
        "four": {"gradient_accumulation": 4},
        "bfloat16": {"precision": "bfloat16"},
    }.items():
        chosen = recipe(backbone={"dropout": 0.0}, training={"steps": 4, **training})
        start_pretraining(chosen, None, tmp_path / name, prepared=prepared).train()
        losses[name] = [entry["loss"] for entry in log(tmp_path / name)]
    assert losses["four"] == pytest.approx(losses["one"], rel=1e-5)
    assert losses["bfloat16"] == pytest.approx(losses["one"], rel=2e-2)
    assert losses["bfloat16"] != losses["one"]


@pytest.mark.parametrize("optimizer", ["adafactor", "adamw_scaled"])
def test_other_optimizers_are_resumed_exactly(
    prepared: Path, tmp_path: Path, optimizer: str
) -> None:
    chosen = recipe(training={"optimizer": optimizer, "steps": 8, "learning_rate": 0.02})
    start_pretraining(chosen, None, tmp_path / "whole", prepared=prepared).train()
    pretrainer = start_pretraining(chosen, None, tmp_path / "cut", prepared=prepared)
    stop_after(pretrainer, 5)
    with pytest.raises(HyperloaderError, match="stopped after step 5"):
        pretrainer.train()
    resume_pretraining(tmp_path / "cut").train()
    assert exact(tmp_path / "cut") == exact(tmp_path / "whole")
    last = CHECKPOINT.format(8)
    assert_same_checkpoint(tmp_path / "cut" / last, tmp_path / "whole" / last)


def _run(run: Path, prepared: Path, chosen: PretrainRecipe) -> None:
    start_pretraining(chosen, None, run, prepared=prepared).train()


def _dies_in_its_first_step(run: Path, prepared: Path) -> None:
    pretrainer = start_pretraining(recipe(), None, run, prepared=prepared)
    pretrainer._step = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment,method-assign]
    pretrainer.train()


def _slow_run(run: Path, prepared: Path) -> None:
    pretrainer = start_pretraining(recipe(), None, run, prepared=prepared)
    step = pretrainer._step

    def slow(*arguments: Any) -> Any:
        time.sleep(0.05)
        return step(*arguments)

    pretrainer._step = slow  # type: ignore[method-assign]
    pretrainer.train()


def _logged(run: Path, step: int) -> bool:
    path = run / "log.jsonl"
    return path.exists() and path.read_text().count("\n") > step
