"""The service beside the tagger in its process: throughput, latency, overload, SIGTERM under load.

Run: OMP_NUM_THREADS=1 python benchmarks/serving.py --data DIR --out FILE.json [--tagger NAME]
[--seconds 15] [--requests 10000]. ``hyperloader serve`` runs in a process of its own on loopback;
the clients are here, on asyncio, with a connection each. Texts are test sentences of all the
tagger's tasks in turn. Both sides take turns in one run.

- closed loop: every client sends its next request when it has its answer. Throughput of 64 clients
  beside ``Tagger.tag`` in batches of 64; the latency of one client beside a call for each text.
- open loop: requests come at twice the rate that the closed loop had, whether others are
  answered or not. Each has to be answered (200, with its own text) or refused (429).
- stop: SIGTERM under the load of 64 clients; whatever was accepted has to be answered.
"""

import argparse
import asyncio
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import torch

from hyperloader import Tagger
from hyperloader.corpora.registry import load_corpora
from hyperloader.experiments.run.environment import environment
from hyperloader.store import write_text

CLIENTS, BATCH, ROUNDS = 64, 64, 5
Text = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tagger", default="builtin")
    parser.add_argument("--texts", type=int, default=100, help="of each task")
    parser.add_argument("--seconds", type=float, default=15, help="of a round")
    parser.add_argument("--requests", type=int, default=10_000, help="of the open loop")
    given = parser.parse_args()
    tagger = Tagger.from_pretrained(given.tagger)
    texts = mixed(given.data, tagger, given.texts)
    found: dict[str, Any] = {}
    with served(given.tagger) as service:
        found["closed"] = closed(tagger, texts, service, given.seconds)
        print(json.dumps(found["closed"], indent=1), flush=True)
    with served(given.tagger) as service:
        rate = 2 * found["closed"]["texts_per_second"]["service"]
        found["open"] = asyncio.run(overload(texts, service, rate, given.requests))
        print(json.dumps(found["open"], indent=1), flush=True)
    with served(given.tagger) as service:
        found["stop"] = asyncio.run(stopped(texts, service))
        print(json.dumps(found["stop"], indent=1), flush=True)
    about = {
        "tagger": given.tagger,
        "texts": len(texts),
        "seconds": given.seconds,
        "rounds": ROUNDS,
        "threads": torch.get_num_threads(),
        "load_average": os.getloadavg(),
    }
    write_text(given.out, json.dumps({**found, **about, "environment": environment()}, indent=1))


def mixed(data: Path, tagger: Tagger, count: int) -> list[Text]:
    """Test sentences with their tasks, the tasks in turn."""
    corpora = load_corpora(data, tagger.tasks)
    columns = []
    for task, corpus in corpora.items():
        test = corpus.splits["test"]
        spread = test[:: max(1, len(test) // count)][:count]
        columns.append([(" ".join(example.words), task) for example in spread])
    return [text for row in zip(*columns, strict=True) for text in row]


class Service:
    """A service in a process of its own, with what it takes and says."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process, self.port = process, port
        self._process = psutil.Process(process.pid)

    def work(self) -> float:
        """Seconds of processor time that it has used."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """MiB that it holds now."""
        return int(self._process.memory_info().rss >> 20)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()


class Connection:
    """A client that takes little of the machine: it is not what is measured."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def tag(self, text: Text) -> tuple[int, Any]:
        """The status and the answer. Raises ConnectionError if there is none."""
        body = json.dumps({"texts": text[0], "task": text[1]}).encode()
        head = f"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        try:
            reply = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            if size := re.findall(r"content-length: (\d+)", reply):
                return int(reply[9:12]), await self._reader.readexactly(int(size[0]))
            return int(reply[9:12]), b"".join([part async for part in self._chunks()])
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("closed") from error

    async def _chunks(self) -> AsyncIterator[bytes]:
        """The parts of a body whose size was not said."""
        size = 1
        while size:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            yield (await self._reader.readexactly(size + 2))[:size]


@contextmanager
def served(name: str) -> Iterator[Service]:
    command = [sys.executable, "-m", "hyperloader", "serve", name, "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        url = next(line for line in lines if "http://" in line)
        # Its log is read by a process of its own, so that it waits for nobody.
        subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield Service(process, int(re.findall(r":(\d+) ", url)[0]))
        finally:
            process.kill()


def closed(tagger: Tagger, texts: list[Text], service: Service, seconds: float) -> dict[str, Any]:
    """Throughput and latency, both sides in turns: by the clock, and of processor time."""
    sides = ("service", "process")
    rates, works, medians = ({side: list[float]() for side in sides} for _ in range(3))
    for _ in range(ROUNDS):
        before = time.process_time()
        done, spent = in_batches(tagger, texts, seconds)
        rates["process"].append(done / spent)
        works["process"].append(done / (time.process_time() - before))
        before = service.work()
        found, spent = asyncio.run(from_clients(service, texts, CLIENTS, seconds))
        rates["service"].append(len(found) / spent)
        works["service"].append(len(found) / (service.work() - before))
        medians["process"].append(1000 * statistics.median(one_by_one(tagger, texts, seconds / 3)))
        found, _ = asyncio.run(from_clients(service, texts, 1, seconds / 3))
        medians["service"].append(1000 * statistics.median(found))
    return {
        "texts_per_second": compared(rates),
        "texts_per_second_of_processor_time": compared(works),
        "p50_ms": compared(medians),
    }


def compared(rounds: dict[str, list[float]]) -> dict[str, Any]:
    """Medians of the two sides, of the first one's share of the other in each round, and all
    rounds."""
    ratios = [one / other for one, other in zip(*rounds.values(), strict=True)]
    return {
        **{side: round(statistics.median(values), 2) for side, values in rounds.items()},
        "ratio": round(statistics.median(ratios), 3),
        "rounds": {side: [round(value, 2) for value in values] for side, values in rounds.items()},
    }


def in_batches(tagger: Tagger, texts: list[Text], seconds: float) -> tuple[int, float]:
    """How many texts ``Tagger.tag`` tagged in batches of 64, and in how many seconds."""
    batches = [texts[i : i + BATCH] for i in range(0, len(texts), BATCH)]
    start, done = time.perf_counter(), 0
    for some in itertools.cycle(batches):
        tagger.tag([text for text, _ in some], [task for _, task in some])
        done += len(some)
        if (spent := time.perf_counter() - start) > seconds:
            return done, spent
    raise AssertionError("there are no texts")


def one_by_one(tagger: Tagger, texts: list[Text], seconds: float) -> list[float]:
    """Seconds of a call for each text."""
    end, found = time.perf_counter() + seconds, []
    for text, task in itertools.cycle(texts):
        start = time.perf_counter()
        json.dumps(tagger.tag(text, task).to_dict())
        found.append(time.perf_counter() - start)
        if time.perf_counter() > end:
            return found
    raise AssertionError("there are no texts")


async def from_clients(
    service: Service, texts: list[Text], clients: int, seconds: float
) -> tuple[list[float], float]:
    """Seconds of each request of so many clients, and of all together."""
    stream = itertools.cycle(texts)
    found: list[float] = []
    start = time.perf_counter()

    async def client() -> None:
        async with service.connection() as connection:
            while time.perf_counter() - start < seconds:
                text, before = next(stream), time.perf_counter()
                status, body = await connection.tag(text)
                found.append(time.perf_counter() - before)
                assert status == 200, body

    await asyncio.gather(*(client() for _ in range(clients)))
    return found, time.perf_counter() - start


async def overload(
    texts: list[Text], service: Service, rate: float, requests: int
) -> dict[str, Any]:
    """Requests that come at ``rate`` per second, whether they are answered or not."""
    statuses: Counter[str] = Counter()
    memory, seconds = [], []
    idle: list[Connection] = []

    async with AsyncExitStack() as stack:

        async def one(number: int) -> None:
            text, task = texts[number % len(texts)]
            mine = f"{text} number {number}"
            connection = (
                idle.pop() if idle else await stack.enter_async_context(service.connection())
            )
            start = time.perf_counter()
            try:
                status, body = await connection.tag((mine, task))
            except OSError as error:
                statuses[type(error).__name__] += 1
                return
            seconds.append(time.perf_counter() - start)
            idle.append(connection)
            document = json.loads(body)
            statuses[str(status)] += 1
            if status == 200:
                (result,) = document["results"]
                statuses["another's answer"] += (result["text"], result["task"]) != (mine, task)

        start, waiting = time.perf_counter(), []
        for number in range(requests):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            waiting.append(asyncio.create_task(one(number)))
            if number % (requests // 20) == 0:
                memory.append(service.memory())
        await asyncio.gather(*waiting)
    return {
        "requests_per_second": round(requests / (time.perf_counter() - start), 1),
        "asked_per_second": round(rate, 1),
        "answers": dict(statuses),
        "memory_mib": memory,
        "connections": len(idle),
        "p50_ms": round(1000 * statistics.median(seconds), 1),
    }


async def stopped(texts: list[Text], service: Service) -> dict[str, Any]:
    """SIGTERM while 64 clients ask."""
    statuses: Counter[str] = Counter()
    stream = itertools.cycle(texts)

    async def client() -> None:
        with suppress(ConnectionRefusedError):
            async with service.connection() as connection:
                while True:
                    try:
                        status, _ = await connection.tag(next(stream))
                    except ConnectionError:  # closed between two requests, or before it was read
                        statuses["not accepted: connection closed"] += 1
                        return
                    statuses[str(status)] += 1
                    if status == 503:
                        return

    clients = [asyncio.create_task(client()) for _ in range(CLIENTS)]
    await asyncio.sleep(5)
    start = time.perf_counter()
    service.process.send_signal(signal.SIGTERM)
    await asyncio.gather(*clients)
    code = await asyncio.to_thread(service.process.wait)
    return {
        "answers": dict(statuses),
        "exit_code": code,
        "seconds_to_stop": round(time.perf_counter() - start, 2),
    }


if __name__ == "__main__":
    main()
