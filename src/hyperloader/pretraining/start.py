"""Starting a pre-training run and going on with one."""

from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from rich.console import Console

from hyperloader.backbones.loading import load_backbone
from hyperloader.checkpoint import complete_checkpoints
from hyperloader.config import parse_model
from hyperloader.errors import CheckpointError, ConfigError
from hyperloader.pretraining.backbone import build_backbone, export_backbone
from hyperloader.pretraining.cooccurrence import embed_pieces
from hyperloader.pretraining.loop import Pretrainer
from hyperloader.pretraining.prepared import prepare
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.store import write_text
from hyperloader.training.run import RUN as RUN_OF_TAGGER
from hyperloader.training.run import RunFolder

RUN = "pretrain.yaml"
PREPARED = "prepared"
BACKBONE = "backbone"


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
        prepared: where the text lies as token ids, or is to; default: in the run.

    Raises:
        ConfigError: the recipe does not fit, or ``out`` holds a run already.
        DataError: the text cannot be read.
    """
    for name in (RUN, RUN_OF_TAGGER):
        if (out / name).exists():
            raise ConfigError(
                f"{out} already holds a run; choose another --out, or go on with --resume {out}"
            )
    pretrainer = _pretrainer(out, recipe, text, prepared, console)
    if pretrainer.accelerator.is_main_process:
        content = {
            "text": str(text.resolve()) if text else None,
            "prepared": str(prepared.resolve()) if prepared else None,
            "recipe": recipe.model_dump(mode="json"),
        }
        # Last, so that a start that failed does not stand in the way of the next.
        write_text(out / RUN, yaml.safe_dump(content, sort_keys=False))
    pretrainer.accelerator.wait_for_everyone()
    return pretrainer


def resume_pretraining(path: Path, *, console: Console | None = None) -> Pretrainer:
    """A pretrainer that goes on from the newest complete checkpoint of the run in ``path``.

    Raises:
        CheckpointError: no run there, or one whose text or checkpoints are damaged.
    """
    about = _about(path)
    recipe = parse_model(PretrainRecipe, about["recipe"], str(path / RUN))
    text, prepared = (Path(about[k]) if about[k] else None for k in ("text", "prepared"))
    return _pretrainer(path, recipe, text, prepared, console)


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


def _about(path: Path) -> dict[str, Any]:
    if not (path / RUN).is_file():
        raise CheckpointError(f"{path} holds no pre-training run ({RUN} is missing)")
    try:
        about = yaml.safe_load((path / RUN).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{path / RUN} cannot be read: {error}") from error
    if not (isinstance(about, dict) and {"text", "prepared", "recipe"} <= about.keys()):
        raise CheckpointError(f"{path / RUN} is damaged: it lacks text, prepared or recipe")
    return about


def _pretrainer(
    path: Path,
    recipe: PretrainRecipe,
    text: Path | None,
    prepared_in: Path | None,
    console: Console | None,
) -> Pretrainer:
    # Accelerate takes a launcher's CPU processes for independent ones unless told, and it fixes a
    # precision once for the whole process, so that is left to the loop.
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="no")
    run = RunFolder(path)
    started = bool(complete_checkpoints(path))
    with accelerator.main_process_first():
        # Once the run has a checkpoint the text itself is not needed any more.
        prepared = prepare(
            None if started else text, prepared_in or path / PREPARED, recipe, console
        )
    newest = run.newest()
    if newest is None and started:
        raise CheckpointError(f"all checkpoints of {path} are damaged; start a new run")
    torch.manual_seed(recipe.seed)
    if newest is None:
        backbone = build_backbone(recipe.backbone, prepared.tokenizer)
        if recipe.backbone.first_embeddings == "neighbours" and recipe.backbone.start is None:
            embed_pieces(backbone, prepared, recipe)
    else:
        backbone = load_backbone(str(newest))
    pretrainer = Pretrainer(backbone, recipe, prepared, run, accelerator, console)
    if newest is not None:
        pretrainer.restore(newest)
    return pretrainer
