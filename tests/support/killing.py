"""Moments at which a training process is killed, as context managers around its training."""

import contextlib
import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from hyperloader.modeling import pretrained
from hyperloader.training.run import RunFolder


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def after_step(step: int) -> Any:
    """Killed right after the log line of a step."""
    real = RunFolder.log

    def log_and_die(self: RunFolder, **entry: Any) -> None:
        real(self, **entry)
        if (entry["kind"], entry["step"]) == ("train", step):
            die()

    with mock.patch.object(RunFolder, "log", log_and_die):
        yield


@contextlib.contextmanager
def writing(file: str, step: int, half: bool = False) -> Any:
    """Killed while the checkpoint of a step is written, before a file or in the middle of it."""
    real = pretrained.save_file

    def write_and_die(tensors: Any, path: Path, **options: Any) -> None:
        real(tensors, path, **options)
        if path.name == file and f"step-{step:08d}" in path.parent.name:
            if half:
                os.truncate(path, path.stat().st_size // 2)
            die()

    with mock.patch.object(pretrained, "save_file", write_and_die):
        yield


@contextlib.contextmanager
def renaming(step: int) -> Any:
    """Killed when a checkpoint is complete but does not yet have its name."""
    real = os.rename

    def rename_or_die(source: Path, target: Path) -> None:
        if Path(target).name == f"step-{step:08d}":
            die()
        real(source, target)

    with mock.patch.object(os, "rename", rename_or_die):
        yield


@contextlib.contextmanager
def removing_old_checkpoints(step: int) -> Any:
    """Killed when a new checkpoint has its name and half of an older one is removed."""
    real = shutil.rmtree

    def remove_and_die(path: Path, **options: Any) -> None:
        if Path(path).name == f"step-{step:08d}":
            next(iter(Path(path).glob("*.safetensors"))).unlink()
            die()
        real(path, **options)

    with mock.patch.object(shutil, "rmtree", remove_and_die):
        yield


@contextlib.contextmanager
def tearing_the_log(step: int) -> Any:
    """Killed in the middle of writing a log line."""
    real = RunFolder.log

    def tear(self: RunFolder, **entry: Any) -> None:
        if entry["step"] == step:
            with (self.path / "log.jsonl").open("a") as file:
                file.write(json.dumps(entry)[:20])
            die()
        real(self, **entry)

    with mock.patch.object(RunFolder, "log", tear):
        yield


# The last step of the run that is killed.
STEPS = 8

MOMENTS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "before the first checkpoint": (writing, ("model.safetensors", 0)),
    "before any validation": (after_step, (2,)),
    "half of the weights written": (writing, ("optimizer.safetensors", 3, True)),
    "checkpoint not yet named": (renaming, (6,)),
    "old checkpoint half removed": (removing_old_checkpoints, (0,)),
    "between checkpoints": (after_step, (5,)),
    "in the log": (tearing_the_log, (7,)),
    "while the last one is written": (writing, ("model.safetensors", STEPS)),
}


class Moment:
    """A picklable name of one of MOMENTS."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> contextlib.AbstractContextManager:
        when, arguments = MOMENTS[self.name]
        return when(*arguments)
