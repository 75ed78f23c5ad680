"""``hyperloader export``: the best checkpoint of a run as a folder to ship."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run or a checkpoint.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.")],
    precision: Annotated[
        str,
        typer.Option(help="float32, or bfloat16: half the space, parameters rounded."),
    ] = "float32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a checkpoint that FOLDER holds.")
    ] = False,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Store the frozen backbone too, also if it has a name."),
    ] = False,
    license: Annotated[
        str | None, typer.Option(help="For the model card, such as apache-2.0.")
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Scores for the model card: evaluate --output FILE."),
    ] = None,
) -> None:
    """Write what tagging needs and nothing else: no optimiser, no log.

    Temperatures come along, and a model card (README.md) in the form of the Hugging Face Hub. A
    frozen backbone is named, not copied, if it has a name that brings it back. What is written
    is itself a checkpoint: tag, evaluate and Tagger.from_pretrained take it, and
    Tagger.push_to_hub shares it. FOLDER must be new or empty, or with --overwrite a checkpoint.

    Examples:

      hyperloader export runs/my-run my-tagger --precision bfloat16

      hyperloader evaluate runs/my-run --output scores.json

      hyperloader export runs/my-run my-tagger --scores scores.json --license apache-2.0
    """
    from hyperloader.builtin import run_path
    from hyperloader.checkpoint import checkpoint_folder
    from hyperloader.store import Kind, claim_target, read_json
    from hyperloader.tagger import Tagger

    sources = [run_path(run), checkpoint_folder(run)]
    claim_target(folder, Kind.CHECKPOINT, overwrite=overwrite, sources=sources)
    metrics = None if scores is None else read_json(scores)
    tagger = Tagger.from_pretrained(run, tagging_only=False)
    tagger.save_pretrained(
        folder,
        precision=precision,
        whole=whole or None,
        license=license,
        metrics=metrics,
        overwrite=overwrite,
    )
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    Console(highlight=False, soft_wrap=True).print(
        f"{folder}: {size / 2**20:.1f} MiB, tasks {', '.join(tagger.tasks)}", markup=False
    )
