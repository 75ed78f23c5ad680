"""``hyperloader export``: the best checkpoint of a run as a folder to ship."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


class Precision(StrEnum):
    """How parameters are stored."""

    FLOAT32 = "float32"
    BF16 = "bf16"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run or a checkpoint.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.")],
    precision: Annotated[
        Precision, typer.Option(help="bf16 takes half the space and rounds the parameters.")
    ] = Precision.FLOAT32,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that FOLDER holds.")
    ] = False,
) -> None:
    """Write what tagging needs and nothing else: no optimiser, no log. Temperatures come along.

    The frozen backbone is named, not copied, where it has a name. What is written is itself a
    checkpoint: tag, evaluate and Tagger.from_pretrained take it. FOLDER must be new or empty, or
    with --overwrite a checkpoint; nothing else is ever replaced.

    Example: hyperloader export runs/my-run my-tagger --precision bf16
    """
    import torch

    from hyperloader.builtin import run_path
    from hyperloader.checkpoint import checkpoint_folder, load_checkpoint, save_checkpoint
    from hyperloader.store import Kind, claim_target

    sources = [run_path(run), checkpoint_folder(run)]
    claim_target(folder, Kind.CHECKPOINT, overwrite=overwrite, sources=sources)
    checkpoint = load_checkpoint(run)
    dtype = torch.bfloat16 if precision is Precision.BF16 else torch.float32
    save_checkpoint(
        folder,
        checkpoint.model,
        checkpoint.codec,
        dtype,
        checkpoint.calibration,
        overwrite=overwrite,
    )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    Console(highlight=False, soft_wrap=True).print(
        f"{folder}: {size / 2**20:.1f} MiB, tasks {', '.join(checkpoint.model.config.tasks)}"
    )
