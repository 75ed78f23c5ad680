"""Small pre-training runs shared by tests; conftest.py makes the fixtures known."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from hyperloader.modeling.pretrained import read_tensors
from hyperloader.pretraining.loop import Pretrainer
from hyperloader.pretraining.recipe import (
    PretrainRecipe,
)
from hyperloader.pretraining.start import finish, start_pretraining

torch.set_num_threads(1)
FAST: dict[str, Any] = {
    "text": {"held_out": 10},
    "tokenizer": {"vocab_size": 400, "sentinels": 40},
    "backbone": {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 1, "dropout": 0.1},
    "objectives": {"source_tokens": 32, "mix": {"spans": 1, "words": 1}},
    "training": {"steps": 30, "batch_size": 8, "learning_rate": 5e-3, "warmup_steps": 3},
    "evaluation": {"every": 10, "sequences": 8},
}
CHECKPOINT = "checkpoints/step-{:08d}"


def recipe(**changes: Any) -> PretrainRecipe:
    merged = {key: {**value, **changes.pop(key, {})} for key, value in FAST.items()}
    return PretrainRecipe(**merged, **changes)


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for name in ("one", "two"):
        lines = [f"{name} please play song {i} of band {i % 7} at nine" for i in range(150)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def prepared(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text as ids, for all the runs of this file."""
    folder = tmp_path_factory.mktemp("shared") / "prepared"
    start_pretraining(recipe(), text, folder.parent / "unused", prepared=folder)
    return folder


@pytest.fixture(scope="session")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    pretrainer = start_pretraining(recipe(), None, out, prepared=prepared)
    pretrainer.train()
    finish(pretrainer)
    return out


def log(run: Path, kind: str = "train") -> list[dict[str, Any]]:
    entries = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [entry for entry in entries if entry["kind"] == kind]


def exact(run: Path) -> list[tuple[Any, ...]]:
    """What must be the same in two equal runs."""
    keys = ("step", "objective", "loss", "learning_rate", "gradient_norm", "tokens")
    return [tuple(entry[key] for key in keys) for entry in log(run)]


def assert_same_checkpoint(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = read_tensors(one / name), read_tensors(other / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert json.loads((one / "trainer.json").read_text()) == json.loads(
        (other / "trainer.json").read_text()
    )


def stop_after(pretrainer: Pretrainer, step: int) -> None:
    """Ask this process to stop, as Ctrl-C would, once ``step`` is logged."""
    written = pretrainer.run.log

    class Log:
        path = pretrainer.run.path

        def __getattr__(self, name: str) -> Any:
            return getattr(run, name)

        def log(self, **entry: Any) -> None:
            written(**entry)
            if entry["step"] == step:
                os.kill(os.getpid(), signal.SIGINT)

    run, pretrainer.run = pretrainer.run, Log()  # type: ignore[assignment]
