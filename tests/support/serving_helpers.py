"""Services for tests: real sockets on loopback, small taggers, and one that waits to be let go."""

import http.client
import json
import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from helpers import tiny_codec, tiny_model
from hyperloader.serving import logs
from hyperloader.serving.server import Server, listen, url_of
from hyperloader.serving.service import Service
from hyperloader.serving.settings import Settings
from hyperloader.serving.taggers import Served, Taggers
from hyperloader.tagger import Tagger

PATIENCE = 120  # seconds; a busy machine is slow without being wrong
TEXTS = ("play the song little robin redbreast", "show me flights from boston", "one thing", "")


@cache
def small_tagger(seed: int = 3) -> Tagger:
    """Random, for the tasks music, flights and one."""
    return Tagger(tiny_model(tiny_codec(), random=True, seed=seed), tiny_codec())


class Held:
    """A tagger that tags nothing before :attr:`go` is set, and remembers its batches."""

    def __init__(self, tagger: Tagger) -> None:
        self.tagger = tagger
        self.go, self.begun = threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tagger, name)

    def tag(self, texts: list[str], tasks: list[str], **options: Any) -> Any:
        self.batches.append(list(texts))
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return self.tagger.tag(texts, tasks, **options)


class Reply(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """The status and the code of an error, whose form is checked."""
        assert set(self.json) == {"error"}
        assert set(self.json["error"]) == {"code", "message"}
        assert self.json["error"]["message"].count("\n") == 0
        return self.status, self.json["error"]["code"]


class Running(NamedTuple):
    """A service that runs in this process."""

    url: str
    service: Service
    server: Server

    def ask(self, path: str, value: Any = None, method: str = "", **headers: str) -> Reply:
        return ask(self.url, path, value, method, **headers)

    def tag(self, texts: Any, task: Any = None, **options: Any) -> Reply:
        return self.ask("/v1/tag", {"texts": texts, "task": task, **options})

    def figure(self, name: str) -> float:
        """One of the metrics."""
        lines = self.ask("/metrics").body.decode().splitlines()
        (line,) = [x for x in lines if x.startswith(f"hyperloader_{name} ")]
        return float(line.split()[1])


@contextmanager
def serving(*taggers: Any, **settings: Any) -> Iterator[Running]:
    """A service of ``taggers`` (named a, b, …; default: the small one)."""
    named = zip("abc", taggers or (small_tagger(),), strict=False)
    served = [Served(name, tagger, {}) for name, tagger in named]
    with listen("127.0.0.1", 0) as listener:
        started = threading.Event()
        service = Service(Taggers(served), Settings(**settings))
        server = Server(service, started.set)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        assert started.wait(PATIENCE)
        try:
            yield Running(url_of(listener), service, server)
        finally:
            server.drain()
            thread.join(PATIENCE)
            assert not thread.is_alive()


@contextmanager
def logged() -> Iterator[None]:
    """The log goes to standard error meanwhile, as in ``hyperloader serve``."""
    loggers = [logging.getLogger(name) for name in (logs.logger.name, "uvicorn")]
    before = [(one.handlers, one.propagate, one.level) for one in loggers]
    logs.set_up()
    try:
        yield
    finally:
        for one, (one.handlers, one.propagate, level) in zip(loggers, before, strict=True):
            one.setLevel(level)


def ask(url: str, path: str, value: Any = None, method: str = "", **headers: str) -> Reply:
    """One request on a connection of its own; bytes are sent as they are."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    try:
        body = value if value is None or isinstance(value, bytes) else json.dumps(value).encode()
        named = {name.replace("_", "-"): content for name, content in headers.items()}
        named = {"Content-Type": "application/json", **named}
        connection.request(method or ("GET" if body is None else "POST"), path, body, named)
        reply = connection.getresponse()
        return Reply(reply.status, reply.headers, reply.read())
    finally:
        connection.close()


def in_thread(work: Any, *arguments: Any, **options: Any) -> tuple[threading.Thread, list[Any]]:
    """``work`` in a thread; its result will be in the list."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work(*arguments, **options)))
    thread.start()
    return thread, results
