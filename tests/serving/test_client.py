"""The client gives what the tagger in the process gives, and one line where it cannot."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar

import pytest

from hyperloader.client import AsyncClient, Client
from hyperloader.errors import ServiceError
from hyperloader.types import TaggedText
from serving_helpers import TEXTS, Running, serving, small_tagger
from training_helpers import cli, refused

TASKS = ["music", "flights", "one", "music"]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(small_tagger(), small_tagger(seed=4), max_characters=100) as running:
        yield running


def same(found: TaggedText, expected: TaggedText) -> None:
    one, other = found.to_dict(), expected.to_dict()
    assert [s.score for s in found.spans] == pytest.approx([s.score for s in expected.spans], 1e-4)
    for document in (one, other):
        for span in document["spans"]:
            del span["score"]
        for word in document.get("alternatives", []):
            for choice in word:
                choice["probability"] = round(choice["probability"], 3)
    assert one == other


@pytest.mark.parametrize("options", [{}, {"min_score": 0.2}, {"alternatives": 2}])
def test_it_finds_the_same(running: Running, options: Any) -> None:
    tagger = small_tagger()
    with Client(running.url) as client:
        same(client.tag(TEXTS[0], "music", **options), tagger.tag(TEXTS[0], "music", **options))
        expected = tagger.tag(TEXTS, TASKS, **options)
        for found in (client.tag(TEXTS, TASKS, **options), asyncio.run(asked(running, options))):
            assert len(found) == len(expected)
            for one, other in zip(found, expected, strict=True):
                same(one, other)
        assert client.tag([], "music") == []
        same(client.tag("", "music"), tagger.tag("", "music"))
        assert client.tasks == tagger.tasks
        assert client.labels("one") == tagger.labels("one")
        stream = client.pipe(iter(TEXTS[:3]), "one", batch_size=2, **options)
        for one, text in zip(stream, TEXTS, strict=False):
            same(one, tagger.tag(text, "one", **options))


async def asked(running: Running, options: Any) -> list[TaggedText]:
    async with AsyncClient(running.url + "/") as client:
        assert await client.tag([], "music") == []
        assert len(await client.all_tasks()) == 2 * len(small_tagger().tasks)
        found, one = await asyncio.gather(
            client.tag(TEXTS, TASKS, **options), client.tag(TEXTS[2], "one")
        )
        same(one, small_tagger().tag(TEXTS[2], "one"))
        return found


def test_another_model(running: Running) -> None:
    client = Client(running.url, model="b")
    same(client.tag(TEXTS[0], "music"), small_tagger(seed=4).tag(TEXTS[0], "music"))
    assert Client(running.url, model="z").tasks == ()


def test_threads_share_a_client(running: Running) -> None:
    client, found = Client(running.url), {}

    def work(number: int) -> None:
        found[number] = [client.tag(f"thing {number} {i}", "one").text for i in range(5)]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: [f"thing {n} {i}" for i in range(5)] for n in range(8)}


@pytest.mark.parametrize(
    ("text", "task", "status", "code"),
    [
        ("a", "musik", 422, "unknown_task"),
        ("a" * 101, "one", 413, "too_large"),
        ("\ud83d", "one", 422, "invalid"),
    ],
)
def test_what_the_service_says_is_raised(
    running: Running, text: str, task: str, status: int, code: str
) -> None:
    async def ask() -> None:
        async with AsyncClient(running.url) as client:
            await client.tag(text, task)

    for work in (lambda: Client(running.url).tag(text, task), lambda: asyncio.run(ask())):
        with pytest.raises(ServiceError) as caught:
            work()
        assert (caught.value.status, caught.value.code) == (status, code)


class Fickle(BaseHTTPRequestHandler):
    """A service that is full, then stops, then answers; closes the connection each time."""

    replies: list[tuple[int, Any]]
    paths: ClassVar[list[str]] = []

    def do_POST(self) -> None:
        self.paths.append(self.path)
        self.rfile.read(int(self.headers["Content-Length"]))
        status, value = self.replies.pop(0)
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(value if isinstance(value, bytes) else json.dumps(value).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def fickle() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Fickle)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def error(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"it is {code}"}}


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_full_service_is_asked_again(fickle: str, asynchronous: bool) -> None:
    answer = {"results": [small_tagger().tag("one thing", "one").to_dict()]}
    full = [(429, error("busy")), (503, error("draining"))]

    url = f"{fickle}/below"  # a proxy may put it there

    async def ask(retries: int) -> Any:
        async with AsyncClient(url, retries=retries) as client:
            return await client.tag("one thing", "one")

    def work(retries: int) -> Any:
        if asynchronous:
            return asyncio.run(ask(retries))
        return Client(url, retries=retries).tag("one thing", "one")

    Fickle.replies = [*full, (200, answer)]
    assert work(2) == small_tagger().tag("one thing", "one")
    assert Fickle.paths[-1] == "/below/v1/tag"
    Fickle.replies = [*full, (200, answer)]
    with pytest.raises(ServiceError, match="it is draining"):
        work(1)
    for strange in (b"<html>", {"status": "ok"}, [1], 7):
        Fickle.replies = [(200, strange)]
        with pytest.raises(ServiceError, match="no hyperloader service"):
            work(1)


def test_nobody_there_and_no_address() -> None:
    with pytest.raises(ServiceError, match=r"does not answer: .*; is it running"):
        Client("http://127.0.0.1:9", timeout=5).tag("a")
    for url in ("localhost:8000", "http://localhost:port", "http://localhost:99999", "http://[::1"):
        with pytest.raises(ServiceError, match="give http://HOST:PORT"):
            Client(url)
    for key in ("secret\n", "ключ"):
        with pytest.raises(ServiceError, match="printable ASCII characters alone"):
            Client("http://localhost:8000", key)
    with pytest.raises(ServiceError, match="a batch size of 0"):
        list(Client("http://localhost:8000").pipe(["a"], batch_size=0))


def test_a_connection_that_was_closed_is_opened_again() -> None:
    with serving() as running:
        client = Client(running.url)
        client.tag("one thing", "one")
        client._local.connection.sock.close()  # as a service does with one that is idle
        client._local.connection.sock = None
        assert client.tag("one thing", "one").text == "one thing"


def test_the_command_prints_the_same(running: Running, tmp_path: Any, monkeypatch: Any) -> None:
    small_tagger().save_pretrained(tmp_path / "run")
    lines = "\n".join(TEXTS[:3]).encode()
    for options in (["--json"], ["--alternatives", 2], []):
        ours = cli("tag", tmp_path / "run", "--task", "one", *options, stdin=lines)
        theirs = cli("tag", "--url", running.url, "--task", "one", *options, stdin=lines)
        assert (theirs.code, theirs.err) == (0, ours.err)
        if "--json" in options:
            for one, other in zip(theirs.out.splitlines(), ours.out.splitlines(), strict=True):
                same_json(json.loads(one), json.loads(other))
        else:
            assert theirs.out == ours.out
    long = cli("tag", "--url", running.url, "--task", "one", "thing", "b" * 101, "--text", "c")
    assert (long.code, len(long.out.splitlines())) == (2, 2)
    assert "sentence:2: text 0 has 101 characters" in long.err
    assert "unknown task" in refused("tag", "--url", running.url, "--task", "x", "a")
    assert "does not answer" in refused("tag", "--url", "http://127.0.0.1:9", "--task", "x", "a")
    assert "leave them out" in refused("tag", "--url", running.url, "--precision", "int8", "a")
    assert "give --url" in refused("tag", "--model", "b", "a b")


def same_json(one: Any, other: Any) -> None:
    for document in (one, other):
        for span in document["spans"]:
            span["score"] = round(span["score"], 4)
    assert one == other


def test_the_command_sends_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(api_keys=("secret",)) as running:
        asked = ("tag", "--url", running.url, "--task", "one", "thing")
        monkeypatch.delenv("HYPERLOADER_API_KEY", raising=False)
        assert "give an API key" in refused(*asked)
        monkeypatch.setenv("HYPERLOADER_API_KEY", "secret")
        assert cli(*asked).code == 0
