"""Label Studio's backend over HTTP, with what Label Studio sends, and back through its reader."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from corpus_files import read, surfaces, write
from hyperloader.errors import HyperloaderError
from hyperloader.integrations.label_studio import app
from hyperloader.tagger import Tagger
from serving_helpers import serving

CONFIG = """<View>
  <Labels name="slots" toName="question">
    <Label value="Cuisine" background="#fed"/><Label value="rating"/><Label value="Hours"/>
  </Labels>
  <Text name="question" value="$body"/>
</View>"""
TEXTS = ["\U0001f600 any good thai place near the harbour open after ten", "hello"]


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.from_pretrained("builtin-t5")


@pytest.fixture(scope="module")
def client(tagger: Tagger) -> TestClient:
    return TestClient(app(tagger))


def asked(texts: list[Any], config: str | None = CONFIG) -> dict[str, Any]:
    """A request as Label Studio 1.x makes it."""
    return {
        "tasks": [
            {"id": i, "data": {"body": t}, "annotations": [], "predictions": []}
            for i, t in enumerate(texts, 1)
        ],
        "project": "1.1700000000",
        "label_config": config,
        "params": {"login": None, "password": None, "context": None},
    }


def test_it_is_set_up(client: TestClient) -> None:
    for path in ("/restaurant/health", "/restaurant/", "/movie/health"):
        assert client.get(path).json()["status"] == "UP"
    body = {"project": "1.17", "schema": CONFIG, "hostname": "http://ls", "access_token": "x"}
    found = client.post("/restaurant/setup", json=body)
    assert found.status_code == 200
    assert found.json()["model_version"].startswith("hyperloader-")
    assert client.post("/restaurant/webhook", json={"action": "PROJECT_UPDATED"}).status_code == 201
    assert client.get("/music/health").status_code == 404


def test_predictions_are_the_taggers_spans(
    client: TestClient, tagger: Tagger, tmp_path: Path
) -> None:
    found = client.post("/restaurant/predict", json=asked(TEXTS))
    assert found.status_code == 200, found.text
    results = found.json()["results"]
    assert len(results) == 2
    spans = [s for s in tagger.tag(TEXTS[0], "restaurant").spans if s.label != "Location"]
    assert {s.label for s in spans} == {"Cuisine", "Rating", "Hours"}
    (first, second) = results
    assert [r["value"]["labels"] for r in first["result"]] == [
        [s.label if s.label != "Rating" else "rating"] for s in spans
    ]
    assert {(r["from_name"], r["to_name"], r["type"]) for r in first["result"]} == {
        ("slots", "question", "labels")
    }
    assert [r["score"] for r in first["result"]] == pytest.approx([s.score for s in spans])
    assert first["score"] == pytest.approx(sum(s.score for s in spans) / len(spans))
    assert first["model_version"] == found.json()["model_version"]
    assert second["result"] == []
    # As Label Studio exports it once somebody has accepted it; offsets count UTF-16 there.
    task = {"id": 1, "data": {"text": TEXTS[0]}, "annotations": [{"result": first["result"]}]}
    (example,), _ = read(write(tmp_path, "export.json", json.dumps([task])))
    assert [text for text, _ in surfaces(example)] == [s.text for s in spans]


def test_without_a_configuration_all_labels_are_given(client: TestClient, tagger: Tagger) -> None:
    body = {"tasks": [{"id": 1, "data": {"text": TEXTS[0]}}]}
    (found,) = client.post("/restaurant/predict", json=body).json()["results"]
    assert [r["value"]["labels"][0] for r in found["result"]] == [
        s.label for s in tagger.tag(TEXTS[0], "restaurant").spans
    ]


def test_bad_requests_are_told_why(client: TestClient) -> None:
    entities = '<!DOCTYPE x [<!ENTITY a "aa">]><View/>'
    for body, problem in (
        (asked([7]), "task 1 has no text at data.body"),
        (asked(["x"], "<View>"), "is no XML"),
        (asked(["x"], "<View/>"), "no <Labels> for a <Text>"),
        (asked(["x"], entities), "entities of its own"),
        (asked(["\ud800"]), "lone surrogate"),
    ):
        given = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
        found = client.post("/restaurant/predict", **given)
        assert found.status_code == 400, found.text
        assert problem in found.json()["detail"]
        assert "\n" not in found.json()["detail"]
    assert client.post("/restaurant/setup", json={"schema": "<View/>"}).status_code == 400
    assert client.post("/restaurant/predict", json={}).status_code == 422


def test_a_tasks_name_may_have_a_slash(tagger: Tagger) -> None:
    renamed = Tagger(tagger.model, tagger.codec, tagger.calibration)
    renamed.rename("movie", "films/old")
    client = TestClient(app(renamed))
    assert client.get("/films%2Fold/health").status_code == 200
    found = client.post("/films%2Fold/predict", json=asked(TEXTS)).json()
    assert len(found["results"]) == len(TEXTS)


def test_some_tasks_alone(tagger: Tagger) -> None:
    client = TestClient(app(tagger, ["movie"]))
    assert client.get("/movie/health").status_code == 200
    assert client.get("/restaurant/health").status_code == 404
    with pytest.raises(HyperloaderError, match="unknown task"):
        app(tagger, ["music"])


def test_a_service_has_it_for_all_its_tasks(tagger: Tagger) -> None:
    with serving(tagger) as running:
        found = running.ask("/label-studio/restaurant/predict", asked(TEXTS))
        assert found.status == 200
        answered = json.loads(found.body)["results"]
        alone = TestClient(app(tagger)).post("/restaurant/predict", json=asked(TEXTS)).json()
        assert shown(answered) == shown(alone["results"])
        assert running.ask("/label-studio/movie/health").status == 200
        assert running.ask("/label-studio/music/health").error == (422, "unknown_task")
        bad = running.ask("/label-studio/restaurant/predict", asked(["x"], "<View/>"))
        assert bad.error == (400, "malformed")
        assert "has no <Labels> for a <Text>" in bad.json["error"]["message"]
        bad = running.ask("/label-studio/restaurant/predict", {"tasks": [{"id": 7, "data": {}}]})
        assert bad.json["error"]["message"] == "task 7 has no text at data.text"


def shown(results: list[Any]) -> list[Any]:
    """Spans and their places, without ids and the last digits of scores."""
    return [
        [(r["value"], pytest.approx(r["score"], abs=1e-5)) for r in each["result"]]
        for each in results
    ]
