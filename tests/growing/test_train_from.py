"""Training that goes on from a trained tagger, with its tasks, some of them, or new ones."""

import shutil
from pathlib import Path

import pytest
import torch

import hyperloader
from hyperloader.checkpoint import load_checkpoint
from hyperloader.corpora.sample import sample_corpora
from hyperloader.training.run import RunFolder
from hyperloader.training.start import resume_run
from training_helpers import assert_same_tensors, cli, corpora, refused, settings, write_data

TRAINING = {"training.batch_size": 8, "training.precision": "float32", "validation.every": 2}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def base(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a few steps on two tasks."""
    run = tmp_path_factory.mktemp("base") / "run"
    options = settings(training={"steps": 3}, validation={"every": 3})
    done = cli("train", "--data", data, "--out", run, "--no-calibrate", *options)
    assert done.code == 0, done.err
    return run


def options(steps: int) -> list[str]:
    return [p for k, v in TRAINING.items() for p in ("--set", f"{k}={v}")] + ["--steps", str(steps)]


def test_a_resumed_run_is_bit_identical_from_its_start_and_from_the_middle(
    data: Path, base: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    arguments = ("--data", data, "--from", base, "--out", run, "--no-calibrate", *options(4))
    assert cli("train", *arguments).code == 0
    recipe = RunFolder(run).recipe()
    assert recipe.start == str(base.resolve())
    last = "checkpoints/step-00000004"
    for checkpoint in (None, "step-00000002"):
        again = tmp_path / f"again-{checkpoint}"
        shorter = ("--data", data, "--from", base, "--out", again, "--no-calibrate", *options(2))
        if checkpoint is None:
            again.mkdir()
            shutil.copy(run / "run.yaml", again / "run.yaml")
        else:
            assert cli("train", *shorter).code == 0
        resume_run(again, corpora(), steps=4).train()
        assert_same_tensors(again / last, run / last)


def test_it_begins_with_what_the_tagger_has_learnt(data: Path, base: Path, tmp_path: Path) -> None:
    both = {name: c.splits for name, c in corpora().items()}
    other = sample_corpora(seed=1, train=12, validation=4, test=4)["travel"]
    given = {"dining": both["dining"], "travel": other.splits}
    hyperloader.train(
        given, out=tmp_path / "run", start=base, steps=2, settings=TRAINING, progress=False
    )
    start = load_checkpoint(tmp_path / "run" / "checkpoints" / "step-00000002")
    assert start.model.config.tasks == ("dining", "travel")
    old, made = load_checkpoint(base).model, start.model
    assert made.config.model_copy(update={"tasks": old.config.tasks}) == old.config
    table = "task_embeddings.weight"
    before, after = (m.source.get_parameter(table) for m in (old, made))
    torch.testing.assert_close(after[0], before[0], atol=0.01, rtol=0)  # two steps
    torch.testing.assert_close(after[1], before.mean(0), atol=0.01, rtol=0)
    assert start.codec.labels["travel"] == other.labels("train", "validation")


def test_what_is_the_taggers_own_is_not_set(data: Path, base: Path, tmp_path: Path) -> None:
    def line(*more: object) -> str:
        return refused("train", "--data", data, "--from", base, "--out", tmp_path / "run", *more)

    assert "backbone is that of" in line("--backbone", "scratch:tiny")
    assert "model.lora_rank is that of" in line("--set", "model.lora_rank=2")
    where = ("--data", data, "--out", tmp_path / "run", "--from", tmp_path / "nothing")
    assert "does not exist" in refused("train", *where)
    assert "--resume continues a run" in refused("train", "--resume", base, "--from", base)
