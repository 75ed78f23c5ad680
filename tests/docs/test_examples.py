"""The examples run, and say what they should."""

import csv
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from annotating_helpers import here
from folders import ROOT

EXAMPLES = ROOT / "examples"


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hyperloader.annotating.run.by_processes", here)


def run(name: str, as_name: str = "__main__") -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / name), run_name=as_name)


def test_all_of_them_are_listed_and_tested() -> None:
    names = {path.name for path in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text()
    tested = Path(__file__).read_text()
    assert all(f"({name})" in listed and f'"{name}"' in tested for name in names)


def test_they_are_cells_that_begin_with_a_heading() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert path.read_text("utf-8").startswith("# %% [markdown]\n# # "), path.name


def test_tagging(capsys: pytest.CaptureFixture[str]) -> None:
    run("tag.py")
    out = capsys.readouterr().out
    assert "'thai' is a Cuisine" in out
    assert len(out.splitlines()) > 4


def test_training(capsys: pytest.CaptureFixture[str]) -> None:
    run("train_on_your_files.py")
    out = capsys.readouterr().out
    assert "F1 1.0" in out
    assert "<city 'quito' 10:15" in out


def test_adding_a_task(capsys: pytest.CaptureFixture[str]) -> None:
    run("add_a_task.py")
    found, same, again = capsys.readouterr().out.splitlines()
    assert "<city 'turin' 10:15" in found
    assert same == "True"
    assert "<city 'lima' 10:14" in again


def test_serving(capsys: pytest.CaptureFixture[str]) -> None:
    run("serve.py")
    out = capsys.readouterr().out.splitlines()
    assert "<Cuisine 'thai' 9:13" in out[1]
    assert out[-1] == "ended with 0"


def test_annotating(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        run("annotate.py")
        assert "100 rows" in capsys.readouterr().out
    files = [Path("annotated", name) for name in ("00000-reviews.csv", "00001-reviews.csv")]
    rows = [row for file in files for row in csv.DictReader(file.read_text("utf-8").splitlines())]
    assert [row["id"] for row in rows] == [str(i) for i in range(100)]
    assert all(json.loads(row["spans"]) for row in rows)


def test_label_studio() -> None:
    client = TestClient(run("serve_label_studio.py", "example")["server"])
    body = {"tasks": [{"id": 1, "data": {"text": "any good thai place"}}]}
    (found,) = client.post("/restaurant/predict", json=body).json()["results"]
    assert found["result"]
