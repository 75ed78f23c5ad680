"""The service beside another way of serving the same tagger: throughput of 64 clients, latency of
one.

Run: OMP_NUM_THREADS=1 python benchmarks/serving_others.py --other litserve --data DIR --out
FILE.json [--tagger NAME] [--seconds 5].

- litserve (``pip install litserve``) gathers requests as its documentation has it: batches of 64 at
  most, as long a wait as the service's own, one worker;
- ray-serve (``pip install 'hyperloader[ray]'``) is GLiNER's way: a deployment of Ray Serve with
  ``@serve.batch``, of one replica, with GLiNER's batches of 32 at most and its wait of 5 ms.

Each is in processes of its own on loopback, asked in turns by the same clients with the same texts.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

PATH = "/v1/tag"
WAIT = Settings().max_wait / 1000  # seconds
GLINER_BATCH, GLINER_WAIT, GLINER_REQUESTS = 32, 0.005, 256


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", choices=OTHERS, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--tagger", default="builtin-minilm")
    parser.add_argument("--texts", type=int, default=100, help="of each task")
    parser.add_argument("--seconds", type=float, default=5, help="of a round")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # be the other one
    given = parser.parse_args()
    if given.port:
        OTHERS[given.other](given.tagger, given.port)
        return
    texts = mixed(given.data, Tagger.from_pretrained(given.tagger), given.texts)
    rates: dict[str, list[float]] = {"hyperloader": [], given.other: []}
    medians: dict[str, list[float]] = {"hyperloader": [], given.other: []}
    with served(given.tagger) as ours, other(given.other, given.tagger) as theirs:
        for _ in range(ROUNDS):
            for name, service in (("hyperloader", ours), (given.other, theirs)):
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
def other(name: str, tagger: str) -> Iterator[Service]:
    """The other way, in processes of its own."""
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--other", name, "--tagger", tagger, "--port", str(port)]
    with subprocess.Popen(command, start_new_session=True, text=True) as process:
        try:
            until_ready(f"http://127.0.0.1:{port}{PATH}", process, NEEDS[name])
            yield Service(process, port)
        finally:
            process.terminate()  # Ray Serve takes its other processes along
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # LitServe waits for ever


def until_ready(url: str, process: "subprocess.Popen[str]", package: str) -> None:
    """Until it has tagged a text."""
    body = json.dumps({"texts": "hello", "task": "snips"}).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    while process.poll() is None:
        try:
            urllib.request.urlopen(asked, timeout=10).read()
        except OSError:
            time.sleep(0.5)
        else:
            return
    raise SystemExit(f"it did not start; what it printed says why, or pip install '{package}'")


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

    api = Tagging(max_batch_size=BATCH, batch_timeout=WAIT, api_path=PATH)
    api.name = name
    LitServer(api, accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1", port=port, generate_client_file=False, log_level="warning"
    )


def be_ray_serve(name: str, port: int) -> None:
    import ray
    from ray import serve

    class Replica:
        def __init__(self) -> None:
            self.tagger = Tagger.from_pretrained(name)

        @serve.batch(max_batch_size=GLINER_BATCH, batch_wait_timeout_s=GLINER_WAIT)
        async def tag(self, asked: list[dict[str, str]]) -> list[Any]:
            return self.tagger.tag([a["texts"] for a in asked], [a["task"] for a in asked])

        async def __call__(self, request: Any) -> dict[str, Any]:
            return {"results": [(await self.tag(await request.json())).to_dict()]}

    ray.init(include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployed = serve.deployment(Replica, max_ongoing_requests=GLINER_REQUESTS).bind()
    serve.run(deployed, route_prefix=PATH, blocking=True)


OTHERS = {"litserve": be_litserve, "ray-serve": be_ray_serve}
NEEDS = {"litserve": "litserve", "ray-serve": "hyperloader[ray]"}

if __name__ == "__main__":
    main()
