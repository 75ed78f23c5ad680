"""The training loop: one function of the step number, so that resuming is exact."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console

from hyperloader.codec.codec import Codec
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import Recipe
from hyperloader.errors import ConfigError, TrainingError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.pretrained import load_parameters, read_tensors
from hyperloader.outputs.registry import output_of
from hyperloader.training.curriculum import Curriculum, Order, Pacing, shared_loss_order
from hyperloader.training.interrupt import Interrupt, Stopped
from hyperloader.training.optim import build_optimizer, rate_factor, set_rate
from hyperloader.training.processes import any_process, autocast
from hyperloader.training.progress import Listener, TrainingProgress
from hyperloader.training.run import RunFolder
from hyperloader.training.sampler import build_sampler

Windows = Mapping[str, Sequence[EncodedWindow]]
Evaluate = Callable[[AttachedModel], dict[str, float]]


@dataclass
class Progression:
    """Where a run stands; all of it goes into a checkpoint."""

    step: int = 0
    drawn: dict[str, int] = field(default_factory=dict)
    best_step: int | None = None
    best_value: float | None = None
    data: str = ""
    # By the model's own loss, from when that has been measured on.
    order: Order = field(default_factory=dict)


class Trainer:
    """Trains ``model`` on encoded windows.

    Args:
        train, validation: windows of each task.
        run: where the log and the checkpoints go.
        evaluate: F1 of each task on the validation sentences; called on the main process only.
        listeners: told of every logged entry.

    Raises:
        ConfigError: the batch size does not divide by processes times accumulation.
    """

    def __init__(
        self,
        model: AttachedModel,
        codec: Codec,
        recipe: Recipe,
        train: Windows,
        validation: Windows,
        run: RunFolder,
        *,
        evaluate: Evaluate | None = None,
        listeners: Sequence[Listener] = (),
        console: Console | None = None,
    ) -> None:
        config = recipe.training
        self.recipe, self.codec, self.run = recipe, codec, run
        self.train_windows, self.validation_windows = train, validation
        self.evaluate, self.listeners = evaluate, listeners
        # Accelerate takes a launcher's CPU processes for independent ones unless told, and it
        # fixes a precision once for the whole process, so that is left to this trainer.
        self.accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(), mixed_precision="no"
        )
        parts = self.accelerator.num_processes * config.gradient_accumulation
        if config.batch_size % parts:
            raise ConfigError(
                f"training.batch_size {config.batch_size} does not divide into "
                f"{self.accelerator.num_processes} processes x {config.gradient_accumulation} parts"
            )
        self.console = console or Console(quiet=not self.accelerator.is_main_process)
        self.model = model
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        self.optimizer = build_optimizer(model, config)
        self.objective = output_of(model).loss(model, codec, config)
        # DistributedDataParallel wraps forward only, so the loss is computed inside of it.
        self.step_module = self.accelerator.prepare(self.objective)
        self.sampler = build_sampler(recipe, train)
        self.progression = Progression(
            drawn=self.sampler.state(), data=_fingerprint(train, validation)
        )

    def resume(self) -> int:
        """Go on from the run's newest complete checkpoint, or from the start; return the step.

        Raises:
            TrainingError: the sentences are not those that the run was started with.
        """
        folder = self.run.newest()
        if folder is not None:
            tensors = read_tensors(folder / "model.safetensors")
            load_parameters(self.model, tensors, str(folder / "model.safetensors"))
            state = self.run.restore(folder, self.model, self.optimizer)
            if state["data"] != self.progression.data:
                raise TrainingError(
                    f"the data are not what {self.run.path} was trained on; restore the files "
                    "or start a new run"
                )
            self.progression = Progression(**state)
            self.sampler.restore(self.progression.drawn)
            if self.progression.order:
                self._begin_curriculum()
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.run.cut_log(self.progression.step)
        return self.progression.step

    def train(self) -> Progression:
        """Train to the recipe's last step.

        Raises:
            TrainingError: a loss or a gradient that is not finite (naming step and task).
            Stopped: a signal asked for it; a checkpoint of the last whole step is written.
        """
        config, state = self.recipe.training, self.progression
        if state.step == 0:
            self._save()
        started, first = time.monotonic(), state.step
        spent_validating = 0.0
        with (
            Interrupt() as interrupt,
            TrainingProgress(self.console, config.steps, state.step) as progress,
        ):
            for step in range(state.step + 1, config.steps + 1):
                loss, norm, tasks = self._step(step)
                state.step, state.drawn = step, self.sampler.state()
                seconds = time.monotonic() - started - spent_validating
                speed = (step - first) * config.batch_size / seconds
                rate = config.learning_rate * rate_factor(step, config)
                self._log(
                    "train",
                    step=step,
                    loss=loss,
                    tasks=tasks,
                    learning_rate=rate,
                    gradient_norm=norm,
                    sentences_per_second=round(speed, 1),
                )
                progress.step(step, loss, rate, speed)
                stop = any_process(self.accelerator, interrupt.requested)
                if step % self.recipe.validation.every == 0 or step == config.steps:
                    before = time.monotonic()
                    self._validate(progress)
                    spent_validating += time.monotonic() - before
                elif stop:
                    self._save()
                if stop:
                    raise Stopped(
                        f"stopped after step {step}; go on with: "
                        f"hyperloader train --resume {self.run.path}"
                    )
        return state

    def _step(self, step: int) -> tuple[float, float, list[str]]:
        config = self.recipe.training
        if self.recipe.data.curriculum == "loss" and not self.progression.order:
            self._measure_curriculum(step)
        draws = self.sampler.step(step)
        batch = [self.train_windows[task][index] for task, index in draws]
        tasks = list(dict.fromkeys(task for task, _ in draws))
        # Seeded anew each step, so that dropout needs no state in the checkpoint.
        rank = self.accelerator.process_index
        seed = np.random.SeedSequence([self.recipe.seed, step, rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0] >> np.uint64(1)))
        set_rate(self.optimizer, rate_factor(step, config))
        self.step_module.train()
        world, parts = self.accelerator.num_processes, config.gradient_accumulation
        mine = batch[rank::world]
        smoothing = config.label_smoothing
        divisor = 1.0 if config.loss_reduction == "sum" else self.objective.count(batch)
        total = torch.zeros((), device=self.accelerator.device)
        self.optimizer.zero_grad(set_to_none=True)
        for part in range(parts):
            between = (
                self.accelerator.no_sync(self.step_module) if part + 1 < parts else nullcontext()
            )
            with between:
                with autocast(self.accelerator, self.recipe.training.precision):
                    loss = self.step_module(mine[part::parts], smoothing) / divisor
                # Gradients are averaged over processes; each computed its share of the sum.
                self.accelerator.backward(loss * world)
            total += loss.detach()
        value = float(self.accelerator.reduce(total, reduction="sum"))
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), config.clip_norm))
        if not (math.isfinite(value) and math.isfinite(norm)):
            what = "gradient" if math.isfinite(value) else "loss"
            raise self._not_finite(what, step, tasks)
        self.optimizer.step()
        return value, norm, tasks

    def _measure_curriculum(self, step: int) -> None:
        if step > Pacing.of(self.recipe).after:
            count = sum(map(len, self.train_windows.values()))
            self.console.print(f"measuring the loss of {count:,} sentences, once")
            self.progression.order = shared_loss_order(
                self.objective, self.train_windows, self.recipe, self.accelerator
            )
            self.console.print(f"from the easiest task on: {', '.join(self.progression.order)}")
            self._begin_curriculum()

    def _begin_curriculum(self) -> None:
        self.sampler.curriculum = Curriculum(self.progression.order, Pacing.of(self.recipe))

    def _validate(self, progress: TrainingProgress) -> None:
        state, select = self.progression, self.recipe.validation.select
        if self.accelerator.is_main_process:
            losses = self._validation_losses()
            scores = self.evaluate(self.model) if self.evaluate else {}
            loss, f1 = _mean(losses), _mean(scores)
            if broken := [task for task, value in losses.items() if not math.isfinite(value)]:
                raise self._not_finite("validation loss", state.step, broken)
            entry: dict[str, Any] = {
                "step": state.step,
                "loss": loss,
                "loss_by_task": losses,
                "f1": f1,
                "f1_by_task": scores,
            }
            higher_is_better = {
                "loss": None if loss is None else -loss,
                "f1": f1,
                "last": float(state.step),
            }
            value = higher_is_better[select]
            best = value is not None and (state.best_value is None or value > state.best_value)
            if best:
                state.best_step, state.best_value = state.step, value
            self._log("validation", **entry)
            progress.validated(entry, best)
        self._save()

    @torch.no_grad()
    def _validation_losses(self) -> dict[str, float]:
        """Mean loss per token (or decision) of each task with validation sentences, unsmoothed."""
        self.objective.eval()
        losses = {}
        for task, windows in self.validation_windows.items():
            if not windows:
                continue
            ordered = sorted(windows, key=lambda w: len(w.source))
            total = 0.0
            for start in range(0, len(ordered), 64):
                with autocast(self.accelerator, self.recipe.training.precision):
                    total += float(self.objective(ordered[start : start + 64]))
            losses[task] = total / self.objective.count(windows)
        return losses

    def _not_finite(self, what: str, step: int, tasks: Sequence[str]) -> TrainingError:
        kept = self.run.newest()
        return TrainingError(
            f"the {what} is not finite at step {step} (task {', '.join(tasks)}); "
            + (f"the last good checkpoint is {kept}; " if kept else "")
            + "lower training.learning_rate or use precision float32"
        )

    def _save(self) -> None:
        if self.accelerator.is_main_process:
            self.run.save(self.model, self.codec, self.optimizer, vars(self.progression))
        self.accelerator.wait_for_everyone()

    def _log(self, kind: str, **entry: Any) -> None:
        if self.accelerator.is_main_process:
            self.run.log(kind=kind, **entry)
            for listener in self.listeners:
                listener(kind, entry)


def _mean(values: Mapping[str, float]) -> float | None:
    return sum(values.values()) / len(values) if values else None


def _fingerprint(*parts: Windows) -> str:
    """A hash of every encoded sentence, in order."""
    digest = hashlib.sha256()
    for windows in parts:
        for task, rows in windows.items():
            digest.update(f"{task} {len(rows)}\n".encode())
            for row in rows:
                digest.update(repr((row.source, row.target)).encode())
    return digest.hexdigest()
