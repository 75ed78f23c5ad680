"""Training, tagging and evaluating need neither scikit-learn nor scipy nor seqeval."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

from folders import ROOT
from training_helpers import settings, write_data

BLOCKED = ("sklearn", "scipy", "seqeval", "nervaluate", "pandas")
WITHOUT = """
import json, sys
blocked, commands = json.load(sys.stdin)
for name in blocked:
    sys.modules[name] = None
from hyperloader.cli.main import main
for command in commands:
    sys.argv = ["hyperloader", *command]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, command
assert all(sys.modules[name] is None for name in blocked)
"""


def test_all_that_a_tagger_does_runs_without_them(tmp_path: Path) -> None:
    data, run = str(write_data(tmp_path / "data")), str(tmp_path / "run")
    gold = str(next((tmp_path / "data" / "home").glob("test*")))
    commands = [
        ["train", "--data", data, "--out", run, *settings()],
        ["tag", run, "--task", "home", "turn off the lamp"],
        ["evaluate", run, "--output", str(tmp_path / "scores.json")],
        ["evaluate", run, "--scoring", "reference"],
        ["score", gold, gold],
    ]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT],
        input=json.dumps([BLOCKED, commands]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads((tmp_path / "scores.json").read_text())["tasks"]) == {"dining", "home"}


def test_they_are_not_asked_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = " ".join(project["dependencies"])
    assert not [name for name in (*BLOCKED, "scikit-learn") if name in asked]
