"""The deployment on a local Ray: ``make ray``. It starts ten processes and takes a gigabyte or two,
so it is not part of the default run."""

import json
import os
from collections.abc import Iterator

import pytest

# Read by Ray when it is imported. A busy machine is slow without being wrong.
os.environ |= {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_raylet_start_wait_time_s": "300",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
    "HYPERLOADER_TAGGERS": "builtin-t5",
    "HYPERLOADER_REPLICAS": "2",
    "HYPERLOADER_API_KEY": "secret",
}
ray = pytest.importorskip("ray", reason="NOT TESTED: Ray Serve (pip install 'hyperloader[ray]')")

from ray import serve  # noqa: E402

from hyperloader.serving.ray import app  # noqa: E402
from hyperloader.tagger import Tagger  # noqa: E402
from serving_helpers import Reply, ask  # noqa: E402

KEY = {"Authorization": "Bearer secret"}
TEXTS = ["any good thai place near the harbour", "play some jazz"]
TASKS = ["restaurant", "snips"]
PORT = 8947


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    ray.init(num_cpus=4, include_dashboard=False)
    serve.start(http_options={"host": "127.0.0.1", "port": PORT})
    serve.run(app, route_prefix="/")
    yield f"http://127.0.0.1:{PORT}"
    serve.shutdown()
    ray.shutdown()


def tag(url: str, **asked: object) -> Reply:
    return ask(url, "/v1/tag", {"texts": TEXTS, "task": TASKS, **asked}, **KEY)


def test_it_is_the_same_service(url: str) -> None:
    expected = Tagger.from_pretrained("builtin-t5").tag(TEXTS, TASKS)
    reply = tag(url)
    assert (reply.status, reply.json["model"]) == (200, "builtin-t5")
    for found, tagged in zip(reply.json["results"], expected, strict=True):
        assert [(s["text"], s["label"]) for s in found["spans"]] == [
            (s.text, s.label) for s in tagged.spans
        ]
    lines = [json.loads(line) for line in tag(url, stream=True).body.splitlines()]
    assert [line["text"] for line in lines] == TEXTS


def test_it_keeps_its_promises(url: str) -> None:
    assert ask(url, "/health/ready").json == {"status": "ready"}
    assert ask(url, "/v1/tasks").error == (401, "unauthorized")
    assert tag(url, task="x").error == (422, "unknown_task")
    assert ask(url, "/v1/models", {"path": "x"}, **KEY).error == (403, "forbidden")
    assert "default-src 'none'" in ask(url, "/").headers["Content-Security-Policy"]
    assert "text/javascript" in ask(url, "/page/page.js").headers["Content-Type"]


def test_one_replica_is_enough_without_load_and_two_are_allowed(url: str) -> None:
    deployment = serve.status().applications["default"].deployments["hyperloader"]
    assert (deployment.status, deployment.replica_states) == ("HEALTHY", {"RUNNING": 1})
    scaling = app._bound_deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (1, 2)
