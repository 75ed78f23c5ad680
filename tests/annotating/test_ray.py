"""Annotations on Ray, with Ray itself. That takes a minute, so it has its own target: make ray."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from annotating_helpers import here
from hyperloader.annotating.run import annotate
from hyperloader.annotating.work import Done
from hyperloader.errors import HyperloaderError

pytestmark = pytest.mark.skipif(
    "HYPERLOADER_TEST_RAY" not in os.environ, reason="NOT TESTED: Ray; make ray runs these tests"
)


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[Any]:
    """Ray on this machine, with two cores: fewer than some runs here have workers."""
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def test_it_writes_what_processes_write_and_goes_on(tmp_path: Path, tagger: Path) -> None:
    from hyperloader.annotating.on_ray import OnRay

    (tmp_path / "in.txt").write_bytes(b"which thing is the best thing\n" * 90 + b"\xff\n")
    options: dict[str, Any] = {
        "tagger": tagger, "shard_rows": 10, "console": Console(file=io.StringIO())
    }  # fmt: skip
    given = [str(tmp_path / "in.txt")]
    expected = annotate(given, tmp_path / "here", engine=here, **options)
    engine, finished = OnRay(), []

    def stopped(*job: Any) -> Iterator[Any]:
        for event in engine(*job):
            yield event
            finished.append(isinstance(event, Done))
            if sum(finished) == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate(given, tmp_path / "ray", engine=stopped, workers=4, **options)
    assert len(list((tmp_path / "ray" / ".work" / "done").iterdir())) == 3
    found = annotate(given, tmp_path / "ray", engine=engine, workers=4, **options)
    assert [e["sha256"] for e in found["outputs"]] == [e["sha256"] for e in expected["outputs"]]
    assert (found["rows"], found["errors"]) == (90, 1)


def test_an_actor_that_dies_is_replaced(tmp_path: Path, tagger: Path) -> None:
    import psutil

    from hyperloader.annotating.on_ray import OnRay

    (tmp_path / "in.txt").write_bytes(b"which thing is the best thing\n" * 400)
    killed = []

    def harmed(*job: Any) -> Iterator[Any]:
        for event in OnRay()(*job):
            yield event
            if not killed and isinstance(event, Done):
                for process in psutil.Process().children(recursive=True):
                    if "ray::_Actor" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        break

    manifest = annotate(
        [str(tmp_path / "in.txt")], tmp_path / "out", tagger=tagger, engine=harmed, workers=1,
        shard_rows=100, console=Console(file=io.StringIO()),
    )  # fmt: skip
    assert killed
    assert manifest["rows"] == 400


def test_mistakes_of_workers_are_one_line(tmp_path: Path, tagger: Path) -> None:
    from hyperloader.annotating.on_ray import OnRay

    (tmp_path / "in.txt").write_text("a thing\n")
    with pytest.raises(HyperloaderError, match="cannot be used"):
        annotate(
            [str(tmp_path / "in.txt")], tmp_path / "out", tagger=tagger, engine=OnRay(),
            device="cuda:99", console=Console(file=io.StringIO()),
        )  # fmt: skip
