"""Every mistake on the command line gives one line that starts with error, and exit code 2."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from hyperloader.checkpoint import checkpoint_folder
from hyperloader.training import run as run_module
from training_helpers import cli, log, refused, settings, write_data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    done = cli("train", "--data", data, "--out", data.parent / "run", *settings())
    assert done.code == 0, done.err
    return data.parent / "run"


@pytest.fixture
def broken(run: Path, tmp_path: Path) -> Path:
    """A copy of the run, to be broken."""
    return Path(shutil.copytree(run, tmp_path / "run"))


def train(data: Path, *arguments: object) -> str:
    out = data.parent / "refused"
    said = refused("train", "--data", data, "--out", out, *settings(), *arguments)
    assert not out.exists()
    return said


def test_data_that_are_not_there(tmp_path: Path) -> None:
    assert "no such file or folder" in train(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    assert "no task: looked for one folder per task" in train(tmp_path / "empty")
    assert "give --data DIR" in refused("train")


@pytest.mark.parametrize(
    "arguments",
    [
        ("tasks", "{}"),
        ("export", "{}", "out"),
        ("data", "stats", "{}"),
        ("train", "--resume", "{}"),
        ("verify", "{}"),
        ("pretrain", "--text", "{}", "--out", "out"),
    ],
)
def test_a_path_that_no_file_system_holds(arguments: tuple[str, ...]) -> None:
    assert "too long" in refused(*(each.format("a" * 5000) for each in arguments)).lower()


def test_names_that_are_not_known(data: Path, run: Path) -> None:
    assert "unknown method 'hyperloder'; did you mean 'hyperloader'?" in train(
        data, "--method", "hyperloder"
    )
    assert "unknown recipe 'papre'" in refused("train", "--data", data, "--recipe", "papre")
    assert "unknown recipe 'papre'; did you mean 'paper'?" in refused("recipes", "papre")
    assert "unknown key 'training.stpes'" in train(data, "--set", "training.stpes=3")
    assert "--set takes key=value" in train(data, "--set", "seed")
    unknown_task = "unknown task 'hme'; did you mean 'home'?"
    assert unknown_task in train(data, "--task", "hme")
    assert unknown_task in refused("evaluate", run, "--task", "hme")
    assert unknown_task in refused("tag", run, "--task", "hme", "some text")
    assert "give --task (one of: dining, home)" in refused("tag", run, "some text")
    assert "cannot be used" in refused("tag", run, "--task", "home", "--device", "fpga", "text")
    assert "cannot be loaded" in train(data, "--backbone", str(data / "none"))


def test_a_recipe_that_is_a_file_is_not_looked_up_as_a_name(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seed: 1\n")
    assert "unknown recipe" in refused("recipes", tmp_path / "mine.yaml")


def test_lines_that_cannot_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "one"
    folder.mkdir(parents=True)
    path = folder / "train.conll"
    path.write_text("a O\nb B-x\n\nc\n")
    assert f"{path}:4: " in train(tmp_path / "data")
    path.write_bytes(b"a O\n\xff O\n")
    assert f"{path}:2: " in train(tmp_path / "data")


def test_labels_that_collide(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "one"
    folder.mkdir(parents=True)
    (folder / "train.conll").write_text("a B-city_name\nb B-city.name\n\nc O\n\n")
    said = train(tmp_path / "data")
    assert "'city.name' and 'city_name' would both be written 'city name'" in said
    (folder / "train.conll").write_text("a B-I\n\nc O\n\n")
    assert "a label may not be named 'I', which tags use" in train(tmp_path / "data")


def test_checkpoints_that_cannot_be_used(broken: Path, tmp_path: Path) -> None:
    weights = checkpoint_folder(broken) / "model.safetensors"
    whole = weights.read_bytes()
    for command in (("evaluate", broken), ("tag", broken, "--task", "home", "text")):
        weights.write_bytes(whole[:-1])
        assert "bytes instead of" in refused(*command)
        weights.write_bytes(bytes([*whole[:-1], whole[-1] ^ 1]))
        assert "its hash differs" in refused(*command)
        weights.unlink()
        assert "is missing" in refused(*command)
        weights.write_bytes(whole)
    for name in ("model.pt", "pytorch_model.bin"):
        (tmp_path / name).write_bytes(b"\x80\x04N.")
        assert "a pickle, which is never read" in refused("tag", tmp_path / name, "text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "model.pt").rename(tmp_path / "folder" / "model.pt")
    assert "a pickle, which is never read" in refused("evaluate", tmp_path / "folder")
    assert "does not exist" in refused("evaluate", tmp_path / "none")
    assert "no manifest.json" in refused("evaluate", write_data(tmp_path / "data"))


def test_a_damaged_run_file(broken: Path) -> None:
    (broken / "run.yaml").write_text("recipe: [\n")
    assert "run.yaml cannot be read" in refused("evaluate", broken)
    assert "run.yaml cannot be read" in refused("train", "--resume", broken)


def test_runs_that_are_not_there_or_there_already(run: Path, data: Path, tmp_path: Path) -> None:
    assert "holds no run" in refused("train", "--resume", tmp_path)
    before = sorted(run.rglob("*"))
    said = refused("train", "--data", data, "--out", run, *settings())
    assert "already holds a run" in said
    assert f"--resume {run}" in said
    assert sorted(run.rglob("*")) == before
    (tmp_path / "file").write_text("hello")
    said = refused("train", "--data", data, "--out", tmp_path / "file", *settings())
    assert "is a file, not a folder; choose another --out" in said
    assert (tmp_path / "file").read_text() == "hello"


@pytest.mark.parametrize(
    "other",
    [
        ["--set", "seed=3"],
        ["--seed", "3"],
        ["--task", "home"],
        ["--method", "hyperformer"],
        ["--backbone", "scratch:tiny"],
        ["--out", "x"],
        ["--dry-run"],
    ],
)
def test_what_resuming_could_not_follow_is_refused(run: Path, other: list[str]) -> None:
    assert "--resume continues a run as it was" in refused("train", "--resume", run, *other)


def test_data_that_changed_since(broken: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    path = data / "home" / "train.conll"
    lines = path.read_text().split("\n\n")
    path.write_text("\n\n".join(lines[1:]))
    assert "the data are not what" in refused("train", "--resume", broken, "--data", data)


def test_input_that_is_not_utf_8(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("fine\ncafé\n".encode("latin-1"))
    said = refused("tag", run, "--task", "home", "--file", path)
    assert f"{path}:2: not UTF-8" in said
    said = refused("tag", run, "--task", "home", stdin=b"caf\xe9\n")
    assert "standard input:1: not UTF-8" in said
    assert "cannot be read" in refused("tag", run, "--task", "home", "--file", tmp_path / "none")


@pytest.fixture
def small_disk(disk_of: Callable[[int], Path]) -> Path:
    """A disk of 3 MiB: enough for a model of the fast recipe, not for its optimiser too."""
    return disk_of(3)


def test_a_disk_without_room_for_a_checkpoint(small_disk: Path, data: Path) -> None:
    out = small_disk / "run"
    done = cli("train", "--data", data, "--out", out, *settings())
    assert done.code == 2
    said = done.err.splitlines()[-1]
    assert "the disk is full" in said
    assert "step-00000003 was not written" in said
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-00000000"]
    assert cli("tag", out, "--task", "home", "some text").code == 0
    (small_disk / "fill").write_bytes(bytes(os.statvfs(small_disk).f_bavail * 4096))
    said = refused("train", "--data", data, "--out", small_disk / "other", *settings())
    assert "the disk is full" in said
    (small_disk / "fill").unlink()
    subprocess.run(["mount", "-o", "remount,size=30m", small_disk], check=True)
    done = cli("train", "--resume", out)
    assert done.code == 0, done.err
    assert [entry["step"] for entry in log(out)] == [1, 2, 3, 4, 5, 6]


def test_a_disk_without_room_for_the_log(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    real = Path.open

    def full(self: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        if self.name == run_module.LOG and mode == "a" and self.exists() and len(log(out)) == 4:
            raise OSError(28, "No space left on device")
        return real(self, mode, *arguments, **options)  # type: ignore[arg-type, call-overload]

    with mock.patch.object(Path, "open", full):
        failed = cli("train", "--data", data, "--out", out, *settings())
    assert failed.code == 2
    assert "the disk is full" in failed.err.splitlines()[-1]
    done = cli("train", "--resume", out)
    assert done.code == 0, done.err
    assert [entry["step"] for entry in log(out)] == [1, 2, 3, 4, 5, 6]
