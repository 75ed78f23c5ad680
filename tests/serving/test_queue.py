"""The queue: who waits, who is told to come again, and that nobody waits for those who left."""

import gc
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from hyperloader.errors import HyperloaderError
from serving_helpers import PATIENCE, Held, Running, in_thread, logged, serving, small_tagger


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held(small_tagger())
    yield held
    held.go.set()


def until(condition: Any) -> None:
    """Wait for something that is bound to happen."""
    for _ in range(PATIENCE * 100):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not happen")


def waiting(running: Running, held: Held, texts: int) -> None:
    """Until the model works and so many texts wait for it."""
    assert held.begun.wait(PATIENCE)
    until(lambda: running.service.batcher.texts == texts)


def leave_after_sending(running: Running, asked: Any) -> socket.socket:
    """A connection on which ``asked`` was sent; nobody reads the answer."""
    host, port = urlsplit(running.url).netloc.split(":")
    connection = socket.create_connection((host, int(port)))
    body = json.dumps(asked).encode()
    head = f"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
    return connection


def test_what_comes_while_the_model_works_is_tagged_together(held: Held) -> None:
    with serving(held) as running:
        first, _ = in_thread(running.tag, "one thing", "one")
        waiting(running, held, 0)
        others = [
            in_thread(running.tag, f"flights number {i}", task)
            for i, task in enumerate(("music", "flights", "one", "music"))
        ]
        waiting(running, held, 4)
        held.go.set()
        for thread, _ in [(first, None), *others]:
            thread.join(PATIENCE)
        for i, (_, (reply,)) in enumerate(others):
            assert reply.json["results"][0]["text"] == f"flights number {i}"
    assert [len(batch) for batch in held.batches] == [1, 4]


def test_a_batch_has_as_many_tokens_as_it_may(held: Held) -> None:
    with serving(held, batch_tokens=40) as running:
        thread, replies = in_thread(running.tag, ["a" * 24] * 11, "one")  # ten tokens each
        assert held.begun.wait(PATIENCE)
        held.go.set()
        thread.join(PATIENCE)
        assert len(replies[0].json["results"]) == 11
        running.tag("a" * 2000, "one")
    assert [len(batch) for batch in held.batches] == [4, 4, 3, 1]


def test_a_long_request_does_not_make_a_short_one_wait_for_all_of_it(held: Held) -> None:
    with serving(held, batch_tokens=4 * 16 * 2) as running:  # two turns of empty texts
        long, _ = in_thread(running.tag, [""] * 200, "one")
        waiting(running, held, 200 - 32)
        short, _ = in_thread(running.tag, ["", "one thing"], "one")
        waiting(running, held, 200 - 32 + 2)
        held.go.set()
        long.join(PATIENCE)
        short.join(PATIENCE)
    turns = [i for i, batch in enumerate(held.batches) if "one thing" in batch]
    assert turns == [1]


def test_a_long_text_is_not_passed_over_for_short_ones(held: Held) -> None:
    with serving(held, batch_tokens=40) as running:
        first, _ = in_thread(running.tag, "one thing", "one")
        waiting(running, held, 0)
        threads = []
        for i, text in enumerate(["a", "b" * 400, *"cdefghijklmnopqrstuvwxyz"]):
            threads.append(in_thread(running.tag, text, "one"))
            waiting(running, held, i + 1)
        held.go.set()
        for thread, _ in [(first, None), *threads]:
            thread.join(PATIENCE)
    assert [len(batch) for batch in held.batches[:3]] == [1, 1, 1]  # nor does it share a batch
    assert held.batches[2] == ["b" * 400]
    assert sum(map(len, held.batches)) == 27


def test_a_full_queue_says_when_to_come_again(held: Held) -> None:
    with serving(held, max_queue=3, max_texts=3) as running:
        threads = [in_thread(running.tag, "one thing", "one")]
        waiting(running, held, 0)
        threads.append(in_thread(running.tag, ["a", "b"], "one"))
        waiting(running, held, 2)
        refused = running.tag(["c", "d"], "one")
        assert refused.error == (429, "busy")
        assert int(refused.headers["Retry-After"]) >= 1
        threads.append(in_thread(running.tag, "there is room for one", "one"))
        waiting(running, held, 3)
        held.go.set()
        for thread, replies in threads:
            thread.join(PATIENCE)
            assert replies[0].status == 200


def test_what_would_be_answered_too_late_is_not_taken(held: Held) -> None:
    with serving(held, timeout=120) as running:
        running.service.batcher._tokens_per_second = 2.0  # as if it had been measured
        thread, _ = in_thread(running.tag, "one thing", "one")
        waiting(running, held, 0)
        other, _ = in_thread(running.tag, "a" * 4 * 96, "one")  # 100 tokens: fifty seconds
        waiting(running, held, 1)
        refused = running.tag("b", "one")
        assert refused.error == (429, "busy")
        assert refused.headers["Retry-After"] == "50"
        held.go.set()
        thread.join(PATIENCE)
        other.join(PATIENCE)
        assert running.tag("b", "one").status == 200


def test_small_batches_do_not_tell_how_fast_it_is() -> None:
    with serving(batch_tokens=100) as running:
        running.tag("one thing", "one")
        assert running.service.batcher._tokens_per_second == 0
        running.tag(["one thing"] * 20, "one")
        assert running.service.batcher._tokens_per_second > 0


def test_only_so_many_requests_at_a_time(held: Held) -> None:
    with serving(held, max_requests=1) as running:
        thread, _ = in_thread(running.tag, "one thing", "one")
        waiting(running, held, 0)
        assert running.tag("another", "one").error == (429, "busy")
        assert running.ask("/health/ready").status == 200
        held.go.set()
        thread.join(PATIENCE)
        assert running.tag("another", "one").status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_who_leaves_is_not_waited_for(held: Held, stream: bool) -> None:
    with serving(held, max_queue=10, max_texts=10) as running:
        thread, _ = in_thread(running.tag, "one thing", "one")
        waiting(running, held, 0)
        asked = {"texts": ["gone"] * 5, "task": "one", "stream": stream}
        connection = leave_after_sending(running, asked)
        waiting(running, held, 5)
        connection.close()
        waiting(running, held, 0)
        assert running.service.batcher.tokens == 0
        until(lambda: running.figure("abandoned_requests_total") == 1)
        held.go.set()
        thread.join(PATIENCE)
    assert ["gone"] not in held.batches
    assert "gone" not in [text for batch in held.batches for text in batch]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_takes_too_long_is_not_waited_for(
    held: Held, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(held, timeout=0.3) as running:
        thread, _ = in_thread(running.tag, "one thing", "one")
        waiting(running, held, 0)
        late = running.tag(["late", "later"], "one", stream=stream)
        if stream:
            lines = [json.loads(line) for line in late.body.splitlines()]
            assert [line["error"]["code"] for line in lines] == ["timeout", "timeout"]
        else:
            assert late.error == (504, "timeout")
        assert running.service.batcher.texts == 0
        held.go.set()
        thread.join(PATIENCE)
    assert held.batches == [["one thing"]]
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


class Broken:
    """A tagger that fails at certain texts."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(small_tagger(), name)

    def tag(self, texts: list[str], tasks: list[str], **options: Any) -> Any:
        if "bad secret" in texts:
            raise self.error
        return small_tagger().tag(texts, tasks, **options)


def test_a_text_that_cannot_be_tagged_harms_no_other(capfd: pytest.CaptureFixture[str]) -> None:
    broken = Broken(ZeroDivisionError("about bad secret"))
    with logged(), serving(broken) as running:
        assert running.tag(["fine", "bad secret"], "one").error == (500, "fault")
        stream = running.tag(["fine", "bad secret", "fine"], "one", stream=True)
        lines = [json.loads(line) for line in stream.body.splitlines()]
        assert [line.get("text", line.get("error", {}).get("code")) for line in lines] == [
            *("fine", "fault", "fine")
        ]
        assert running.ask("/health/live").status == 200
    said = capfd.readouterr().err
    assert "ZeroDivisionError" in said
    assert "secret" not in said
    with serving(Broken(HyperloaderError("too long for this model"))) as running:
        refused = running.tag("bad secret", "one")
        assert refused.error == (422, "invalid")
        assert refused.json["error"]["message"] == "too long for this model"


def test_what_was_accepted_is_answered_and_nothing_more_is_taken(held: Held) -> None:
    with serving(held) as running:
        threads = [in_thread(running.tag, "one thing", "one")]
        waiting(running, held, 0)
        threads.append(in_thread(running.tag, ["a", "b"], "one"))
        waiting(running, held, 2)
        running.server.drain()
        refused = running.tag("c", "one")
        assert refused.error == (503, "draining")
        assert refused.headers["Retry-After"] == "1"
        ready = running.ask("/health/ready")
        assert (ready.status, ready.json) == (503, {"status": "draining"})
        assert running.ask("/health/live").status == 200
        held.go.set()
        for thread, replies in threads:
            thread.join(PATIENCE)
            assert replies[0].status == 200


def test_what_is_left_when_the_time_for_stopping_is_over_is_told(held: Held) -> None:
    with serving(held, drain=0) as running:
        thread, _ = in_thread(running.tag, "one thing", "one")
        waiting(running, held, 0)
        other, replies = in_thread(running.tag, ["a", "b"], "one")
        waiting(running, held, 2)
        running.server.drain()
        other.join(PATIENCE)
        held.go.set()
        thread.join(PATIENCE)
    assert replies[0].error == (503, "draining")
    assert running.server.lost == 2
