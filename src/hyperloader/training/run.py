"""The folder of a training run: its recipe, its log and its checkpoints."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from hyperloader.checkpoint import (
    CHECKPOINTS,
    TRAINER,
    complete_checkpoints,
    step_name,
    write_checkpoint,
)
from hyperloader.codec.codec import Codec
from hyperloader.config import Recipe, parse_model
from hyperloader.errors import CheckpointError, ConfigError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.pretrained import read_tensors, write_tensors
from hyperloader.store import (
    Kind,
    atomic_folder,
    check_folder,
    disk_error,
    read_json,
    remove_checkpoint,
    remove_checkpoints,
    write_text,
)

RUN = "run.yaml"
LOG = "log.jsonl"
OPTIMIZER = "optimizer.safetensors"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """``run.yaml`` (recipe and data), ``log.jsonl`` and ``checkpoints/step-…``."""

    path: Path

    @classmethod
    def new(cls, path: Path) -> "RunFolder":
        """The folder of a run to be. Raises ConfigError when ``path`` already holds one."""
        if (path / RUN).exists():
            raise ConfigError(
                f"{path} already holds a run; choose another --out, or go on with --resume {path}"
            )
        return cls(path)

    def start(self, recipe: Recipe, about: Mapping[str, Any]) -> None:
        """Write ``run.yaml``: from here on the folder holds a run."""
        content = {**about, "recipe": recipe.model_dump(mode="json")}
        write_text(self.path / RUN, yaml.safe_dump(content, sort_keys=False))

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing run. Raises CheckpointError when there is none."""
        if not (path / RUN).is_file():
            raise CheckpointError(f"{path} holds no run ({RUN} is missing); nothing to resume")
        return cls(path)

    def about(self) -> dict[str, Any]:
        """What ``run.yaml`` says besides the recipe: data folder, tasks."""
        try:
            about = yaml.safe_load((self.path / RUN).read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{self.path / RUN} cannot be read: {reason}") from error
        if not (isinstance(about, dict) and {"data", "tasks", "recipe"} <= about.keys()):
            raise CheckpointError(f"{self.path / RUN} is damaged: it lacks data, tasks or recipe")
        return about

    def recipe(self) -> Recipe:
        """The recipe the run was started with."""
        return parse_model(Recipe, self.about()["recipe"], str(self.path / RUN))

    def newest(self) -> Path | None:
        """The newest checkpoint that is complete and undamaged."""
        for folder in reversed(complete_checkpoints(self.path)):
            try:
                check_folder(folder)
            except CheckpointError:
                continue
            return folder
        return None

    def save(
        self,
        model: AttachedModel,
        codec: Codec,
        optimizer: torch.optim.Optimizer,
        state: dict[str, Any],
    ) -> None:
        """Write the checkpoint of ``state["step"]``; older ones but the best are then removed."""
        target = self.path / CHECKPOINTS / step_name(state["step"])
        remove_checkpoint(target)  # a damaged one, or the run would have gone on from it
        with atomic_folder(target, Kind.CHECKPOINT) as folder:
            write_checkpoint(folder, model, codec)
            write_tensors(folder / OPTIMIZER, optimizer_tensors(model, optimizer))
            (folder / TRAINER).write_text(json.dumps(state, indent=1))
        keep = {target.name, step_name(state["best_step"] or state["step"])}
        remove_checkpoints(target.parent, keep)

    def restore(
        self, folder: Path, model: AttachedModel, optimizer: torch.optim.Optimizer
    ) -> dict[str, Any]:
        """Load the optimiser's tensors from ``folder``; return the state stored beside them."""
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
        return read_json(folder / TRAINER)

    def cut_log(self, step: int) -> None:
        """Drop log lines after ``step``: those steps are about to be made again."""
        path = self.path / LOG
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and _step(line) <= step]
            write_text(path, "".join(kept))

    def log(self, **entry: Any) -> None:
        """Append one JSON line to the log. Raises CheckpointError when the disk is full."""
        try:
            with (self.path / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise disk_error(self.path / LOG, error) from error


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


def optimizer_tensors(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Tensor]:
    """The optimiser's state as flat tensors on the CPU, named ``KEY/PARAMETER``."""
    return {
        f"{key}/{name}": value.detach().to("cpu").contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }
