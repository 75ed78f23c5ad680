"""A checkpoint that can tag: the model with its label sets and its tokenizer, in one folder."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import ValidationError

from hyperloader.builtin import backbone_path, is_packaged, run_path
from hyperloader.calibration import Calibration
from hyperloader.codec.codec import Codec, CodecConfig
from hyperloader.codec.light_tokenizer import FILE as TOKENIZER_FILE
from hyperloader.codec.light_tokenizer import LightTokenizer, light_tokenizer
from hyperloader.errors import CheckpointError, ConfigError, NotInstalledError
from hyperloader.model_card import recalibrated
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.pretrained import load_model, read_config, write_model
from hyperloader.outputs.output import Output
from hyperloader.outputs.registry import OUTPUTS
from hyperloader.store import MANIFEST, Kind, atomic_folder, check_folder, file_hash, read_json
from hyperloader.trust import is_path, load_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CODEC = "codec.json"
TOKENIZER = "tokenizer"
CALIBRATION = "calibration.json"
CARD = "README.md"
CHECKPOINTS = "checkpoints"
TRAINER = "trainer.json"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model, the codec that speaks its language, and what makes its scores probabilities."""

    model: AttachedModel
    codec: Codec
    calibration: Calibration | None = None


def write_checkpoint(
    folder: Path,
    model: AttachedModel,
    codec: Codec,
    dtype: torch.dtype = torch.float32,
    whole: bool | None = None,
) -> None:
    """Write all files that :func:`load_checkpoint` needs into an existing ``folder``."""
    write_model(model, folder, whole, dtype)
    write_codec(folder, codec, model.backbone_name)


def write_codec(folder: Path, codec: Codec, backbone: str | None = None) -> None:
    """Write labels and tokenizer, unless that comes with the ``backbone``, which is then needed."""
    about: dict[str, Any] = {"codec": codec.config.model_dump(mode="json"), "labels": codec.labels}
    if is_packaged(backbone):
        about["tokenizer_sha256"] = _tokenizer_hash(str(backbone))
    else:
        codec.tokenizer.save_pretrained(folder / TOKENIZER)
    (folder / CODEC).write_text(json.dumps(about, indent=1))


def read_codec(
    folder: Path, output: Output[Any, Any], backbone: str | None = None, *, tagging_only: bool
) -> Any:
    """The codec that :func:`write_codec` wrote. Raises CheckpointError, KeyError or TypeError."""
    about = read_json(folder / CODEC)
    config = CodecConfig(**about["codec"])
    place = _tokenizer_folder(folder, backbone, about.get("tokenizer_sha256"))
    return output.codec(_tokenizer(place, tagging_only), about["labels"], config)


def save_checkpoint(
    folder: Path,
    model: AttachedModel,
    codec: Codec,
    dtype: torch.dtype = torch.float32,
    calibration: Calibration | None = None,
    *,
    whole: bool | None = None,
    card: str | None = None,
    overwrite: bool = False,
) -> None:
    """Save a checkpoint as ``folder``, atomically, parameters stored as ``dtype``.

    Args:
        whole: store the backbone's frozen weights too; default: only if it has no name, or only
            a path, which is none on another machine.
        card: the model card, which becomes README.md.
        overwrite: replace a checkpoint that ``folder`` holds.

    Raises:
        TargetError: ``folder`` holds something else, or (without ``overwrite``) a checkpoint.
    """
    if whole is None and model.backbone_name is not None and is_path(model.backbone_name):
        whole = True
    with atomic_folder(folder, Kind.CHECKPOINT, overwrite=overwrite) as temporary:
        write_checkpoint(temporary, model, codec, dtype, whole)
        if calibration is not None:
            write_calibration(temporary, calibration)
        if card is not None:
            (temporary / CARD).write_text(card, encoding="utf-8")


def calibrate_checkpoint(folder: Path, calibration: Calibration) -> None:
    """Put ``calibration`` into the checkpoint ``folder``, in place of an older one, atomically.

    Raises:
        CheckpointError: the folder is no checkpoint or damaged, or cannot be written.
    """
    folder = folder.resolve()
    check_folder(folder)
    with atomic_folder(folder, Kind.CHECKPOINT, overwrite=True) as temporary:
        shutil.copytree(
            folder,
            temporary,
            ignore=lambda parent, names: {MANIFEST, CALIBRATION} if parent == str(folder) else (),
            copy_function=_link,
            dirs_exist_ok=True,
        )
        write_calibration(temporary, calibration)
        if (card := temporary / CARD).is_file():
            text = recalibrated(card.read_text(encoding="utf-8"), calibration)
            card.unlink()  # it may be the same file as the old one's
            card.write_text(text, encoding="utf-8")


def load_checkpoint(path: Path, *, tagging_only: bool = False) -> Checkpoint:
    """Load a checkpoint folder, the best checkpoint of a training run, or ``builtin``.

    Args:
        tagging_only: load model and tokenizer without transformers where that comes to the same
            (see :func:`~hyperloader.modeling.pretrained.load_model`). It saves seconds; what is
            loaded tags and can be saved, and neither trains nor generates.

    Raises:
        CheckpointError: nothing there, incomplete, damaged or a pickle.
    """
    folder = checkpoint_folder(path)
    with usable(folder):
        about_model = read_config(folder)
        output = OUTPUTS.named(str(about_model["output"]))
        model = load_model(output.model, folder, tagging_only=tagging_only, config=about_model)
        codec = read_codec(folder, output, model.backbone_name, tagging_only=tagging_only)
        output.check(model, codec)
    return Checkpoint(model, codec, read_calibration(folder / CALIBRATION))


def checkpoint_folder(path: Path) -> Path:
    """Where the checkpoint lies that :func:`load_checkpoint` loads for ``path``."""
    path = run_path(path)
    return best_checkpoint(path) if is_run(path) else path


def is_run(path: Path) -> bool:
    """Whether ``path`` is the folder of a training run."""
    return (path / CHECKPOINTS).is_dir()


def complete_checkpoints(run: Path) -> list[Path]:
    """The run's complete checkpoints, oldest first. Folders of other names are not ours."""
    found = (p for p in (run / CHECKPOINTS).glob("step-*") if is_step_name(p.name))
    return sorted(found, key=lambda folder: int(folder.name.removeprefix("step-")))


def best_checkpoint(run: Path) -> Path:
    """The checkpoint that the run's newest one names as the best.

    Raises:
        CheckpointError: the run has none yet.
    """
    folders = complete_checkpoints(run)
    if not folders:
        raise CheckpointError(
            f"{run} has no checkpoint yet; go on with: hyperloader train --resume {run}"
        )
    best = read_json(folders[-1] / TRAINER).get("best_step")
    if best is not None and type(best) is not int:
        raise CheckpointError(
            f"{folders[-1] / TRAINER} is damaged (best_step is {best!r:.60}); give one of the "
            f"checkpoints in {run / CHECKPOINTS} instead of the run"
        )
    return run / CHECKPOINTS / step_name(best) if best is not None else folders[-1]


def step_name(step: int) -> str:
    """The folder name of the checkpoint after ``step`` steps."""
    return f"step-{step:08d}"


def is_step_name(name: str) -> bool:
    """Whether :func:`step_name` gives this name."""
    return re.fullmatch(r"step-[0-9]{8,}", name) is not None


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """Turn what values that ``folder`` should not have raise into a CheckpointError."""
    try:
        yield
    except NotInstalledError:
        raise
    except (ValidationError, KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise CheckpointError(
            f"{folder} is not usable: {_reason(error)}; export it again"
        ) from error


def _reason(error: Exception) -> str:
    """What is wrong, in one line: of several wrong values the first."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def read_calibration(path: Path) -> Calibration | None:
    """The calibration in the file ``path``; None where there is none. Raises CheckpointError."""
    if not path.exists():
        return None
    try:
        return Calibration(**read_json(path))
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is not usable ({_reason(error)}); remove it and calibrate again: "
            "hyperloader calibrate"
        ) from error


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Write ``calibration`` into ``folder``."""
    (folder / CALIBRATION).write_text(json.dumps(calibration.model_dump(mode="json"), indent=1))


def _link(source: str, target: str) -> None:
    """The same file under another name, or a copy where the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _tokenizer_hash(backbone: str) -> str:
    return file_hash(Path(backbone_path(backbone)) / TOKENIZER_FILE)


def _tokenizer_folder(folder: Path, backbone: str | None, sha256: str | None) -> Path:
    """Where the tokenizer of the checkpoint ``folder`` lies: in it, or with its backbone.

    Raises:
        CheckpointError: that of the backbone is another one by now.
    """
    if sha256 is None:
        return folder / TOKENIZER
    if not is_packaged(backbone) or _tokenizer_hash(str(backbone)) != sha256:
        raise CheckpointError(
            f"{folder} was trained with another tokenizer than that of the present {backbone!r}; "
            "install the version of it that was there"
        )
    return Path(backbone_path(str(backbone)))


def _tokenizer(folder: Path, tagging_only: bool) -> "PreTrainedTokenizerBase | LightTokenizer":
    if tagging_only and (light := light_tokenizer(folder)) is not None:
        return light
    try:
        return load_tokenizer(folder)
    except (OSError, ValueError, ConfigError) as error:
        raise CheckpointError(
            f"{folder} holds no usable tokenizer: {error}; export it again"
        ) from error
