"""The service beside LitServe with the same tagger: throughput of 64 clients, latency of one.

Run: OMP_NUM_THREADS=1 python benchmarks/serving_litserve.py --data DIR --out FILE.json [--tagger
NAME] [--seconds 5]. Needs ``pip install litserve``. LitServe gathers requests as its documentation
has it: batches of 64 at most, as long a wait as the service's own, one worker. Each is in processes
of its own on loopback, asked by the same clients with the same texts, in turns.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from serving import BATCH, CLIENTS, ROUNDS, Service, compared, from_clients, mixed, served

from hyperloader import Tagger
from hyperloader.experiments.run.environment import environment
from hyperloader.serving.server import listen
from hyperloader.serving.settings import Settings
from hyperloader.store import write_text

try:
    from litserve import LitAPI
except ImportError:  # the LitServe of this file does not start then, and says why
    LitAPI = object

WAIT = Settings().max_wait / 1000  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tagger", default="builtin-minilm")
    parser.add_argument("--texts", type=int, default=100, help="of each task")
    parser.add_argument("--seconds", type=float, default=5, help="of a round")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # be the LitServe
    given = parser.parse_args()
    if given.port:
        be_litserve(given.tagger, given.port)
        return
    texts = mixed(given.data, Tagger.from_pretrained(given.tagger), given.texts)
    rates: dict[str, list[float]] = {"hyperloader": [], "litserve": []}
    medians: dict[str, list[float]] = {"hyperloader": [], "litserve": []}
    with served(given.tagger) as ours, litserve(given.tagger) as theirs:
        for _ in range(ROUNDS):
            for name, service in (("hyperloader", ours), ("litserve", theirs)):
                found, spent = asyncio.run(from_clients(service, texts, CLIENTS, given.seconds))
                rates[name].append(len(found) / spent)
                found, _ = asyncio.run(from_clients(service, texts, 1, given.seconds / 3))
                medians[name].append(1000 * statistics.median(found))
    both = {"texts_per_second": compared(rates), "p50_ms": compared(medians)}
    about = {
        "tagger": given.tagger,
        "texts": len(texts),
        "seconds": given.seconds,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
        "environment": environment(),
    }
    print(json.dumps(both, indent=1))
    write_text(given.out, json.dumps({**both, **about}, indent=1) + "\n")


@contextmanager
def litserve(name: str) -> Iterator[Service]:
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--tagger", name, "--port", str(port)]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            until_ready(f"http://127.0.0.1:{port}/health", process)
            yield Service(process, port)
        finally:
            os.killpg(process.pid, 9)


def until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1).read()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise SystemExit("LitServe did not start: pip install litserve")


class Tagging(LitAPI):  # type: ignore[misc]
    """What LitServe's workers do. Its ``name`` is the tagger's."""

    name: str

    def setup(self, device: str) -> None:
        self.tagger = Tagger.from_pretrained(self.name)

    def decode_request(self, request: dict[str, str]) -> tuple[str, str]:
        return request["texts"], request["task"]

    def predict(self, asked: list[tuple[str, str]]) -> list[Any]:
        return self.tagger.tag([text for text, _ in asked], [task for _, task in asked])

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"results": [output.to_dict()]}


def be_litserve(name: str, port: int) -> None:
    from litserve import LitServer

    api = Tagging(max_batch_size=BATCH, batch_timeout=WAIT, api_path="/v1/tag")
    api.name = name
    LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=port, generate_client_file=False, log_level="warning"
    )


if __name__ == "__main__":
    main()
