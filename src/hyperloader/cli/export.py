"""``hyperloader export``: the best checkpoint of a run as a folder to ship."""

from collections.abc import Sequence
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
    merged: Annotated[
        bool,
        typer.Option("--merged", help="Write one task as a plain model of transformers."),
    ] = False,
    peft: Annotated[
        bool, typer.Option("--peft", help="Write one task's LoRA as an adapter for PEFT.")
    ] = False,
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="With --merged or --peft: the task. With --onnx: only this one; may be repeated "
            "(default: all)."
        ),
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

    With --merged or --peft it is one task for other programs, where the method attaches LoRA alone
    (hyperlora, lora), and with --merged also full: a model that transformers loads by itself, or a
    PEFT adapter. hyperloader does not read them.

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
    forms = {Kind.ONNX: onnx, Kind.TRANSFORMERS: merged, Kind.PEFT: peft}
    chosen = [kind for kind, wanted in forms.items() if wanted]
    if len(chosen) > 1:
        raise ConfigError("a folder has one form; choose one of --onnx, --merged and --peft")
    if chosen and whole:
        raise ConfigError(f"a {chosen[0]} has the backbone that it needs; leave --whole out")
    if task and not chosen:
        raise ConfigError(
            "a checkpoint has all tasks; --task goes with --onnx, --merged or --peft, or leave it "
            "out"
        )
    if merged or peft:
        _check_one_task(task or [], license or scores, precision if peft else None)
    kind = chosen[0] if chosen else Kind.CHECKPOINT
    claim_target(folder, kind, overwrite=overwrite, sources=sources)
    metrics = None if scores is None else read_json(scores)
    tagger = Tagger.from_pretrained(run, tagging_only=onnx)
    about: Any = {"license": license, "metrics": metrics, "overwrite": overwrite}
    if onnx:
        tagger.save_onnx(folder, task, precision=precision, **about)
    elif merged:
        from hyperloader.integrations.plain_model import save_merged

        save_merged(tagger, folder, *task or (), precision=precision, overwrite=overwrite)
    elif peft:
        from hyperloader.integrations.peft import save_peft

        save_peft(tagger, folder, *task or (), overwrite=overwrite)
    else:
        tagger.save_pretrained(folder, precision=precision, whole=whole or None, **about)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    Console(highlight=False, soft_wrap=True).print(
        f"{folder}: {size / 2**20:.1f} MiB, {_named(task or tagger.tasks)}", markup=False
    )


def _check_one_task(task: Sequence[str], for_a_card: object, precision: str | None) -> None:
    """Refuse what one task for other programs cannot have."""
    from hyperloader.errors import ConfigError

    if len(task) > 1:
        raise ConfigError("such a folder holds one task; give --task once and export several")
    if for_a_card:
        raise ConfigError("such a folder has no model card; leave --license and --scores out")
    if precision not in (None, "float32"):
        raise ConfigError(f"a PEFT adapter is stored in float32, not {precision}; leave it out")


def _named(tasks: Sequence[str]) -> str:
    return f"{'task' if len(tasks) == 1 else 'tasks'} {', '.join(tasks)}"
