"""What training and pre-training share: one optimiser step, and the loop around it.

Everything random is a function of the seed and the step, and the learning rate of the step alone,
so a checkpoint holds tensors and a few numbers, and resuming is exact.
"""

import math
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor, nn

from hyperloader.config import OptimisationSection
from hyperloader.errors import ConfigError, TrainingError
from hyperloader.training.average import Average
from hyperloader.training.budget import Budget
from hyperloader.training.interrupt import Abandoned, Interrupt, Interrupted
from hyperloader.training.optim import build_optimizer, rate_factor, set_rate
from hyperloader.training.processes import any_process, autocast, of_first_process
from hyperloader.training.progress import Listener, RunProgress, Status, show_progress
from hyperloader.training.run import RunFolder, optimizer_tensors


@dataclass
class LoopState:
    """Where a run stands; all of it goes into a checkpoint.

    Attributes:
        step: steps made.
        evaluation_due: a signal kept the evaluation that belongs to this step from being made.
        seconds: used of the time budget, where there is one.
    """

    step: int = 0
    evaluation_due: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step came to. ``units`` (sentences, tokens) give the speed; ``entry`` is logged."""

    loss: float
    gradient_norm: float
    units: int
    entry: Mapping[str, Any]


_S = TypeVar("_S", bound=LoopState)


class TrainingLoop(ABC, Generic[_S]):
    """A loop over steps with evaluations and checkpoints, that can be stopped and resumed.

    Args:
        model: whose parameters are trained and saved.
        loss: a module around ``model`` that computes the loss of a part of a batch, as a sum; or
            several losses, which are added up.
        every: steps between evaluations (each followed by a checkpoint).
        average: decay of the moving average of the trained parameters that is evaluated and saved
            in their place; 0: there is none.
        console: where progress is shown; None: nowhere.
        listeners: told of every logged entry.

    Raises:
        ConfigError: the batch size does not divide by processes times accumulation.
    """

    title: ClassVar[str]
    unit: ClassVar[str]

    def __init__(
        self,
        model: nn.Module,
        loss: nn.Module,
        config: OptimisationSection,
        state: _S,
        run: RunFolder,
        accelerator: Accelerator,
        *,
        seed: int,
        every: int,
        minutes: float | None = None,
        average: float = 0.0,
        console: Console | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        check_batch_size(config, accelerator)
        self.trained, self.config, self.state, self.run = model, config, state, run
        self.accelerator, self.seed, self.every, self.minutes = accelerator, seed, every, minutes
        self.console = console or Console(quiet=True)
        self.listeners = listeners
        self.clock: Callable[[], float] = time.monotonic
        self.optimizer = build_optimizer(model, config, self._peak_rate)
        # DistributedDataParallel wraps forward only, so the loss is computed inside of it.
        self.step_module = accelerator.prepare(loss)
        self.average = Average(model, average) if average else None
        self.interrupt = Interrupt()
        self.progress: RunProgress = show_progress(self.console, self.title, self.unit)

    @abstractmethod
    def _step(self, step: int, at: float) -> StepResult:
        """Make step ``step``; ``at`` is where it lies among the recipe's steps."""

    @abstractmethod
    def _evaluate(self) -> dict[str, Any]:
        """Measure the model (the main process does); nothing else may change."""

    @abstractmethod
    def _record(self, found: dict[str, Any]) -> None:
        """Log and show what :meth:`_evaluate` found, and note it in the state."""

    @abstractmethod
    def _write(self, folder: Path) -> None:
        """Write the model into the folder of a checkpoint."""

    def _peak_rate(self, parameter: str) -> float:
        """The highest learning rate of the parameter of the model with this name."""
        return self.config.peak_rate(parameter)

    def _kept_step(self) -> int | None:
        """The step of an older checkpoint that is kept beside the newest."""
        return None

    def train(self) -> _S:
        """Train to the last step, or until the time is used up.

        Raises:
            TrainingError: a loss or a gradient that is not finite.
            Interrupted: a signal came; a checkpoint of the last whole step is written.
        """
        try:
            with self.interrupt, self.progress:
                self._loop()
        finally:
            self.run.release()
        return self.state

    def _loop(self) -> None:
        state = self.state
        if self.accelerator.is_main_process:
            self.run.cut_log(state.step)
            if state.step > 0:
                self.run.tidy(state.step, keep=self._kept_step())
        budget = self._budget()
        if state.step == 0:
            self._save()
        elif state.evaluation_due and self._evaluate_and_save(budget):
            raise self._interrupted()
        started, first, units, paused = self.clock(), self._share(budget), 0, 0.0
        while not self._finished(budget):
            step, at = state.step + 1, self._position(state.step + 1, budget)
            try:
                result = self._step(step, at)
            except Abandoned:
                self._save()
                raise self._interrupted() from None
            state.step, units = step, units + result.units
            if budget is not None:
                state.seconds = of_first_process(self.accelerator, budget.used)
            now = self.clock() - started
            speed = units / max(now - paused, 1e-9)
            rate = self.config.learning_rate * rate_factor(at, self.config)
            self._log(
                "train",
                step=step,
                **result.entry,
                loss=result.loss,
                learning_rate=rate,
                gradient_norm=result.gradient_norm,
                **{f"{self.unit}_per_second": round(speed, 1)},
            )
            share = self._share(budget)
            left = now * (1 - share) / (share - first) if share > first else None
            total = self.config.steps if budget is None else None
            self.progress.update(Status(step, total, share, result.loss, rate, speed, left))
            state.evaluation_due = self._is_due(at, budget)
            stop = any_process(self.accelerator, self.interrupt.requested)
            if state.evaluation_due and not stop:
                before = self.clock()
                stop = self._evaluate_and_save(budget)
                paused += self.clock() - before
            elif stop:
                self._save()
            if stop:
                raise self._interrupted()

    def _update(
        self,
        step: int,
        at: float,
        parts: Sequence[tuple[Any, ...]],
        divisor: float | Tensor,
        what: str = "",
    ) -> tuple[list[float], float]:
        """One optimiser step; its losses and the norm of its gradient.

        Args:
            parts: arguments of the loss module, for each part of this process's share of the batch.
            divisor: what each summed loss of all parts and processes is divided by.
            what: names the batch in an error.
        """
        accelerator = self.accelerator
        world = accelerator.num_processes
        self._seed(step)
        set_rate(self.optimizer, rate_factor(at, self.config))
        self.step_module.train()
        total = torch.zeros((), device=accelerator.device)
        self.optimizer.zero_grad(set_to_none=True)
        # Processes that wait for one another cannot leave in the middle of a step.
        with self.interrupt.abandonable(world == 1):
            for number, part in enumerate(parts, start=1):
                last = number == len(parts)
                with nullcontext() if last else accelerator.no_sync(self.step_module):
                    with autocast(accelerator, self.config.precision):
                        losses = self.step_module(*part) / divisor
                    # Gradients are averaged over processes; each computed its share of the sum.
                    accelerator.backward(losses.sum() * world)
                total = total + losses.detach()
        values = accelerator.reduce(total, reduction="sum").reshape(-1).tolist()
        norm = float(accelerator.clip_grad_norm_(self.trained.parameters(), self.config.clip_norm))
        finite = all(map(math.isfinite, values))
        if not (finite and math.isfinite(norm)):
            raise self._not_finite("gradient" if finite else "loss", step, what)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(step)
        return values, norm

    def _seed(self, step: int) -> None:
        """Seed torch for a step, so that dropout needs no state in a checkpoint."""
        words = [self.seed, step, self.accelerator.process_index]
        drawn = np.random.SeedSequence(words).generate_state(1, np.uint64)
        torch.manual_seed(int(drawn[0] >> np.uint64(1)))

    def _evaluate_and_save(self, budget: Budget | None) -> bool:
        """Evaluate and write a checkpoint; whether a signal came meanwhile.

        An evaluation that a signal breaks off is made when the run is resumed.
        """
        before = self.clock()
        if self.accelerator.is_main_process:
            try:
                # Nothing breaks off an exchange of weights.
                with self._averaged(), self.interrupt.abandonable():
                    found = self._evaluate()
            except Abandoned:
                pass
            else:
                self.state.evaluation_due = False
                self._record(found)
        if budget is not None:
            budget.evaluated(of_first_process(self.accelerator, self.clock() - before))
            self.state.seconds = of_first_process(self.accelerator, budget.used)
        self._save()
        return any_process(self.accelerator, self.interrupt.requested)

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            tensors = optimizer_tensors(self.trained, self.optimizer)
            with self._averaged():
                self.run.save(self.state, self._write_all, tensors, keep=self._kept_step())
        self.accelerator.wait_for_everyone()

    def _averaged(self) -> AbstractContextManager[None]:
        """A block in which the model has the average of its weights, where there is one."""
        return nullcontext() if self.average is None else self.average.in_model()

    def _write_all(self, folder: Path) -> None:
        self._write(folder)
        if self.average is not None:
            self.average.write(folder)

    def _log(self, kind: str, **entry: Any) -> None:
        if self.accelerator.is_main_process:
            self.run.log(kind=kind, **entry)
            for listener in self.listeners:
                listener(kind, entry)

    def _budget(self) -> Budget | None:
        if self.minutes is None:
            return None
        return Budget(60 * self.minutes, self.state.seconds or 0.0, self.clock)

    def _share(self, budget: Budget | None) -> float:
        """How much of the run is done, from 0 to 1."""
        if budget is None:
            return self.state.step / self.config.steps
        return budget.share(self.state.seconds or 0.0)

    def _finished(self, budget: Budget | None) -> bool:
        return self.state.step > 0 and self._share(budget) >= 1

    def _position(self, step: int, budget: Budget | None) -> float:
        """Where ``step`` lies among the recipe's steps: there, or by the share of time used."""
        if budget is None:
            return step
        return 1 + self.config.steps * self._share(budget)

    def _is_due(self, at: float, budget: Budget | None) -> bool:
        """Whether an evaluation belongs after the step at ``at``."""
        if self._finished(budget):
            return True
        if budget is None:
            return self.state.step % self.every == 0
        passed = (self._position(self.state.step + 1, budget) - 1) // self.every > (
            at - 1
        ) // self.every
        return bool(of_first_process(self.accelerator, passed and budget.may_evaluate))

    def _not_finite(self, what: str, step: int, where: str = "") -> TrainingError:
        kept = self.run.newest()
        return TrainingError(
            f"the {what} is not finite at step {step}{where}; "
            + (f"the last good checkpoint is {kept}; " if kept else "")
            + "lower training.learning_rate or use training.precision=float32"
        )

    def _interrupted(self) -> Interrupted:
        return Interrupted(
            f"stopped after step {self.state.step}; resume with: "
            f"{self.run.command} --resume {self.run.path}",
            self.interrupt.number or signal.SIGINT,
        )


def check_batch_size(config: OptimisationSection, accelerator: Accelerator) -> None:
    """Raise ConfigError unless a batch divides into processes times parts."""
    processes, parts = accelerator.num_processes, config.gradient_accumulation
    if config.batch_size % (processes * parts):
        raise ConfigError(
            f"training.batch_size {config.batch_size} does not divide into "
            f"{processes} processes x {parts} parts"
        )
