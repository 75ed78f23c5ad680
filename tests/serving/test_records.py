"""What a service tells its keeper (a log without texts, figures, ids), and browsers (policies)."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving_helpers import Running, logged, serving

SECRET = "the secret word is kumquat thing"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving() as running:
        yield running


def lines(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("log_texts", [False, True])
def test_the_log_has_a_line_for_each_request_and_no_text(
    log_texts: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with logged(), serving(log_texts=log_texts) as running:
        running.tag([SECRET, SECRET], "one")
        running.tag(SECRET, "none such")
        running.ask("/v1/tag", ('{"texts": "' + SECRET).encode())
        running.ask(f"/{SECRET.replace(' ', '')}?text={SECRET.replace(' ', '')}")
    said = capfd.readouterr().err
    requests = [line for line in lines(said) if line["event"] == "request"]
    assert [line["status"] for line in requests] == [200, 422, 400, 404]
    assert len({line["request_id"] for line in requests}) == 4
    first = requests[0]
    assert first.items() >= {"method": "POST", "route": "/v1/tag", "texts": 2}.items()
    assert first["model"] == "a"
    assert first["seconds"] > 0
    assert ("kumquat" in said) == log_texts


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123.X_:", True), ("a b", False), ("x" * 129, False)]
)
def test_an_id_is_taken_over_or_made(running: Running, given: str, kept: bool) -> None:
    for path, status in (("/health", 200), ("/nothing", 404), ("/v1/tag", 405)):
        reply = running.ask(path, X_Request_Id=given)
        assert reply.status == status
        assert (reply.headers["X-Request-Id"] == given) == kept
        assert reply.headers["X-Request-Id"]


def test_a_browser_is_told_what_the_page_may_do(running: Running) -> None:
    for path in ("/", "/page/page.js", "/v1/tasks", "/nothing"):
        headers = running.ask(path, Origin="http://elsewhere.example").headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert not [name for name in headers if name.lower().startswith("access-control")]
    preflight = running.ask("/v1/tag", method="OPTIONS", Origin="http://elsewhere.example")
    assert preflight.status == 405


def test_the_page_needs_nothing_from_elsewhere(running: Running) -> None:
    for path in ("/", "/page/page.js", "/page/formats.js", "/page/page.css"):
        source = running.ask(path).body.decode()
        assert "://" not in source
        assert "innerHTML" not in source
    assert b"<script>" not in running.ask("/").body
    assert b"style=" not in running.ask("/").body


def test_the_figures_count_what_happened() -> None:
    with serving() as running:
        running.tag(["one thing", "another"], "one")
        running.tag("one thing", ["music"])
        running.tag("one thing", "none such")
        reply = running.ask("/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    figures = {
        (sample.name.removeprefix("hyperloader_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.body.decode())
        for sample in family.samples
    }
    assert figures["requests_total", "/v1/tag", "200"] == 2
    assert figures["requests_total", "/v1/tag", "422"] == 1
    assert figures["texts_total", "a", "one"] == 2
    assert figures["texts_total", "a", "music"] == 1
    assert figures["batch_texts_sum",] == figures["wait_seconds_count",] == 3
    assert figures["queue_texts",] == 0
    assert figures["open_requests",] == 1  # this one
    assert figures["request_seconds_count", "/v1/tag"] == 3


def test_the_openapi_document_describes_what_is_there(running: Running) -> None:
    document = running.ask("/openapi.json").json
    assert document["openapi"].startswith("3.")
    assert set(document["paths"]) == {
        *("/v1/tag", "/v1/tasks", "/v1/tasks/{name}", "/v1/models", "/v1/models/{name}"),
        *("/health", "/health/live", "/health/ready", "/metrics"),
        *(f"/label-studio/{{task}}/{end}" for end in ("", "health", "setup", "predict", "webhook")),
    }
    tag = document["paths"]["/v1/tag"]["post"]
    assert {"200", "400", "401", "413", "422", "429", "500", "503", "504"} <= set(tag["responses"])
    examples = tag["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) >= 3
    schemas = document["components"]["schemas"]
    failure = tag["responses"]["422"]["content"]["application/json"]["schema"]["$ref"]
    assert failure.endswith("/Failure")
    reply = running.tag("one thing", "one", alternatives=1).json
    result, described = reply["results"][0], schemas["Tagged"]["properties"]
    assert set(result) == set(described)
    assert set(result["spans"][0]) == set(schemas["Span"]["properties"])
    assert set(reply) == set(schemas["TagAnswer"]["properties"])
