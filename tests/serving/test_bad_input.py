"""Whatever is sent, the answer has a documented status and says in one line what is wrong."""

import re
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from folders import ROOT
from serving_helpers import Running, serving

LARGE = b'{"texts":"' + b"a" * 10_000_000 + b'","task":"one"}'
CASES: dict[str, tuple[Any, int, str]] = {
    "not JSON": (b'{"texts": "a"', 400, "malformed"),
    "not UTF-8": (b'{"texts": "\xff\xfe", "task": "one"}', 400, "malformed"),
    "deep": (b'{"texts":' + b"[" * 100_000, 400, "malformed"),
    "nothing": (b"", 422, "invalid"),
    "a list": (["a"], 422, "invalid"),
    "a number": (3, 422, "invalid"),
    "no texts": ({"task": "one"}, 422, "invalid"),
    "texts of another type": ({"texts": 3, "task": "one"}, 422, "invalid"),
    "one text of another type": ({"texts": ["a", 4], "task": "one"}, 422, "invalid"),
    "null": ({"texts": None, "task": "one"}, 422, "invalid"),
    "a lone surrogate": (b'{"texts": "\\ud800", "task": "one"}', 422, "invalid"),
    "a number in quotes": ({"texts": "a", "task": "one", "alternatives": "3"}, 422, "invalid"),
    "a score of 2": ({"texts": "a", "task": "one", "min_score": 2}, 422, "invalid"),
    "no number": (b'{"texts": "a", "task": "one", "min_score": NaN}', 422, "invalid"),
    "too many alternatives": ({"texts": "a", "task": "one", "alternatives": 9999}, 422, "invalid"),
    "an unknown field": ({"texts": "a", "task": "one", "tasks": "one"}, 422, "invalid"),
    "no task": ({"texts": "a"}, 422, "unknown_task"),
    "an unknown task": ({"texts": "a", "task": "musik"}, 422, "unknown_task"),
    "an unknown task for one": ({"texts": ["a", "b"], "task": ["one", "x"]}, 422, "unknown_task"),
    "fewer tasks": ({"texts": ["a", "b"], "task": ["one"]}, 422, "invalid"),
    "an unknown model": ({"texts": "a", "task": "one", "model": "x"}, 422, "unknown_model"),
    "no text in the list": ({"texts": [], "task": "one"}, 422, "empty_batch"),
    "too many texts": ({"texts": ["a"] * 11, "task": "one"}, 413, "too_large"),
    "a long text": ({"texts": "a" * 1001, "task": "one"}, 413, "too_large"),
    "10 MB": (LARGE, 413, "too_large"),
}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(max_texts=10, max_characters=1000, max_body=200_000) as running:
        yield running
        assert running.tag("one thing", "one").status == 200  # and it has survived all that


@pytest.mark.parametrize("name", CASES)
def test_it_is_refused_and_says_why(running: Running, name: str) -> None:
    body, status, code = CASES[name]
    assert running.ask("/v1/tag", body).error == (status, code)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"texts": "a", "task": "musik"}, "unknown task 'musik'; did you mean 'music'? (known: "),
        ({"texts": "a"}, "give a task (one of: music, flights, one)"),
        (b'{"texts": "\xe9", "task": "one"}', "the body is not JSON in UTF-8"),
        ({"texts": ["a", 4], "task": "one"}, "texts.1: Input should be a valid string"),
        ({"texts": ["a" * 1001], "task": "one"}, "text 0 has 1,001 characters, more than 1,000"),
    ],
)
def test_the_message_helps(running: Running, asked: Any, said: str) -> None:
    assert running.ask("/v1/tag", asked).json["error"]["message"].startswith(said)


def test_other_paths_methods_and_types(running: Running) -> None:
    assert running.ask("/v1/tagg", {}).error == (404, "not_found")
    assert running.ask("/page/../routes.py").error == (404, "not_found")
    assert running.ask("/page/%2e%2e/routes.py").error == (404, "not_found")
    assert running.ask("/v1/tag").error == (405, "method_not_allowed")
    plain = running.ask("/v1/tag", {"texts": "a", "task": "one"}, Content_Type="text/plain")
    assert plain.error == (422, "invalid")
    assert "application/json" in plain.json["error"]["message"]


def raw(running: Running, *parts: bytes) -> bytes:
    """What comes back for bytes that no client would send."""
    host, port = urlsplit(running.url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        received = b""
        while chunk := connection.recv(1 << 16):
            received += chunk
        return received


HEAD = (
    b"POST /v1/tag HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
)


def test_a_large_body_in_chunks_is_refused_without_its_size_being_told(running: Running) -> None:
    chunks = [b"%x\r\n%s\r\n" % (50_000, b"a" * 50_000)] * 8
    found = raw(running, HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413 ")


def test_whoever_asks_before_sending_is_told_before(running: Running) -> None:
    found = raw(running, HEAD, b"Expect: 100-continue\r\nContent-Length: 9000000\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 413 ")


def test_what_is_no_http_is_refused(running: Running) -> None:
    assert b"400" in raw(running, b"\x16\x03\x01 hello\r\n\r\n").splitlines()[0]


def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    with serving(timeout=0.2) as running:
        found = raw(running, HEAD, b'Content-Length: 100\r\n\r\n{"texts"')
    assert found.startswith(b"HTTP/1.1 408 ")
    assert b'"slow_body"' in found


def test_all_statuses_and_codes_are_documented() -> None:
    page = (ROOT / "docs" / "serving.md").read_text("utf-8")
    documented = set(re.findall(r"^\| (\d{3}) \| `(\w+)` \|", page, re.MULTILINE))
    assert {(str(status), code) for _, status, code in CASES.values()} <= documented
    source = ROOT / "src" / "hyperloader" / "serving"
    written = {
        pair
        for path in source.glob("*.py")
        for pair in re.findall(r'Refused\(\s*(\d{3}),\s*"(\w+)"', path.read_text("utf-8"))
    }
    assert len(written) > 10
    assert written <= documented
