"""The training loop of a tagger."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape

from hyperloader.checkpoint import write_checkpoint
from hyperloader.codec.codec import Codec
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import Recipe
from hyperloader.errors import CheckpointError, TrainingError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.outputs.loss import WindowLoss
from hyperloader.outputs.registry import output_of
from hyperloader.training.curriculum import Curriculum, Order, Pacing, shared_loss_order
from hyperloader.training.engine import LoopState, StepResult, TrainingLoop, check_batch_size
from hyperloader.training.interrupt import Abandoned
from hyperloader.training.processes import autocast, make_accelerator
from hyperloader.training.progress import Listener
from hyperloader.training.run import RunFolder
from hyperloader.training.sampler import build_sampler
from hyperloader.training.token_dropout import hide_tokens

Windows = Mapping[str, Sequence[EncodedWindow]]
Evaluate = Callable[[AttachedModel], dict[str, float]]


@dataclass
class TrainerState(LoopState):
    """Where a training run stands.

    Attributes:
        drawn: sentences drawn of each task.
        best_step, best_value: the best validation so far; higher is better.
        data: a hash of the encoded sentences.
        order: tasks and sentences, easiest first, once a curriculum has measured the loss.
    """

    drawn: dict[str, int] = field(default_factory=dict)
    best_step: int | None = None
    best_value: float | None = None
    data: str = ""
    order: Order = field(default_factory=dict)


class Trainer(TrainingLoop[TrainerState]):
    """Trains ``model`` on encoded windows.

    Args:
        train, validation: windows of each task.
        run: where the log and the checkpoints go.
        evaluate: F1 of each task on the validation sentences; called on the main process only.
        listeners: told of every logged entry.
        console: where progress is shown; None: nowhere.

    Raises:
        ConfigError: the batch size does not divide by processes times accumulation.
    """

    title = "training"
    unit = "sentences"

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
        accelerator = make_accelerator()
        check_batch_size(config, accelerator)
        self.recipe, self.model, self.codec, self.evaluate = recipe, model, codec, evaluate
        self.train_windows, self.validation_windows = train, validation
        if config.gradient_checkpointing:
            model.gradient_checkpointing_enable()
        self.objective = self._objective()
        self.sampler = build_sampler(recipe, train)
        super().__init__(
            model,
            self.objective,
            config,
            TrainerState(drawn=self.sampler.state(), data=_fingerprint(train, validation)),
            run,
            accelerator,
            seed=recipe.seed,
            every=recipe.validation.every,
            minutes=config.minutes,
            average=config.average,
            console=console,
            listeners=listeners,
        )

    def restore(self, folder: Path) -> None:
        """Resume from a checkpoint whose weights ``model`` was made with.

        Raises:
            TrainingError: the sentences are not those that the run was started with.
            CheckpointError: what is stored does not fit.
        """
        state = self.run.restore(folder, TrainerState, self.model, self.optimizer)
        if self.average is not None:
            self.average.read(folder)
        if state.data != self.state.data:
            raise TrainingError(
                f"the data are not what {self.run.path} was trained on; restore the files "
                "or start a new run"
            )
        if state.drawn.keys() != self.state.drawn.keys():
            raise CheckpointError(f"{folder} counts the sentences of other tasks; it is damaged")
        self.state = state
        self.sampler.restore(state.drawn)
        if state.order:
            self._begin_curriculum()

    def _objective(self) -> WindowLoss:
        """What training makes small."""
        return output_of(self.model).loss(self.model, self.codec, self.recipe.training)

    def _peak_rate(self, parameter: str) -> float:
        rate = self.recipe.training.head_learning_rate
        if rate is not None and parameter in self.model.head_names():
            return rate
        return super()._peak_rate(parameter)

    def _step(self, step: int, at: float) -> StepResult:
        config, accelerator = self.recipe.training, self.accelerator
        if self.recipe.data.curriculum == "loss" and not self.state.order:
            self._measure_curriculum(at)
        draws = self.sampler.step(step, at)
        batch = [self.train_windows[task][index] for task, index in draws]
        if share := config.token_dropout:
            batch = hide_tokens(batch, share, self.codec.pieces.hidden, self.seed, step)
        tasks = list(dict.fromkeys(task for task, _ in draws))
        mine = batch[accelerator.process_index :: accelerator.num_processes]
        parts = config.gradient_accumulation
        (loss,), norm = self._update(
            step,
            at,
            [(mine[part::parts], config.label_smoothing) for part in range(parts)],
            1.0 if config.loss_reduction == "sum" else self.objective.count(batch),
            f" (task {', '.join(tasks)})",
        )
        self.state.drawn = self.sampler.state()
        return StepResult(loss, norm, len(batch), {"tasks": tasks})

    def _measure_curriculum(self, at: float) -> None:
        """Order tasks and sentences by the model's loss, when the time has come."""
        if at <= Pacing.of(self.recipe).after:
            return
        count = sum(map(len, self.train_windows.values()))
        self.progress.say(f"measuring the loss of {count:,} sentences, once")
        order = shared_loss_order(
            self.objective, self.train_windows, self.recipe, self.accelerator, self.interrupt
        )
        if order is None:
            raise Abandoned
        self.state.order = order
        self.progress.say(f"from the easiest task to the hardest: {escape(', '.join(order))}")
        self._begin_curriculum()

    def _begin_curriculum(self) -> None:
        self.sampler.curriculum = Curriculum(self.state.order, Pacing.of(self.recipe))

    def _evaluate(self) -> dict[str, Any]:
        losses = self._validation_losses()
        scores = self.evaluate(self.model) if self.evaluate else {}
        return {
            "step": self.state.step,
            "loss": _mean(losses),
            "loss_by_task": losses,
            "f1": _mean(scores),
            "f1_by_task": scores,
        }

    def _record(self, found: dict[str, Any]) -> None:
        state, losses = self.state, found["loss_by_task"]
        if broken := [task for task, value in losses.items() if not math.isfinite(value)]:
            tasks = f" (task {', '.join(broken)})"
            raise self._not_finite("validation loss", state.step, tasks)
        higher_is_better = {
            "loss": None if found["loss"] is None else -found["loss"],
            "f1": found["f1"],
            "last": float(state.step),
        }
        value = higher_is_better[self.recipe.validation.select]
        best = value is not None and (state.best_value is None or value > state.best_value)
        if best:
            state.best_step, state.best_value = state.step, value
        self._log("validation", **found)
        self.progress.say(_validation_line(found, best))

    @torch.no_grad()
    def _validation_losses(self) -> dict[str, float]:
        """Mean loss per token (or decision) of each task with validation sentences, unsmoothed."""
        self.objective.eval()
        losses = {}
        for task, windows in self.validation_windows.items():
            count = self.objective.count(windows) if windows else 0
            if not count:
                continue
            ordered = sorted(windows, key=lambda w: len(w.source))
            total = 0.0
            for start in range(0, len(ordered), 64):
                with autocast(self.accelerator, self.recipe.training.precision):
                    total += float(self.objective(ordered[start : start + 64]))
            losses[task] = total / count
        return losses

    def _write(self, folder: Path) -> None:
        write_checkpoint(folder, self.model, self.codec)

    def _kept_step(self) -> int | None:
        return self.state.best_step


def _validation_line(found: Mapping[str, Any], best: bool) -> str:
    parts = [f"step {found['step']:,}"]
    if found["loss"] is not None:
        parts.append(f"validation loss {found['loss']:.4f}")
    if found["f1"] is not None:
        each = "  ".join(f"{task} {f1:.3f}" for task, f1 in found["f1_by_task"].items())
        parts.append(escape(f"F1 {found['f1']:.4f} ({each})"))
    return "  ".join(parts) + ("  [green]best so far" if best else "")


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
