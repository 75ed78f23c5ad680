"""A signal in the middle of long work: left at once, and the resumed run ends the same."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hyperloader.training.interrupt import Abandoned, Interrupt, Interrupted
from hyperloader.training.loop import Trainer
from hyperloader.training.start import resume_run
from training_helpers import assert_same_tensors, corpora, log, losses, make_trainer

LAST = "checkpoints/step-00000006"
CHANGES: dict[str, Any] = {
    "data": {"curriculum": "loss", "curriculum_after": 2, "curriculum_steps": 3},
    "validation": {"every": 3, "select": "f1"},
}
F1 = {"dining": 0.5, "home": 0.25}


def fixed(*_: Any) -> Callable[[Any], dict[str, float]]:
    return lambda model: dict(F1)


def interrupt_here(number: int = signal.SIGINT) -> None:
    """A signal, and then work that would never end by itself."""
    os.kill(os.getpid(), number)
    while True:
        time.sleep(0.001)


def train(out: Path) -> Trainer:
    return make_trainer(out, make_evaluate=fixed, **CHANGES)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    train(out).train()
    return out


def assert_resumes_to(whole: Path, out: Path) -> None:
    resume_run(out, corpora(), make_evaluate=fixed).train()
    assert losses(out) == losses(whole)
    assert log(out, "validation") == log(whole, "validation")
    assert_same_tensors(out / LAST, whole / LAST)
    states = [(run / LAST / "trainer.json").read_text() for run in (out, whole)]
    assert states[0] == states[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_validation_is_left_and_made_again(tmp_path: Path, whole: Path, number: int) -> None:
    out = tmp_path / "run"
    trainer = train(out)
    trainer.evaluate = lambda model: interrupt_here(number)  # type: ignore[assignment, return-value]
    with pytest.raises(Interrupted, match="stopped after step 3; resume with: ") as stop:
        trainer.train()
    assert stop.value.exit_code == 128 + number
    assert not log(out, "validation")
    assert_resumes_to(whole, out)


def test_the_last_validation_is_left_and_made_again(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    trainer = train(out)

    def evaluate(model: Any) -> dict[str, float]:
        if trainer.state.step == 6:
            interrupt_here()
        return dict(F1)

    trainer.evaluate = evaluate
    with pytest.raises(Interrupted, match="stopped after step 6"):
        trainer.train()
    assert_resumes_to(whole, out)


def test_measuring_a_curriculum_is_left_and_made_again(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    trainer = train(out)
    trainer.objective.mean_of_each = lambda windows: interrupt_here()  # type: ignore
    with pytest.raises(Interrupted, match="stopped after step 2"):
        trainer.train()
    assert_resumes_to(whole, out)


def test_a_step_is_left_and_made_again(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"

    def slow(*_: Any) -> None:
        if trainer.state.step == 4:
            interrupt_here()

    trainer = train(out)
    trainer.objective.register_forward_hook(slow)
    with pytest.raises(Interrupted, match="stopped after step 4"):
        trainer.train()
    assert [entry["step"] for entry in log(out)] == [1, 2, 3, 4]
    assert_resumes_to(whole, out)


def test_a_signal_during_the_log_stops_before_the_validation(tmp_path: Path, whole: Path) -> None:
    out = tmp_path / "run"
    trainer = make_trainer(
        out,
        make_evaluate=fixed,
        harm=(3, lambda trainer: os.kill(os.getpid(), signal.SIGINT)),
        **CHANGES,
    )
    with pytest.raises(Interrupted, match="stopped after step 3"):
        trainer.train()
    assert not log(out, "validation")
    assert_resumes_to(whole, out)


def test_handlers_are_put_back_and_only_marked_blocks_are_left() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.requested, "and nothing is raised"
        with pytest.raises(Abandoned), interrupt.abandonable():
            pytest.fail("not entered once a signal has come")
        with interrupt.abandonable(enabled=False):
            pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
