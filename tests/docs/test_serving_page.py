"""What docs/serving.md shows can be done as it stands there, and it names every option."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from folders import ROOT
from hyperloader.cli.main import app
from hyperloader.serving.taggers import load
from serving_helpers import Running, serving

PAGE = (ROOT / "docs" / "serving.md").read_text("utf-8")


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(load("builtin-t5").tagger) as running:
        yield running


def commands() -> list[str]:
    """The commands of the page, each with its lines joined."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_its_commands_run(running: Running) -> None:
    if shutil.which("curl") is None:
        pytest.skip("NOT TESTED: the commands of docs/serving.md (no curl)")
    program = f"{sys.executable} -m hyperloader"
    said = []
    for command in commands():
        here = command.replace("localhost:8000", running.url.removeprefix("http://"))
        here = re.sub("^hyperloader", program, here).replace("curl ", "curl --fail ")
        done = subprocess.run(
            here, shell=True, capture_output=True, text=True, env=os.environ, check=False
        )
        assert done.returncode == 0, (command, done.stderr)
        said.append(done.stdout)
    one, many, stream, tasks, ready, metrics, tag = said
    labels = {span["label"] for span in json.loads(one)["results"][0]["spans"]}
    assert "Cuisine" in labels
    assert [r["task"] for r in json.loads(many)["results"]] == ["restaurant", "snips"]
    assert len(json.loads(many)["results"][0]["alternatives"][0]) <= 3
    assert [json.loads(line)["text"] for line in stream.splitlines()] == [
        *("a table for two", "a cheap place")
    ]
    assert len(json.loads(tasks)["tasks"]) == 6
    assert json.loads(ready) == {"status": "ready"}
    assert "hyperloader_requests_total" in metrics
    assert "Cuisine" in tag


def test_its_example_runs(running: Running, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    example = example.replace("http://127.0.0.1:8000", running.url)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, "serving.md", "exec"), names)
    assert "Cuisine" in {span.label for span in names["tagged"].spans}
    assert capsys.readouterr().out.count("\n") == 2


def test_it_names_every_option_and_every_figure(running: Running) -> None:
    command = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {name for parameter in command.params for name in parameter.opts if name[0] == "-"}
    assert len(options) > 10
    described = set(re.findall(r"^\| (`--.*?) \|", PAGE, re.MULTILINE))
    assert options <= set(re.findall(r"--[a-z][a-z-]+", " ".join(described)))
    figures = re.findall(r"^# TYPE hyperloader_(\w+)", running.ask("/metrics").body.decode(), re.M)
    assert len(figures) > 10
    assert not [name for name in figures if f"`{name}`" not in PAGE and "created" not in name]
