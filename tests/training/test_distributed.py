"""Two processes train what one does with the same global batch, and only the first speaks."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hyperloader.training.run import RunFolder
from training_helpers import FAST, cli, in_process, log, run_main, settings, tensors, write_data

# AdamW's first steps divide a gradient by its own size, which blows up the rounding of tiny ones:
# hence an epsilon above that rounding.
STEADY = {"learning_rate": 1e-4, "epsilon": 1e-5}
CHANGES = {
    "per_task": {
        "dropout": 0,
        "training": {**STEADY, "loss": "full", "gradient_accumulation": 2, "label_smoothing": 0.1},
    },
    "mixed": {
        "dropout": 0,
        "data": {"batches": "mixed"},
        "model": {"train_backbone": "layer_norms"},
        "training": {**STEADY, "loss_reduction": "sum"},
    },
}
LAST = f"checkpoints/step-{FAST['training']['steps']:08d}"


def free_port() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def one_process(tmp_path: Path, data: Path, mode: str) -> Path:
    options = settings(**CHANGES[mode])
    done = cli("train", "--data", data, "--out", tmp_path / "one", *options)
    assert done.code == 0, done.err
    return tmp_path / "one"


def assert_alike(one: Path, two: Path) -> None:
    for ours, theirs in zip(log(one), log(two), strict=True):
        assert ours["tasks"] == theirs["tasks"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5, abs=1e-5)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=1e-4)
    assert [e["step"] for e in log(two, "validation")] == [3, 6]
    first, second = tensors(one / LAST), tensors(two / LAST)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        # Weights in absolute numbers, the optimiser's moments as shares of the largest.
        near = 1e-5 if name.startswith("model.") else 1e-4 * float(tensor.abs().max())
        assert float((tensor - second[name]).abs().max()) <= near, name


@pytest.mark.slow
def test_the_launchers_two_processes_train_what_one_does(tmp_path: Path) -> None:
    data, two = write_data(tmp_path / "data"), tmp_path / "two"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--master-port", free_port(), "-m", "hyperloader.cli.main", "train"),
            *("--data", data, "--out", two, *settings(**CHANGES["per_task"])),
        ],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("done: best checkpoint") == 1
    assert done.stdout.count("parameters trained, 2 tasks") == 1
    assert done.stderr.count("step 3  validation loss") == 1
    assert_alike(one_process(tmp_path, data, "per_task"), two)


def launch(arguments: list[str], errors: Path) -> list[int]:
    """Two processes of the command line, as a launcher starts them; their exit codes."""
    port = free_port()
    started = [
        in_process(
            run_main,
            arguments,
            errors.with_suffix(f".{rank}"),
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            OMP_NUM_THREADS="1",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    for process in started:
        process.join()
    return [process.exitcode for process in started]


def test_mixed_batches_are_shared_out_and_a_run_of_two_is_resumed_by_two(tmp_path: Path) -> None:
    data, two = write_data(tmp_path / "data"), tmp_path / "two"
    options = settings(**CHANGES["mixed"])
    train = ["train", "--data", str(data), "--out", str(two), *options]
    assert launch(train, tmp_path / "errors") == [0, 0]
    one = one_process(tmp_path, data, "mixed")
    assert_alike(one, two)
    assert any(len(entry["tasks"]) == 2 for entry in log(two))
    before = tensors(two / LAST)
    newest = RunFolder.open(two).newest()
    assert newest is not None
    assert newest.name == Path(LAST).name
    os.truncate(newest / "model.safetensors", 10)
    assert launch(["train", "--resume", str(two), "--from-scratch"], tmp_path / "errors") == [0, 0]
    assert_alike(one, two)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors(two / LAST).items())


def test_a_batch_that_does_not_divide_is_refused_by_all(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    options = settings(training={"batch_size": 7})
    train = ["train", "--data", str(data), "--out", str(tmp_path / "two"), *options]
    assert launch(train, tmp_path / "errors") == [2, 2]
    for rank in range(2):
        said = (tmp_path / f"errors.{rank}").read_text()
        assert "batch_size 7 does not divide into 2 processes x 1 parts" in said
    assert not (tmp_path / "two").exists()
