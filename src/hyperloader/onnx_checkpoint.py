"""A tagger in ONNX as a folder: a graph with its labels and its tokenizer.

It needs neither the backbone nor transformers, and tags and does nothing else.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from hyperloader.calibration import Calibration
from hyperloader.checkpoint import (
    CALIBRATION,
    CARD,
    Checkpoint,
    read_calibration,
    read_codec,
    usable,
    write_calibration,
    write_codec,
)
from hyperloader.codec.codec import Codec
from hyperloader.errors import CheckpointError, ConfigError, unknown
from hyperloader.model_card import Scores, model_card
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.onnx.model import OnnxAbout, OnnxTagger, open_graph
from hyperloader.store import MANIFEST, Kind, atomic_folder, check_folder, read_json, read_manifest
from hyperloader.trust import is_path

GRAPH, ABOUT = "model.onnx", "onnx.json"
FORMAT = 1
PRECISIONS = ("float32", "int8")


class InOnnx(TypedDict, total=False):
    """What can be said of a tagger that is saved in ONNX: see :meth:`Tagger.save_onnx`."""

    precision: str
    license: str | None
    metrics: Scores | None
    overwrite: bool


class OnnxCheckpoint(NamedTuple):
    """As :class:`~hyperloader.checkpoint.Checkpoint`."""

    model: OnnxTagger
    codec: Codec
    calibration: Calibration | None = None


def save_onnx(
    checkpoint: Checkpoint,
    folder: Path,
    tasks: Sequence[str] | None = None,
    *,
    precision: str = "float32",
    license: str | None = None,
    metrics: Scores | None = None,
    overwrite: bool = False,
) -> None:
    """Save a tagger in ONNX as ``folder``, atomically: see :meth:`Tagger.save_onnx`."""
    model, codec = checkpoint.model, checkpoint.codec
    if precision not in PRECISIONS:
        raise ConfigError(unknown("precision of ONNX", precision, PRECISIONS))
    chosen = tuple(dict.fromkeys(model.config.tasks if tasks is None else tasks))
    if strange := [task for task in chosen if task not in model.config.tasks]:
        raise ConfigError(unknown("task", strange[0], model.config.tasks))
    if not chosen:
        raise ConfigError(f"no task is no tagger; name some of {', '.join(model.config.tasks)}")
    if not isinstance(model, TokenTagger):
        raise ConfigError(
            f"only taggers on encoders (output token_tags) become ONNX, and this one, on "
            f"{model.family.name}, writes its tags ({model.output}); export it without ONNX"
        )
    from hyperloader.outputs.token_tags.onnx.graph import write_graph

    labels = {task: codec.labels[task] for task in chosen}
    fewer = output_of(model).codec(codec.tokenizer, labels, codec.config)
    name = model.backbone_name
    about = OnnxAbout(
        config=model.config.for_tasks(chosen),
        tags={task: model.tags[task] for task in chosen},
        by_token=model.by_token,
        # Where it lay on this machine is nobody's business.
        backbone=Path(name).name if name and is_path(name) else name or "a backbone of its own",
        precision=precision,
    )
    described = Checkpoint(model, fewer, checkpoint.calibration)
    card = model_card(
        described, name=folder.name, license=license, metrics=metrics, in_onnx=precision
    )
    with atomic_folder(folder, Kind.ONNX, overwrite=overwrite) as temporary:
        write_graph(model, chosen, temporary / GRAPH, precision)
        write_codec(temporary, fewer)
        document = {"format": FORMAT, **about.model_dump(mode="json")}
        (temporary / ABOUT).write_text(json.dumps(document, indent=1))
        if checkpoint.calibration is not None:
            write_calibration(temporary, checkpoint.calibration)
        (temporary / CARD).write_text(card, encoding="utf-8")


def is_onnx(folder: Path) -> bool:
    """Whether :func:`save_onnx` wrote ``folder``. Raises CheckpointError for a damaged manifest."""
    return (folder / MANIFEST).is_file() and read_manifest(folder).kind == Kind.ONNX


def load_onnx(folder: Path) -> OnnxCheckpoint:
    """Load what :func:`save_onnx` wrote.

    Raises:
        NotInstalledError: there is no onnxruntime.
        CheckpointError: incomplete, damaged, or written by a later version.
    """
    check_folder(folder)
    with usable(folder):
        document = read_json(folder / ABOUT)
        if (form := document.pop("format", None)) != FORMAT:
            raise CheckpointError(
                f"{folder} has format {form} of taggers in ONNX, this version reads {FORMAT}; "
                "install the version that wrote it"
            )
        about = OnnxAbout(**document)
        model = OnnxTagger(open_graph(folder / GRAPH), about).eval()
        output = output_of(model)
        codec = read_codec(folder, output, tagging_only=True)
        output.check(model, codec)
    return OnnxCheckpoint(model, codec, read_calibration(folder / CALIBRATION))
