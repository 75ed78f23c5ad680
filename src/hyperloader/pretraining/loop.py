"""The pre-training loop of a backbone."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from transformers import PreTrainedModel

from hyperloader.errors import TrainingError
from hyperloader.pretraining.backbone import write_backbone
from hyperloader.pretraining.batches import Corruption, DenoisingBatch, Sequences
from hyperloader.pretraining.measures import Denoiser, HeldOut, tensors
from hyperloader.pretraining.objectives import Symbols
from hyperloader.pretraining.prepared import Prepared
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.training.engine import LoopState, StepResult, TrainingLoop
from hyperloader.training.processes import autocast
from hyperloader.training.run import RunFolder


@dataclass
class PretrainerState(LoopState):
    """Where a pre-training run stands.

    Attributes:
        tokens: of sources and targets, so far.
        drawn: segments drawn of each source.
        counts: sub-tokens of each source of the text.
    """

    tokens: int = 0
    drawn: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


class Pretrainer(TrainingLoop[PretrainerState]):
    """Trains ``backbone`` to restore hidden text.

    Args:
        prepared: the text and its tokenizer.
        run: where the log and the checkpoints go.
        console: where progress is shown; None: nowhere.

    Raises:
        ConfigError: the batch size does not divide by processes times accumulation, or the
            tokenizer has too few sentinels.
    """

    title = "pre-training"
    unit = "tokens"

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
        self.recipe, self.prepared = recipe, prepared
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
        if config.compile:
            self.denoiser.compile()
        super().__init__(
            backbone,
            self.denoiser,
            config,
            PretrainerState(counts=prepared.counts),
            run,
            accelerator,
            seed=recipe.seed,
            every=recipe.evaluation.every,
            console=console,
        )

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
        """Resume from a checkpoint whose weights ``backbone`` was made with.

        Raises:
            TrainingError: the text is not the one that the run was started with.
            CheckpointError: what is stored does not fit.
        """
        state = self.run.restore(folder, PretrainerState, self.denoiser.backbone, self.optimizer)
        if state.counts != self.prepared.counts:
            raise TrainingError(
                f"the text in {self.prepared.folder} is not what {self.run.path} was trained on; "
                "restore it or start a new run"
            )
        self.state = state
        self.sequences.sampler.restore(state.drawn)

    def _loop(self) -> None:
        # The next step's text is hidden while this step's gradients are computed.
        with ThreadPoolExecutor(1) as self._ahead:
            self._coming = self._fetch_ahead(self.state.step + 1)
            super()._loop()

    def _fetch_ahead(self, step: int) -> "Future[tuple[DenoisingBatch, dict[str, int]]]":
        return self._ahead.submit(self._fetch, step)

    def _fetch(self, step: int) -> tuple[DenoisingBatch, dict[str, int]]:
        """This process's rows of a step, and what has been drawn with them."""
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        batch = self.sequences.step(step, rank, world)
        return batch, self.sequences.sampler.state()

    def _step(self, step: int, at: float) -> StepResult:
        batch, drawn = self._coming.result()
        self._coming = self._fetch_ahead(step + 1)
        source, target = tensors(batch, self.accelerator.device)
        pad = self.denoiser.pad
        sizes = torch.stack([target.ne(pad).sum(), source.ne(pad).sum()])
        targets, sources = (int(n) for n in self.accelerator.reduce(sizes, reduction="sum"))
        parts = self.config.gradient_accumulation
        loss, norm = self._update(
            step, at, [(source[part::parts], target[part::parts]) for part in range(parts)], targets
        )
        self.state.tokens += targets + sources
        self.state.drawn = drawn
        entry = {"objective": batch.objective, "tokens": self.state.tokens}
        return StepResult(loss, norm, targets + sources, entry)

    def _evaluate(self) -> dict[str, Any]:
        with autocast(self.accelerator, self.recipe.training.precision):
            return self.held_out(self.denoiser)

    def _record(self, found: dict[str, Any]) -> None:
        state = self.state
        if not math.isfinite(found["loss"]):
            raise self._not_finite("held-out loss", state.step)
        self._log("evaluation", step=state.step, tokens=state.tokens, **found)
        parts = ", ".join(
            f"{key.removesuffix('_loss')} {value:.4f}"
            for key, value in found.items()
            if key.endswith("_loss")
        )
        self.progress.say(
            f"step {state.step:,}  held-out loss {found['loss']:.4f} ({parts})  "
            f"aligned: hidden words {found['hidden_words']:.1%}, copy {found['copy']:.1%}  "
            f"{state.tokens:,} tokens"
        )

    def _write(self, folder: Path) -> None:
        write_backbone(folder, self.denoiser.backbone, self.prepared.tokenizer)
