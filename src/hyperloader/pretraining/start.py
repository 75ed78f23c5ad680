"""Starting and resuming a pre-training run."""

from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from hyperloader.backbones.loading import load_backbone
from hyperloader.checkpoint import complete_checkpoints
from hyperloader.config import parse_model
from hyperloader.pretraining.backbone import build_backbone, export_backbone
from hyperloader.pretraining.cooccurrence import embed_pieces
from hyperloader.pretraining.distillation import load_teacher
from hyperloader.pretraining.loop import Pretrainer
from hyperloader.pretraining.prepared import prepare
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.store import Kind
from hyperloader.training.processes import make_accelerator
from hyperloader.training.run import PRETRAINING_RUN, RunFolder

PREPARED = "prepared"
BACKBONE = "backbone"


class About(BaseModel):
    """What ``pretrain.yaml`` holds."""

    model_config = ConfigDict(extra="allow", strict=True)

    text: str | None
    prepared: str | None
    recipe: dict[str, Any]


class PretrainingFolder(RunFolder):
    """``pretrain.yaml``, ``log.jsonl``, ``checkpoints/step-…``, ``prepared`` and ``backbone``."""

    file = PRETRAINING_RUN
    command = "hyperloader pretrain"
    schema = About
    kind = Kind.BACKBONE
    beside = (PREPARED, f".{PREPARED}.hyperloader-new")


def start_pretraining(
    recipe: PretrainRecipe,
    text: Path | None,
    out: Path,
    *,
    prepared: Path | None = None,
    console: Console | None = None,
) -> Pretrainer:
    """A pretrainer of a new run in ``out``.

    Args:
        text: the folder of text; None when ``prepared`` holds it already.
        prepared: where the text is kept as token ids; default: in the run.

    Raises:
        ConfigError: the recipe does not fit, ``out`` is not a new or empty folder, or another
            process trains in it.
        DataError: the text cannot be read.
    """
    run = PretrainingFolder.new(out)
    with run.preparing():
        pretrainer = _pretrainer(run, recipe, text, prepared, None, console)
        if pretrainer.accelerator.is_main_process:
            about = {
                "text": str(text.resolve()) if text else None,
                "prepared": str(prepared.resolve()) if prepared else None,
            }
            # Last, so that a start that failed does not stand in the way of the next.
            run.start(recipe, about)
        pretrainer.accelerator.wait_for_everyone()
    return pretrainer


def resume_pretraining(
    path: Path, *, console: Console | None = None, from_scratch: bool = False
) -> Pretrainer:
    """A pretrainer that resumes the run in ``path`` from its newest undamaged checkpoint.

    Args:
        console: where progress is shown; None: nowhere.
        from_scratch: begin again where all checkpoints are damaged.

    Raises:
        CheckpointError: no run there, or one whose text or checkpoints are damaged.
        ConfigError: another process trains in ``path``.
    """
    run = PretrainingFolder.open(path)
    with run.preparing():
        about = run.about()
        recipe = parse_model(PretrainRecipe, about["recipe"], str(path / PRETRAINING_RUN))
        text, prepared = (Path(about[k]) if about[k] else None for k in ("text", "prepared"))
        # Once the run has a checkpoint the text itself is not needed any more.
        text = None if complete_checkpoints(path) else text
        newest = run.checkpoint_to_resume(from_scratch=from_scratch)
        return _pretrainer(run, recipe, text, prepared, newest, console)


def finish(pretrainer: Pretrainer) -> Path:
    """Write the trained backbone as ``RUN/backbone`` (the main process does) and return it."""
    target = pretrainer.run.path / BACKBONE
    if pretrainer.accelerator.is_main_process:
        export_backbone(
            target,
            pretrainer.denoiser.backbone,
            pretrainer.prepared.tokenizer,
            pretrainer.recipe.export,
        )
    pretrainer.accelerator.wait_for_everyone()
    return target


def _pretrainer(
    run: RunFolder,
    recipe: PretrainRecipe,
    text: Path | None,
    prepared_in: Path | None,
    newest: Path | None,
    console: Console | None,
) -> Pretrainer:
    accelerator = make_accelerator()
    # First, so that what is wrong with it is said before a long text is read.
    teacher = load_teacher(recipe) if recipe.distillation.teacher is not None else None
    with accelerator.main_process_first():
        prepared = prepare(text, prepared_in or run.path / PREPARED, recipe, console)
    torch.manual_seed(recipe.seed)
    if newest is None:
        backbone = build_backbone(recipe.backbone, prepared.tokenizer)
        if recipe.backbone.first_embeddings == "neighbours" and recipe.backbone.start is None:
            embed_pieces(backbone, prepared, recipe)
    else:
        backbone = load_backbone(str(newest))
    pretrainer = Pretrainer(backbone, recipe, prepared, run, accelerator, console, teacher)
    if newest is not None:
        pretrainer.restore(newest)
    return pretrainer
