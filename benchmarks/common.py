"""What the benchmarks share: sentences, models and the name of the machine."""

import os
import platform
from pathlib import Path

import torch

from hyperloader.checkpoint import Checkpoint
from hyperloader.config import load_recipe
from hyperloader.corpora.sample import sample_corpora
from hyperloader.training.setup import TrainingData, build, encode


def prepared(size: str = "mini") -> tuple[Checkpoint, TrainingData]:
    """A fresh model of the quickstart recipe on a scratch backbone, and its encoded sentences."""
    recipe = load_recipe("quickstart", [f"backbone=scratch:{size}"])
    corpora = sample_corpora()
    checkpoint = build(recipe, corpora)
    return checkpoint, encode(checkpoint.codec, corpora)


def hardware() -> str:
    """The machine, in words."""
    names = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    name = names[0].partition(":")[2].strip() if names else platform.processor()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{os.cpu_count()} cores of {name}{gpu}, {torch.get_num_threads()} threads"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []
