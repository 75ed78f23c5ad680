"""What the service finds is what the tagger in the process finds, in every form of a request."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from helpers import tiny_codec, tiny_model
from hyperloader.tagger import Tagger
from serving_helpers import TEXTS, Running, serving, small_tagger

MIN_SCORE = 0.2
TASKS = ["music", "flights", "one", "music"]


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with serving(small_tagger(), small_tagger(seed=4)) as running:
        yield running


def same(found: Any, expected: Any) -> None:
    """Equal, but for the last digits of scores, which depend on what shares a batch."""
    assert rounded(found) == rounded(expected)


def rounded(value: Any) -> Any:
    return json.loads(json.dumps(value), parse_float=lambda number: round(float(number), 4))


@pytest.mark.parametrize("options", [{}, {"min_score": MIN_SCORE}, {"alternatives": 2}])
def test_one_text_and_many_with_a_task_for_each(running: Running, options: Any) -> None:
    tagger = small_tagger()
    one = running.tag(TEXTS[0], "music", **options)
    assert (one.status, one.json["model"]) == (200, "a")
    same(one.json["results"], [tagger.tag(TEXTS[0], "music", **options).to_dict()])
    many = running.tag(TEXTS, TASKS, **options)
    expected = [t.to_dict() for t in tagger.tag(TEXTS, TASKS, **options)]
    everything = sum(len(t.spans) for t in tagger.tag(TEXTS, TASKS))
    assert 0 < sum(len(t["spans"]) for t in expected) <= everything
    assert "min_score" not in options or sum(len(t["spans"]) for t in expected) < everything
    same(many.json["results"], expected)


@pytest.mark.parametrize("how", [{"stream": True}, {"Accept": "application/x-ndjson"}])
def test_a_stream_has_a_line_for_each_text(running: Running, how: Any) -> None:
    streams = how.pop("stream", False)
    asked = {"texts": TEXTS, "task": TASKS, "stream": streams}
    reply = running.ask("/v1/tag", asked, **how)
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in reply.body.splitlines()]
    same(lines, [t.to_dict() for t in small_tagger().tag(TEXTS, TASKS)])


def test_a_tagger_is_chosen_by_its_name_or_its_tasks(running: Running) -> None:
    assert running.tag("one thing", "one").json["model"] == "a"
    other = running.tag(TEXTS[0], "music", model="b")
    assert other.json["model"] == "b"
    same(other.json["results"], [small_tagger(seed=4).tag(TEXTS[0], "music").to_dict()])
    assert running.tag(TEXTS[0], "music").json["results"] != other.json["results"]
    assert running.tag("x", "one", model="z").error == (422, "unknown_model")


def test_the_tasks_are_listed_with_their_labels(running: Running) -> None:
    tasks = running.ask("/v1/tasks").json["tasks"]
    assert [(t["model"], t["task"]) for t in tasks] == [
        (model, task) for model in "ab" for task in small_tagger().tasks
    ]
    assert all(tuple(t["labels"]) == small_tagger().labels(t["task"]) for t in tasks)


def test_it_is_alive_and_ready(running: Running) -> None:
    for path, status in (
        ("/health", "ready"),
        ("/health/ready", "ready"),
        ("/health/live", "live"),
    ):
        reply = running.ask(path)
        assert (reply.status, reply.json) == (200, {"status": status})


def test_a_task_may_be_left_out_where_there_is_one() -> None:
    codec = tiny_codec({"one": ("thing",)})
    tagger = Tagger(tiny_model(codec, random=True, seed=8), codec)
    with serving(tagger) as running:
        (found,) = running.tag("which thing is it").json["results"]
    same(found, tagger.tag("which thing is it").to_dict())
