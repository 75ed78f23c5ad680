"""``hyperloader serve`` as a process: how it starts and stops, and what it says if it cannot."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from serving_helpers import PATIENCE, Reply, ask, small_tagger
from training_helpers import in_process, refused, run_main


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serve") / "run"
    small_tagger().save_pretrained(folder)
    return folder


class Process(NamedTuple):
    """A service in a process of its own."""

    url: str
    process: Any
    errors: Path

    def said(self) -> list[str]:
        return self.errors.read_text().splitlines()

    def exit_code(self) -> int | None:
        self.process.join(PATIENCE)
        code: int | None = self.process.exitcode
        return code


@contextmanager
def served(errors: Path, *arguments: object, **environment: str) -> Iterator[Process]:
    command = ["serve", "--port", "0", *map(str, arguments)]
    errors.touch()
    process = in_process(run_main, command, errors, **environment)
    try:
        while not (urls := re.findall(r"at (http://\S+) \(Ctrl-C stops it\)", errors.read_text())):
            assert process.is_alive(), errors.read_text()
            process.join(0.05)
        yield Process(urls[0], process, errors)
    finally:
        process.kill()
        process.join()


def test_it_stops_when_all_that_it_took_is_answered(run: Path, tmp_path: Path) -> None:
    replies: dict[int, Reply | None] = {}

    def client(url: str, first: int) -> None:
        for i in range(first, first + 1000):
            replies[i] = None
            try:
                replies[i] = ask(url, "/v1/tag", {"texts": [f"thing {i}"] * 20, "task": "one"})
            except OSError:  # it listens no more: nothing was accepted
                return

    with served(tmp_path / "said", f"mine={run}") as service:
        threads = [threading.Thread(target=client, args=(service.url, n * 1000)) for n in range(6)]
        for thread in threads:
            thread.start()
        while sum(reply is not None for reply in list(replies.values())) < 12:
            threading.Event().wait(0.01)
        service.process.terminate()
        for thread in threads:
            thread.join(PATIENCE)
        assert service.exit_code() == 0
    answered = {i: reply for i, reply in replies.items() if reply is not None}
    assert {reply.status for reply in answered.values()} <= {200, 503}
    for i, reply in answered.items():
        if reply.status == 200:
            assert [result["text"] for result in reply.json["results"]] == [f"thing {i}"] * 20
    logged = [json.loads(line) for line in service.said() if line.startswith("{")]
    taken = [line for line in logged if line["event"] == "request" and "texts" in line]
    assert sum(line["status"] == 200 for line in taken) == sum(
        reply.status == 200 for reply in answered.values()
    )
    assert all(line["status"] in (200, 503) for line in taken)
    assert any(line["event"] == "draining" for line in logged)


def test_its_options_and_its_variables(run: Path, tmp_path: Path) -> None:
    keys = {"HYPERLOADER_API_KEY": "one, two", "HYPERLOADER_ADMIN_KEY": "boss"}
    limits = ("--max-texts", 2, "--max-queue", 2)
    with served(tmp_path / "said", f"mine={run}", run, *limits, **keys) as service:
        key = {"Authorization": "Bearer two"}
        tasks = ask(service.url, "/v1/tasks", **key).json["tasks"]
        assert {task["model"] for task in tasks} == {"mine", "run"}
        assert ask(service.url, "/v1/tasks").status == 401
        asked = {"texts": ["a"] * 3, "task": "one"}
        assert ask(service.url, "/v1/tag", asked, **key).status == 413
        boss = {"Authorization": "Bearer boss"}
        assert ask(service.url, "/v1/models/run", method="DELETE", **boss).status == 204
        assert service.url.startswith("http://127.0.0.1:")
        assert not any("anybody" in line for line in service.said())


def test_an_open_service_for_all_is_pointed_out_and_ctrl_c_stops_it(
    run: Path, tmp_path: Path
) -> None:
    with served(tmp_path / "said", run, "--host", "0.0.0.0") as service:
        port = service.url.rpartition(":")[2]
        assert ask(f"http://127.0.0.1:{port}", "/health").status == 200
        os.kill(service.process.pid, signal.SIGINT)
        assert service.exit_code() == 0
    assert any("no API key is set" in line for line in service.said())


def test_what_cannot_be_served_is_one_line(run: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert "is in use; give another --port" in refused("serve", run, "--port", port)
    assert "cannot be listened to" in refused("serve", run, "--host", "203.0.113.7", "--port", 0)
    assert "does not exist" in refused("serve", tmp_path / "none", "--port", 0)
    assert "there is a model 'a' already" in refused("serve", f"a={run}", f"a={run}", "--port", 0)
    assert "cannot be a tagger's name" in refused("serve", f"a b={run}", "--port", 0)
    assert "longer queue" in refused("serve", run, "--max-queue", 10)


def test_a_missing_extra_is_named(run: Path) -> None:
    with mock.patch("hyperloader.errors.find_spec", return_value=None):
        said = refused("serve", run)
    assert "need the package fastapi" in said
    assert "pip install 'hyperloader[serve]'" in said


def test_the_client_and_the_command_wait_for_neither_torch_nor_fastapi() -> None:
    heavy = "{'torch', 'transformers', 'fastapi', 'httpx', 'ray'} & set(sys.modules)"
    code = f"import sys, hyperloader.client, hyperloader.cli.main; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
