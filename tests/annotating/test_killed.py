"""A run whose worker and whose driver are killed goes on by the same call: no row lost or twice."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from annotating_helpers import here
from hyperloader.annotating.folder import Annotations
from hyperloader.annotating.run import annotate
from training_helpers import in_process

ROWS, PATIENCE = 800, 600
OPTIONS: dict[str, Any] = {"shard_rows": 20, "workers": 1, "batch_size": 4}


def until(condition: Callable[[], Any], process: Any) -> Any:
    """What ``condition`` gives once it is true."""
    for _ in range(PATIENCE * 20):
        if found := condition():
            return found
        assert process.is_alive()
        time.sleep(0.05)
    raise AssertionError("nothing happens")


def worker(driver: int) -> psutil.Process | None:
    """The worker of the process ``driver``."""
    for child in psutil.Process(driver).children():
        if "spawn_main" in " ".join(child.cmdline()):
            return child
    return None


def test_it_goes_on_by_the_same_call(tmp_path: Path, tagger: Path) -> None:
    texts = [f"which thing is the best thing {i}" for i in range(ROWS)]
    (tmp_path / "in.txt").write_text("\n".join(texts))
    given, out = [str(tmp_path / "in.txt")], tmp_path / "out"
    errors = tmp_path / "stderr"
    process = in_process(_driver, given, out, tagger, errors, OMP_NUM_THREADS="1")
    done = out / ".work" / "done"

    def finished(more_than: int) -> Callable[[], bool]:
        return lambda: len(list(done.glob("*.json"))) > more_than

    until(finished(0), process)
    first = worker(process.pid)
    assert first is not None
    first.kill()
    before = len(list(done.glob("*.json")))
    until(finished(before + 2), process)
    assert "a worker died; its shard is done again" in errors.read_text()
    second = worker(process.pid)
    assert second is not None
    assert second.pid != first.pid
    process.kill()
    process.join()
    second.wait(PATIENCE)  # it does not outlive its driver for long
    there = len(list(done.glob("*.json")))
    assert 3 < there < ROWS // 20
    manifest = annotate(given, out, tagger=tagger, engine=here, **OPTIONS)
    assert not (out / ".work").exists()
    assert manifest["rows"] == ROWS
    lines = [
        json.loads(line)
        for each in manifest["outputs"]
        for line in (out / each["output"]).read_text().splitlines()
    ]
    assert [row["line"] for row in lines] == list(range(1, ROWS + 1))
    assert [row["text"] for row in lines] == texts
    assert {p.name for p in out.iterdir()} - {".lock"} == {
        "manifest.json", *(each["output"] for each in manifest["outputs"])
    }  # fmt: skip
    whole = annotate(given, tmp_path / "whole", tagger=tagger, engine=here, **OPTIONS)
    assert [e["sha256"] for e in whole["outputs"]] == [e["sha256"] for e in manifest["outputs"]]


def _driver(given: list[str], out: Path, tagger: Path, errors: Path) -> None:
    with errors.open("w", buffering=1) as file:
        annotate(given, out, tagger=tagger, console=Console(file=file), **OPTIONS)


def test_an_output_that_was_removed_is_made_again(tmp_path: Path, tagger: Path) -> None:
    (tmp_path / "in.txt").write_text("a thing\n" * 10)
    given, out, made = [str(tmp_path / "in.txt")], tmp_path / "out", []

    def stopped(job: Any, shards: Any, workers: int) -> Any:
        for event in here(job, shards, workers):
            made.append(event.output)
            yield event
            if len(made) == 2:
                raise KeyboardInterrupt

    options = {**OPTIONS, "shard_rows": 2}
    try:
        annotate(given, out, tagger=tagger, engine=stopped, **options)
    except KeyboardInterrupt:
        (out / made[0]).unlink()
    manifest = annotate(given, out, tagger=tagger, engine=here, **options)
    assert manifest["rows"] == 10
    assert sum(len((out / e["output"]).read_text().splitlines()) for e in manifest["outputs"]) == 10
    assert Annotations(out, manifest["asked"]).finished == manifest
