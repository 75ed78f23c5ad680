"""``hyperloader export``: the best checkpoint of a run as a folder to ship."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A training run or a checkpoint.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where to write.")],
    precision: Annotated[
        str,
        typer.Option(
            help="float32, or bfloat16: half the space, parameters rounded; or with --onnx int8."
        ),
    ] = "float32",
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write a tagger for onnxruntime, which only tags.")
    ] = False,
    task: Annotated[
        list[str] | None,
        typer.Option(help="With --onnx: only this task; may be repeated (default: all)."),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace what FOLDER holds, if it is of the same kind."),
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

    With --onnx it is a tagger on an encoder in ONNX: smaller to install (no backbone, pip install
    'hyperloader[onnx]') and faster; tag and evaluate take it, and nothing else does.

    Examples:

      hyperloader export runs/my-run my-tagger --precision bfloat16

      hyperloader evaluate runs/my-run --output scores.json

      hyperloader export runs/my-run my-tagger --scores scores.json --license apache-2.0

      hyperloader export builtin-minilm snips-onnx --onnx --task snips --precision int8
    """
    from hyperloader.builtin import run_path
    from hyperloader.checkpoint import checkpoint_folder
    from hyperloader.errors import ConfigError
    from hyperloader.store import Kind, claim_target, read_json
    from hyperloader.tagger import Tagger

    sources = [run_path(run), checkpoint_folder(run)]
    if onnx and whole:
        raise ConfigError("with --onnx the backbone is part of the graph; leave --whole out")
    if task and not onnx:
        raise ConfigError(
            "--task chooses what a tagger in ONNX can do; add --onnx, or leave it out"
        )
    kind = Kind.ONNX if onnx else Kind.CHECKPOINT
    claim_target(folder, kind, overwrite=overwrite, sources=sources)
    metrics = None if scores is None else read_json(scores)
    tagger = Tagger.from_pretrained(run, tagging_only=onnx)
    about: Any = {"license": license, "metrics": metrics, "overwrite": overwrite}
    if onnx:
        tagger.save_onnx(folder, task, precision=precision, **about)
    else:
        tagger.save_pretrained(folder, precision=precision, whole=whole or None, **about)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    Console(highlight=False, soft_wrap=True).print(
        f"{folder}: {size / 2**20:.1f} MiB, tasks {', '.join(task or tagger.tasks)}", markup=False
    )
