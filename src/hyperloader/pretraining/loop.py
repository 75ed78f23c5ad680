"""The pre-training loop of a backbone."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from rich.console import Console
from torch import Tensor
from transformers import PreTrainedModel

from hyperloader.errors import TrainingError
from hyperloader.pretraining.backbone import write_backbone
from hyperloader.pretraining.batches import Corruption, DenoisingBatch, Sequences
from hyperloader.pretraining.distillation import Lesson, Loaded, with_words
from hyperloader.pretraining.measures import Denoiser, HeldOut, tensors
from hyperloader.pretraining.objectives import Symbols
from hyperloader.pretraining.prepared import Prepared
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.pretraining.teaching import Teaching
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
        teacher: of the recipe, by :func:`~hyperloader.pretraining.distillation.load_teacher`.

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
        teacher: Loaded | None = None,
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
        words = self.held_out.batches["words"]
        self.teaching = teacher and Teaching.of(
            recipe, teacher, prepared, words, backbone, accelerator.device
        )
        self.denoiser = Denoiser(
            backbone,
            symbols.pad,
            config.vocabulary,
            self.teaching.distiller if self.teaching else None,
        )
        if config.compile:
            self.denoiser.compile()
        super().__init__(
            self.denoiser if self.teaching else backbone,  # with the maps to the teacher
            self.denoiser,
            config,
            PretrainerState(drawn=self.sequences.sampler.state(), counts=prepared.counts),
            run,
            accelerator,
            seed=recipe.seed,
            every=recipe.evaluation.every,
            console=console,
        )

    def summary(self) -> str:
        """One line on what is trained on what."""
        config = self.recipe.training
        size = sum(p.numel() for p in self.denoiser.backbone.parameters())
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
        state = self.run.restore(folder, PretrainerState, self.trained, self.optimizer)
        if self.teaching is not None:
            self.teaching.restore(folder)
        if state.counts != self.prepared.counts or state.drawn.keys() != self.state.drawn.keys():
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
        lesson, divisor = self._lesson(batch, targets)
        parts = self.config.gradient_accumulation
        losses, norm = self._update(
            step,
            at,
            [
                (
                    source[part::parts],
                    target[part::parts],
                    None if lesson is None else lesson.part(part, parts),
                )
                for part in range(parts)
            ],
            divisor,
        )
        self.state.tokens += targets + sources
        self.state.drawn = drawn
        entry: dict[str, Any] = {"objective": batch.objective, "tokens": self.state.tokens}
        if lesson is not None:
            entry["distillation"] = losses[1] / self.recipe.distillation.weight
        return StepResult(losses[0], norm, targets + sources, entry)

    def _lesson(self, batch: DenoisingBatch, targets: int) -> tuple[Lesson | None, float | Tensor]:
        """What a teacher says of ``batch``, and what the losses of the step are divided by.

        Args:
            targets: tokens of the targets, over all processes.
        """
        if self.teaching is None:
            return None, targets
        accelerator, lesson, words = self.accelerator, None, 1
        if with_words(batch.objective):
            with autocast(accelerator, self.config.precision):
                lesson = self.teaching.lesson(batch)
            count = torch.tensor(len(lesson.rows), device=accelerator.device)
            words = max(1, int(accelerator.reduce(count, reduction="sum")))
        divisor = [targets, words / self.recipe.distillation.weight]
        return lesson, torch.tensor(divisor, device=accelerator.device)

    def _peak_rate(self, parameter: str) -> float:
        """The maps to a teacher have a rate of their own."""
        factor = self.recipe.distillation.map_rate if parameter.startswith("distiller.") else 1.0
        return super()._peak_rate(parameter) * factor

    def _evaluate(self) -> dict[str, Any]:
        with autocast(self.accelerator, self.recipe.training.precision):
            found: dict[str, Any] = self.held_out(self.denoiser)
            if self.teaching is not None:
                found["distillation_loss"] = self.teaching.measure(self.denoiser)
        return found

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
        if self.teaching is not None:
            self.teaching.write(folder)
