"""Distillation inside of a run: lessons for steps, the measure on held-out text, the checkpoint."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from hyperloader.errors import CheckpointError
from hyperloader.modeling.pretrained import read_tensors, write_tensors
from hyperloader.pretraining.batches import DenoisingBatch
from hyperloader.pretraining.distillation import Distiller, Lesson, Loaded, Teacher
from hyperloader.pretraining.measures import Denoiser, tensors
from hyperloader.pretraining.objectives import Symbols, Words
from hyperloader.pretraining.prepared import Prepared
from hyperloader.pretraining.recipe import PretrainRecipe

FILE = "distillation.safetensors"


class Teaching:
    """The teacher, the student's maps and the held-out text that both are measured on.

    Args:
        share: of a step's rows that the teacher reads.
    """

    def __init__(
        self,
        teacher: Teacher,
        distiller: Distiller,
        held_out: Sequence[DenoisingBatch],
        lessons: Sequence[Lesson],
        share: float,
    ) -> None:
        self.teacher, self.distiller, self.share = teacher, distiller, share
        self._held_out, self._lessons = held_out, lessons

    @classmethod
    def of(
        cls,
        recipe: PretrainRecipe,
        loaded: Loaded,
        prepared: Prepared,
        held_out: Sequence[DenoisingBatch],
        backbone: PreTrainedModel,
        device: torch.device,
    ) -> "Teaching":
        """What the recipe asks for.

        Args:
            loaded: the teacher that it names.
            held_out: batches of the objective ``words``.
        """
        section, config = recipe.distillation, backbone.config
        teacher = Teacher(*loaded, prepared.tokenizer, section.layers)
        teacher.encoder.to(device)
        lessons = [teacher(_words(batch)) for batch in held_out]
        states = torch.cat([lesson.states for lesson in lessons], 1)
        distiller = Distiller(
            section,
            states,
            width=config.d_model,
            depth=config.num_layers,
            height=teacher.depth,
            sentinels=Symbols.of(prepared.tokenizer).sentinels,
        )
        return cls(teacher, distiller, held_out, lessons, section.rows)

    def lesson(self, batch: DenoisingBatch) -> Lesson:
        """What the teacher says of the first rows of ``batch`` (rows come in random order)."""
        words = _words(batch)
        return self.teacher(words[: max(1, round(len(words) * self.share))])

    @torch.no_grad()
    def measure(self, denoiser: Denoiser) -> float:
        """The loss a word on held-out text."""
        total, count = 0.0, 0
        for batch, lesson in zip(self._held_out, self._lessons, strict=True):
            source, _ = tensors(batch, denoiser.backbone.device)
            hidden = denoiser.encode(source, every=True)
            total += float(self.distiller(hidden, source, lesson))
            count += len(lesson.rows)
        return total / max(1, count)

    def write(self, folder: Path) -> None:
        """Write the maps into the checkpoint ``folder``."""
        state = self.distiller.state_dict()
        write_tensors(folder / FILE, {key: value.cpu() for key, value in state.items()})

    def restore(self, folder: Path) -> None:
        """Load the maps. Raises CheckpointError when they are missing or do not fit."""
        try:
            self.distiller.load_state_dict(read_tensors(folder / FILE))
        except RuntimeError as error:
            raise CheckpointError(
                f"{folder / FILE} does not fit the recipe's distillation; use another checkpoint"
            ) from error


def _words(batch: DenoisingBatch) -> list[Words]:
    return [words for words in batch.words if words is not None]
