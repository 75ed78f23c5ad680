"""The pre-training loop: everything random is a function of the step, so resuming is exact."""

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.console import Console
from transformers import PreTrainedModel

from hyperloader.checkpoint import CHECKPOINTS, TRAINER, step_name
from hyperloader.errors import ConfigError, TrainingError
from hyperloader.modeling.pretrained import write_tensors
from hyperloader.pretraining.backbone import write_backbone
from hyperloader.pretraining.batches import Corruption, DenoisingBatch, Sequences
from hyperloader.pretraining.measures import Denoiser, HeldOut, tensors
from hyperloader.pretraining.objectives import Symbols
from hyperloader.pretraining.optim import build_optimizer, rate_factor
from hyperloader.pretraining.prepared import Prepared
from hyperloader.pretraining.progress import PretrainingProgress
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.store import Kind, atomic_folder, remove_checkpoint, remove_checkpoints
from hyperloader.training.interrupt import Interrupt, Stopped
from hyperloader.training.optim import set_rate
from hyperloader.training.processes import any_process, autocast
from hyperloader.training.run import OPTIMIZER, RunFolder, optimizer_tensors


@dataclass
class Progression:
    """Where a run stands; all of it goes into a checkpoint. ``tokens``: sources and targets."""

    step: int = 0
    tokens: int = 0
    drawn: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class Pretrainer:
    """Trains ``backbone`` to restore hidden text.

    Args:
        prepared: the text and its tokenizer.
        run: where the log and the checkpoints go.

    Raises:
        ConfigError: the batch size does not divide by processes times accumulation, or the
            tokenizer has too few sentinels.
    """

    def __init__(
        self,
        backbone: PreTrainedModel,
        recipe: PretrainRecipe,
        prepared: Prepared,
        run: RunFolder,
        accelerator: Accelerator,
        console: Console | None = None,
    ) -> None:
        config = recipe.training
        self.recipe, self.prepared, self.run, self.accelerator = recipe, prepared, run, accelerator
        self.console = console or Console(quiet=True)
        parts = accelerator.num_processes * config.gradient_accumulation
        if config.batch_size % parts:
            raise ConfigError(
                f"training.batch_size {config.batch_size} does not divide into "
                f"{accelerator.num_processes} processes x {config.gradient_accumulation} parts"
            )
        symbols = Symbols.of(prepared.tokenizer)
        corruption = Corruption(symbols, recipe.objectives)
        self.sequences = Sequences(
            prepared,
            corruption,
            recipe.text.weights,
            batch_size=config.batch_size,
            seed=recipe.seed,
        )
        self.held_out = HeldOut(prepared, corruption, recipe.evaluation.sequences)
        self.denoiser = Denoiser(backbone, symbols.pad, config.vocabulary)
        self.optimizer = build_optimizer(backbone, config)
        if config.compile:
            self.denoiser.compile()
        self.step_module = accelerator.prepare(self.denoiser)
        self.progression = Progression(counts=prepared.counts)

    def summary(self) -> str:
        """One line on what is trained on what."""
        config = self.recipe.training
        size = sum(p.numel() for p in self.denoiser.parameters())
        tokens = sum(len(text) for text in self.sequences.texts.values())
        return (
            f"{size:,} parameters, {tokens:,} sub-tokens of text in "
            f"{len(self.sequences.texts)} sources, {config.steps:,} steps of {config.batch_size} "
            f"sequences on {self.accelerator.device.type}, saved in {self.run.path}"
        )

    def restore(self, folder: Path) -> None:
        """Go on from a checkpoint whose weights ``backbone`` was made with.

        Raises:
            TrainingError: the text is not the one that the run was started with.
        """
        state = self.run.restore(folder, self.denoiser.backbone, self.optimizer)
        if state["counts"] != self.prepared.counts:
            raise TrainingError(
                f"the text in {self.prepared.folder} is not what {self.run.path} was trained on; "
                "restore it or start a new run"
            )
        self.progression = Progression(**state)
        self.sequences.sampler.restore(self.progression.drawn)

    def train(self) -> Progression:
        """Train to the recipe's last step.

        Raises:
            TrainingError: a loss or a gradient that is not finite.
            Stopped: a signal asked for it; a checkpoint of the last whole step is written.
        """
        config, state = self.recipe.training, self.progression
        if self.accelerator.is_main_process:
            self.run.cut_log(state.step)
        if state.step == 0:
            self._save()
        started, before, idle = time.monotonic(), state.tokens, 0.0
        with (
            Interrupt() as interrupt,
            PretrainingProgress(self.console, config.steps, state.step) as progress,
            # The next step's text is hidden while this step's gradients are computed.
            ThreadPoolExecutor(1) as ahead,
        ):
            coming = ahead.submit(self._fetch, state.step + 1)
            for step in range(state.step + 1, config.steps + 1):
                batch, drawn = coming.result()
                coming = ahead.submit(self._fetch, step + 1)
                loss, norm, tokens = self._step(step, batch)
                state.step, state.tokens, state.drawn = step, state.tokens + tokens, drawn
                speed = (state.tokens - before) / (time.monotonic() - started - idle)
                rate = self.optimizer.param_groups[0]["lr"]
                self._log(
                    "train",
                    step=step,
                    objective=batch.objective,
                    loss=loss,
                    learning_rate=rate,
                    gradient_norm=norm,
                    tokens=state.tokens,
                    tokens_per_second=round(speed),
                )
                progress.step(step, loss, rate, speed)
                stop = any_process(self.accelerator, interrupt.requested)
                if step % self.recipe.evaluation.every == 0 or step == config.steps:
                    paused = time.monotonic()
                    self._evaluate(progress, speed)
                    self._save()
                    idle += time.monotonic() - paused
                elif stop:
                    self._save()
                if stop:
                    raise Stopped(
                        f"stopped after step {step}; go on with: "
                        f"hyperloader pretrain --resume {self.run.path}"
                    )
        return state

    def _fetch(self, step: int) -> tuple[DenoisingBatch, dict[str, int]]:
        """This process's rows of a step, and what has been drawn with them."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        batch = self.sequences.step(step, rank, world)
        return batch, self.sequences.sampler.state()

    def _step(self, step: int, batch: DenoisingBatch) -> tuple[float, float, int]:
        """One update; its loss a target token, gradient norm and tokens."""
        config, accelerator = self.recipe.training, self.accelerator
        world, rank = accelerator.num_processes, accelerator.process_index
        # Seeded anew each step, so that dropout needs no state in the checkpoint.
        seed = np.random.SeedSequence([self.recipe.seed, step, rank]).generate_state(1, np.uint64)
        torch.manual_seed(int(seed[0] >> np.uint64(1)))
        set_rate(self.optimizer, rate_factor(step, config))
        source, target = tensors(batch, accelerator.device)
        pad = self.denoiser.pad
        sizes = torch.stack([target.ne(pad).sum(), source.ne(pad).sum()])
        targets, sources = (int(n) for n in accelerator.reduce(sizes, reduction="sum"))
        self.step_module.train()
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=accelerator.device)
        parts = config.gradient_accumulation
        for part in range(parts):
            last = part + 1 == parts
            with nullcontext() if last else accelerator.no_sync(self.step_module):
                with autocast(self.accelerator, self.recipe.training.precision):
                    loss = self.step_module(source[part::parts], target[part::parts]) / targets
                # Gradients are averaged over processes; each computed its share of the sum.
                accelerator.backward(loss * world)
            total += loss.detach()
        value = float(accelerator.reduce(total, reduction="sum"))
        norm = float(accelerator.clip_grad_norm_(self.denoiser.parameters(), config.clip_norm))
        if not (math.isfinite(value) and math.isfinite(norm)):
            raise TrainingError(
                f"the {'gradient' if math.isfinite(value) else 'loss'} is not finite at step {step}"
                f"; the last good checkpoint is {self.run.newest()}; lower training.learning_rate "
                "or use precision float32"
            )
        self.optimizer.step()
        return value, norm, targets + sources

    def _evaluate(self, progress: PretrainingProgress, speed: float) -> None:
        if self.accelerator.is_main_process:
            with autocast(self.accelerator, self.recipe.training.precision):
                found = self.held_out(self.denoiser)
            state = self.progression
            self._log("evaluation", step=state.step, tokens=state.tokens, **found)
            progress.measured(state.step, found, state.tokens, speed)

    def _save(self) -> None:
        """Write the checkpoint of this step; the older ones are then removed."""
        if self.accelerator.is_main_process:
            backbone, state = self.denoiser.backbone, self.progression
            target = self.run.path / CHECKPOINTS / step_name(state.step)
            remove_checkpoint(target)  # a damaged one, or the run would have gone on from it
            with atomic_folder(target, Kind.BACKBONE) as folder:
                write_backbone(folder, backbone, self.prepared.tokenizer)
                write_tensors(folder / OPTIMIZER, optimizer_tensors(backbone, self.optimizer))
                (folder / TRAINER).write_text(json.dumps(vars(state), indent=1))
            remove_checkpoints(target.parent, keep={target.name})
        self.accelerator.wait_for_everyone()

    def _log(self, kind: str, **entry: Any) -> None:
        if self.accelerator.is_main_process:
            self.run.log(kind=kind, **entry)
