"""The folder of a run: its recipe, its log and its checkpoints."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from torch import Tensor

from hyperloader.checkpoint import (
    CHECKPOINTS,
    TRAINER,
    complete_checkpoints,
    step_name,
)
from hyperloader.config import Recipe, parse_model
from hyperloader.errors import CheckpointError, ConfigError
from hyperloader.modeling.pretrained import read_tensors, write_tensors
from hyperloader.store import (
    LOCK,
    Kind,
    atomic_folder,
    check_folder,
    claimed,
    disk_error,
    left_of,
    read_json,
    remove_checkpoint,
    remove_checkpoints,
    write_text,
)
from hyperloader.training.processes import is_first_process
from hyperloader.yamls import load_yaml

RUN = "run.yaml"
PRETRAINING_RUN = "pretrain.yaml"
LOG = "log.jsonl"
OPTIMIZER = "optimizer.safetensors"

_S = TypeVar("_S")


class About(BaseModel):
    """What ``run.yaml`` holds. ``data`` is None where the corpora came from memory."""

    model_config = ConfigDict(extra="allow", strict=True)

    data: str | None
    tasks: list[str] = Field(min_length=1)
    recipe: dict[str, Any]


class RunFolder:
    """``run.yaml`` (recipe and data), ``log.jsonl`` and ``checkpoints/step-…``.

    One process at a time writes into it: the one that has claimed it.
    """

    file: ClassVar[str] = RUN
    command: ClassVar[str] = "hyperloader train"
    schema: ClassVar[type[BaseModel]] = About
    kind: ClassVar[Kind] = Kind.CHECKPOINT
    beside: ClassVar[tuple[str, ...]] = ()
    """What a start that failed may have left in a folder that is no run yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._claim, self._claimed = ExitStack(), False

    @classmethod
    def new(cls, path: Path, *, held: bool = False) -> Self:
        """The folder of a run to be: not there yet, or empty.

        Args:
            held: the caller has claimed ``path`` and may keep files of its own in it.

        Raises:
            ConfigError: ``path`` holds a run or other files, or cannot be a folder.
        """
        run = cls(path)
        run._refuse_another_run()
        there = next(p for p in (path, *path.absolute().parents) if p.exists())
        if not there.is_dir():
            raise ConfigError(f"{there} is a file, not a folder; choose another --out")
        if not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError(f"{there} is not writable; choose another --out")
        if path.exists() and not held:
            ours = {LOCK, *cls.beside, *(p.name for p in run._half_written())}
            foreign = sorted({p.name for p in path.iterdir()} - ours)
            if foreign:
                more = f" and {len(foreign) - 1} more" if len(foreign) > 1 else ""
                raise ConfigError(
                    f"{path} is not empty (it holds {foreign[0]}{more}); choose a new or empty "
                    "folder as --out"
                )
        return run

    @classmethod
    def open(cls, path: Path) -> Self:
        """An existing run. Raises CheckpointError when there is none."""
        if not (path / cls.file).is_file():
            raise CheckpointError(f"{path} holds no run ({cls.file} is missing); nothing to resume")
        return cls(path)

    def claim(self) -> None:
        """Keep other processes from writing until :meth:`release`, or until this one ends.

        Raises:
            ConfigError: another process has claimed the folder.
            CheckpointError: it cannot be made or written.
        """
        try:
            ours = self._claim.enter_context(claimed(self.path))
        except OSError as error:
            raise disk_error(self.path, error) from error
        self._claimed = ours
        if not ours:
            self._claim.close()
            raise ConfigError(
                f"another process is training in {self.path}; wait for it to end, or choose "
                "another folder"
            )
        for path in self._half_written():
            path.unlink(missing_ok=True)

    def _half_written(self) -> list[Path]:
        return [path for name in (self.file, LOG) for path in left_of(self.path / name)]

    def release(self) -> None:
        """Give up what :meth:`claim` claimed; without a claim nothing happens.

        A folder that nothing was written into is removed.
        """
        if self._claimed:
            with suppress(OSError):
                if [p.name for p in self.path.iterdir()] == [LOCK]:
                    (self.path / LOCK).unlink()
                    self.path.rmdir()
        self._claimed = False
        self._claim.close()

    @contextmanager
    def preparing(self, *, held: bool = False) -> Iterator[None]:
        """A block that makes a run ready: claimed from here on, unless the block fails.

        Args:
            held: the caller has claimed the folder already.
        """
        if is_first_process() and not held:
            self.claim()
        try:
            yield
        except BaseException:
            self.release()
            raise

    def start(self, recipe: BaseModel, about: Mapping[str, Any]) -> None:
        """Write ``run.yaml``: from here on the folder holds a run."""
        self._refuse_another_run()
        content = {**about, "recipe": recipe.model_dump(mode="json")}
        write_text(self.path / self.file, yaml.safe_dump(content, sort_keys=False))

    def change(self, recipe: BaseModel) -> None:
        """Put ``recipe`` into ``run.yaml`` in place of the one there."""
        content = {**self.about(), "recipe": recipe.model_dump(mode="json")}
        write_text(self.path / self.file, yaml.safe_dump(content, sort_keys=False))

    def about(self) -> dict[str, Any]:
        """What ``run.yaml`` says: data folder, tasks, recipe.

        Raises:
            CheckpointError: it cannot be read or lacks something.
        """
        path = self.path / self.file
        try:
            content = load_yaml(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CheckpointError(
                f"{path} cannot be read: {reason}; mend it or train anew"
            ) from error
        try:
            return self.schema.model_validate(content).model_dump()
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            reason = f"{where}: {first['msg']}" if where else "it is not a mapping of keys"
            raise CheckpointError(f"{path} is damaged ({reason}); restore it") from error

    def recipe(self) -> Recipe:
        """The recipe the run was started with."""
        return parse_model(Recipe, self.about()["recipe"], str(self.path / self.file))

    def newest(self) -> Path | None:
        """The newest checkpoint that is complete and undamaged."""
        return self._look_for_checkpoint()[0]

    def checkpoint_to_resume(self, *, from_scratch: bool = False) -> Path | None:
        """The newest undamaged checkpoint; None when the run has to begin again.

        Anything but the newest checkpoint is announced by one line on stderr.

        Raises:
            CheckpointError: all checkpoints are damaged, and ``from_scratch`` does not allow to
                begin again.
        """
        found, damage = self._look_for_checkpoint()
        if damage and found is None and not from_scratch:
            raise CheckpointError(
                f"all checkpoints of {self.path} are damaged ({damage}); to start this run again "
                f"from step 0: {self.command} --resume {self.path} --from-scratch"
            )
        if found is None:
            reason = f" ({damage})" if damage else ": it has no checkpoint yet"
            _warn(f"{self.path} starts again from step 0{reason}")
        elif damage:
            _warn(f"falling back to {found} ({damage})")
        return found

    def _look_for_checkpoint(self) -> tuple[Path | None, str | None]:
        """The newest undamaged checkpoint, and what is wrong with the newest one of all."""
        damage = None
        for folder in reversed(complete_checkpoints(self.path)):
            try:
                check_folder(folder)
            except CheckpointError as error:
                damage = damage or str(error)
                continue
            return folder, damage
        return None, damage

    def save(
        self,
        state: Any,
        write: Callable[[Path], None],
        tensors: Mapping[str, Tensor],
        *,
        keep: int | None = None,
    ) -> None:
        """Write the checkpoint of ``state.step``; older ones are then removed.

        Nothing else is removed: folders of other names stay.

        Args:
            state: a dataclass of numbers and text, kept beside the model.
            write: writes the model into a folder.
            tensors: those of the optimiser.
            keep: the step of another checkpoint that stays.
        """
        target = self.path / CHECKPOINTS / step_name(state.step)
        remove_checkpoint(target)  # a damaged one, or the run would have gone on from it
        with atomic_folder(target, self.kind) as folder:
            write(folder)
            write_tensors(folder / OPTIMIZER, dict(tensors))
            (folder / TRAINER).write_text(json.dumps(asdict(state), indent=1))
        kept = {target.name, step_name(state.step if keep is None else keep)}
        remove_checkpoints(self.path / CHECKPOINTS, kept)

    def tidy(self, step: int, *, keep: int | None = None) -> None:
        """Remove checkpoints before ``step``, but not that of step ``keep``, and half-written ones.

        A run that was killed while it saved may have left them.
        """
        newer = {p.name for p in complete_checkpoints(self.path) if p.name >= step_name(step)}
        kept = {*newer, step_name(step if keep is None else keep)}
        remove_checkpoints(self.path / CHECKPOINTS, kept)

    def restore(
        self,
        folder: Path,
        kind: type[_S],
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> _S:
        """Load the optimiser's tensors from ``folder``; return the state stored beside them.

        Raises:
            CheckpointError: the state is not a ``kind``.
        """
        stored = json.dumps(read_json(folder / TRAINER))
        try:
            state = TypeAdapter(kind).validate_json(stored, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise CheckpointError(
                f"{folder / TRAINER} is damaged ({where}: {first['msg']}); remove this checkpoint "
                "to resume from an older one"
            ) from error
        tensors = read_tensors(folder / OPTIMIZER)
        for name, parameter in model.named_parameters():
            found = {
                key.removesuffix(f"/{name}"): tensor
                for key, tensor in tensors.items()
                if key.endswith(f"/{name}")
            }
            if found:
                optimizer.state[parameter] = {
                    key: value.clone() if key == "step" else value.to(parameter.device, copy=True)
                    for key, value in found.items()
                }
        return state

    def cut_log(self, step: int) -> None:
        """Drop log lines after ``step``: those steps are about to be made again.

        What a crash left torn at the end is dropped too.

        Raises:
            CheckpointError: the log cannot be read, or is damaged before that.
        """
        path = self.path / LOG
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read: {error.strerror}; mend that and resume again"
            ) from error
        steps = [_step(line) for line in lines]
        last = max((i for i, found in enumerate(steps) if found is not None), default=-1)
        if None in steps[:last]:
            raise CheckpointError(
                f"{path}:{steps.index(None) + 1} is not a log entry; repair the line, or move the "
                "file away to resume with an empty log"
            )
        kept = [
            line for line, at in zip(lines, steps, strict=True) if at is not None and at <= step
        ]
        write_text(path, b"".join(kept).decode())

    def log(self, **entry: Any) -> None:
        """Append one JSON line to the log. Raises CheckpointError when the disk is full."""
        try:
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise disk_error(self.path / LOG, error) from error

    def _refuse_another_run(self) -> None:
        for name, command in ((RUN, "train"), (PRETRAINING_RUN, "pretrain")):
            if (self.path / name).exists():
                raise ConfigError(
                    f"{self.path} already holds a run; choose another --out, or resume it with: "
                    f"hyperloader {command} --resume {self.path}"
                )


def _warn(line: str) -> None:
    if is_first_process():
        print(line, file=sys.stderr)


def _step(line: bytes) -> int | None:
    """The step of a log entry, None where the line is not one."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if type(step) is int and line.endswith(b"\n") else None


def optimizer_tensors(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The optimiser's state as flat tensors on the CPU, named ``KEY/PARAMETER``."""
    return {
        f"{key}/{name}": value.detach().to("cpu").contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
