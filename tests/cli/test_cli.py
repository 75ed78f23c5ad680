"""The command line: help without torch, and the whole way from files to tags."""

import json
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from hyperloader import __version__
from training_helpers import Outcome, cli, log, refused, settings, write_data

# Runs the help of every command in one process and says what was imported meanwhile.
HELP = """
import contextlib, io, json, sys
from hyperloader.cli import main

def commands(app, before):
    yield before
    for command in app.registered_commands:
        yield [*before, command.name or command.callback.__name__]
    for group in app.registered_groups:
        yield from commands(group.typer_instance, [*before, group.name])

found = []
for arguments in commands(main.app, []):
    sys.argv = ["hyperloader", *arguments, "--help"]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            main.main()
        code = "no exit"
    except SystemExit as stop:
        code = stop.code or 0
    found.append((" ".join(arguments), code, out.getvalue()))
heavy = {"torch", "transformers", "tokenizers", "safetensors", "accelerate", "matplotlib"}
print(json.dumps({"help": found, "heavy": sorted(heavy & set(sys.modules))}))
"""


def test_every_help_has_an_example_and_none_imports_torch() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    said = {command: " ".join(text.split()) for command, _, text in found["help"]}
    assert said.keys() >= {"", "quickstart", "train", "evaluate", "tag", "data", "data stats"}
    assert {code for _, code, _ in found["help"]} == {0}
    assert "Try it: hyperloader tag --task restaurant" in said.pop("")
    without = [
        command
        for command, text in said.items()
        if not re.search(rf"Examples?: .*hyperloader {command}", text)
    ]
    assert without == []


def test_the_version_is_printed() -> None:
    done = cli("--version")
    assert done.code == 0
    assert re.fullmatch(
        rf"hyperloader {re.escape(__version__)}( \([0-9a-f]{{7,}}(-dirty)?\))?\n", done.out
    )


def test_doctor_finds_nothing_broken() -> None:
    done = cli("doctor", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["broken"] == []
    assert found["hyperloader"].startswith(__version__)
    assert found["tagging"].startswith("works")
    shown = cli("doctor").out
    assert all(found[name] in shown for name in ("torch", "python", "builtin-minilm", "builtin-t5"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("cli") / "data")


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks as a user would write them, one as CoNLL and one as JSONL."""
    folder = tmp_path_factory.mktemp("own")
    sentences = [(f"fly to {city} now", city) for city in ("oslo", "rome", "bern", "riga") * 5]
    trips = folder / "trips"
    trips.mkdir()
    for part in ("train", "valid", "test"):
        (trips / f"{part}.conll").write_text(
            "\n".join(f"fly O\nto O\n{city} B-city\nnow O\n" for _, city in sentences)
        )
    mail = folder / "mail"
    mail.mkdir()
    for part in ("train", "valid", "test"):
        rows = [
            {
                "words": ["write", "to", name, "smith"],
                "spans": [{"start": 2, "end": 4, "label": "person"}],
            }
            for name in ("ann", "bob", "eve") * 6
        ]
        (mail / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_from_files_to_tags(own_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    options = settings(
        training={"steps": 60, "learning_rate": 3e-5, "backbone_learning_rate": 1e-3},
        validation={"every": 30, "select": "f1"},
        dropout=0,
    )
    done = cli("train", "--data", own_data, "--out", out, *options)
    assert done.code == 0, done.err
    assert "parameters trained, 2 tasks" in done.out
    assert f"next: hyperloader evaluate {out} --split test" in done.out
    done = cli("evaluate", out, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert {name: score["sentences"] for name, score in document["tasks"].items()} == {
        "mail": 18,
        "trips": 20,
    }
    assert document["average"]["default"]["f1"] > 0.9
    text = b"fly to oslo now\n\nfly to  bern\tnow\r\n"
    done = cli("tag", out, "--task", "trips", "--json", stdin=text)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["text"] for row in rows] == ["fly to oslo now", "", "fly to  bern\tnow"]
    for row, city in zip(rows, ("oslo", None, "bern"), strict=True):
        found = [(row["text"][s["start"] : s["end"]], s["label"]) for s in row["spans"]]
        assert found == ([(city, "city")] if city else [])
    coloured = cli("tag", out, "--task", "mail", "write to ann smith")
    assert coloured.code == 0
    assert coloured.out.startswith("write to [ann smith person ")


def test_a_dry_run_shows_the_plan_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    done: Outcome = cli(
        "train", "--data", data, "--out", tmp_path / "run", "--dry-run", *settings()
    )
    assert done.code == 0, done.err
    assert "6 steps of 8" in done.out
    assert not (tmp_path / "run").exists()


def test_tensorboard_logs_or_says_what_to_install(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with mock.patch.dict(sys.modules, {"torch.utils.tensorboard": None}):
        said = refused("train", "--data", data, "--out", out, "--tensorboard", *settings())
    assert "pip install 'hyperloader[tensorboard]'" in said
    assert not out.exists()
    written = mock.Mock()
    stand_in = mock.Mock(SummaryWriter=mock.Mock(return_value=written))
    with mock.patch.dict(sys.modules, {"torch.utils.tensorboard": stand_in}):
        done = cli("train", "--data", data, "--out", out, "--tensorboard", *settings())
    assert done.code == 0, done.err
    stand_in.SummaryWriter.assert_called_once_with(out / "tensorboard")
    entries = [call.args for call in written.add_scalar.call_args_list]
    told = [(value, step) for name, value, step in entries if name == "train/loss"]
    assert told == [(entry["loss"], entry["step"]) for entry in log(out)]


def test_every_key_of_a_recipe_is_listed_and_every_recipe_can_be_printed() -> None:
    listed = cli("recipes")
    for name in ("paper", "reference", "builtin", "quickstart", "scratch"):
        assert name in listed.out
        printed = cli("recipes", name)
        assert printed.code == 0
        assert "backbone: " in printed.out
    keys = cli("recipes", "--keys")
    assert keys.code == 0
    for key in ("training.steps", "model.method", "codec.overlap", "data.temperature", "seed"):
        assert key in keys.out
