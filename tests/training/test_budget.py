"""A run that is given minutes: its schedule follows the share of time used, whatever the speed."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from hyperloader.checkpoint import best_checkpoint
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.training.budget import Budget
from hyperloader.training.loop import Trainer
from hyperloader.training.optim import rate_factor
from hyperloader.training.run import RunFolder
from hyperloader.training.start import resume_run
from training_helpers import cli, corpora, log, make_trainer, settings, write_data

# As shares of the minute: warm-up a tenth, a validation every quarter.
TRAINING = {"minutes": 1.0, "steps": 40, "warmup_steps": 4, "schedule": "linear"}
CHANGES: dict[str, Any] = {"training": TRAINING, "validation": {"every": 10, "select": "f1"}}


class Clock:
    """Seconds that pass when steps and validations are made, and not otherwise."""

    def __init__(self, step: float, validation: float) -> None:
        self.now, self.step, self.validation = 1000.0, step, validation

    def __call__(self) -> float:
        return self.now

    def drive(self, trainer: Trainer) -> None:
        trainer.clock = self
        made, evaluated = trainer._update, trainer._evaluate

        def update(*arguments: Any) -> tuple[float, float]:
            self.now += self.step
            return made(*arguments)

        def evaluate() -> dict[str, Any]:
            self.now += self.validation
            return evaluated()

        trainer._update = update  # type: ignore[method-assign]
        trainer._evaluate = evaluate  # type: ignore[method-assign]


def evaluate(*_: Any) -> Any:
    return lambda model: {"home": 0.5}


def started(out: Path, clock: Clock, **changes: Any) -> Trainer:
    trainer = make_trainer(out, make_evaluate=evaluate, **{**CHANGES, **changes})
    clock.drive(trainer)
    return trainer


@pytest.mark.parametrize(("step", "count"), [(1.25, 48), (5.0, 12)])
def test_the_schedule_follows_the_time(tmp_path: Path, step: float, count: int) -> None:
    """A machine of any speed ends after a minute, with the whole schedule behind it."""
    out, clock = tmp_path / "run", Clock(step, 0.0)
    began = clock.now
    started(out, clock).train()
    assert clock.now - began == 60
    rates = [entry["learning_rate"] for entry in log(out)]
    assert len(rates) == count
    section = TrainingSection(**{**TRAINING, "minutes": None})
    # Step k begins when (k - 1) / count of the time is used.
    expected = [1e-3 * rate_factor(1 + 40 * k / count, section) for k in range(count)]
    assert rates == pytest.approx(expected)
    assert rates[-1] < 0.1 * max(rates)
    quarter = count // 4
    validated = [entry["step"] for entry in log(out, "validation")]
    assert validated == [quarter, 2 * quarter, 3 * quarter, count]
    assert best_checkpoint(out).name == f"step-{quarter:08d}"


def test_time_is_kept_for_the_last_validation(tmp_path: Path) -> None:
    out, clock = tmp_path / "run", Clock(2.0, 6.0)
    began = clock.now
    started(out, clock).train()
    assert 58 <= clock.now - began <= 62
    last = log(out)[-1]["step"]
    assert log(out, "validation")[-1]["step"] == last


def test_long_validations_are_made_less_often(tmp_path: Path) -> None:
    """Asked for after every step, they take a quarter of the time."""
    out, clock = tmp_path / "run", Clock(1.0, 3.0)
    started(out, clock, validation={"every": 1, "select": "f1"}).train()
    made = [entry["step"] for entry in log(out, "validation")]
    assert made[-1] == log(out)[-1]["step"]
    assert len(made) >= 4
    assert all(9 <= after - before <= 10 for before, after in pairwise(made[:-1]))


def test_a_budget_below_one_step_still_makes_one(tmp_path: Path) -> None:
    out, clock = tmp_path / "run", Clock(500.0, 1.0)
    started(out, clock).train()
    assert [entry["step"] for entry in log(out)] == [1]
    assert [entry["step"] for entry in log(out, "validation")] == [1]


def stop(trainer: Trainer) -> None:
    raise InterruptedError


def test_a_resumed_run_uses_what_is_left(tmp_path: Path) -> None:
    out, clock = tmp_path / "run", Clock(3.0, 0.0)
    trainer = make_trainer(out, make_evaluate=evaluate, harm=(12, stop), **CHANGES)
    clock.drive(trainer)
    with pytest.raises(InterruptedError):
        trainer.train()
    again = resume_run(out, corpora(), make_evaluate=evaluate)
    assert (again.state.step, again.state.seconds) == (10, 30)
    clock.drive(again)
    before = clock.now
    again.train()
    assert clock.now - before == 30
    assert [entry["step"] for entry in log(out)] == list(range(1, 21))
    with pytest.raises(ConfigError, match=r"has been trained for 1\.0 minutes already"):
        resume_run(out, corpora(), minutes=0.5)
    with pytest.raises(ConfigError, match="steps do not make it longer; give --minutes"):
        resume_run(out, corpora(), steps=80)
    more = resume_run(out, corpora(), make_evaluate=evaluate, minutes=1.5)
    clock.drive(more)
    more.train()
    assert log(out)[-1]["step"] == 30
    assert RunFolder.open(out).recipe().training.minutes == 1.5


def test_the_command_takes_minutes_and_the_recipe_records_them(tmp_path: Path) -> None:
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    done = cli("train", "--data", data, "--out", out, *settings(), "--minutes", 0.001)
    assert done.code == 0, done.err
    assert RunFolder.open(out).recipe().training.minutes == 0.001
    assert log(out, "validation")[-1]["step"] == log(out)[-1]["step"]


def test_a_share_never_exceeds_one() -> None:
    now = [0.0]
    budget = Budget(10, 4, lambda: now[0])
    assert budget.used == 4
    now[0] = 3
    assert budget.share(budget.used) == pytest.approx(0.7)
    budget.evaluated(2)
    assert budget.share(budget.used) == pytest.approx(7 / 8)
    assert not budget.may_evaluate
    now[0] = 9
    assert budget.may_evaluate
    assert budget.share(budget.used) == 1
