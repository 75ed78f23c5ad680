"""Who may ask, and who may change what is served."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers import tiny_codec, tiny_model
from hyperloader.errors import ConfigError, HyperloaderError
from hyperloader.serving.settings import Settings
from hyperloader.tagger import Tagger
from serving_helpers import Held, Running, in_thread, serving, small_tagger

ADMIN = {"Authorization": "Bearer boss"}
CHANGES = [
    ("POST", "/v1/models", {"path": "x"}),
    ("DELETE", "/v1/models/a", None),
    ("POST", "/v1/tasks", {"path": "x"}),
    ("DELETE", "/v1/tasks/one", None),
]


@pytest.fixture(scope="module")
def guarded() -> Iterator[Running]:
    with serving(api_keys=("first", "second"), admin_key="boss") as running:
        yield running


@pytest.mark.parametrize(
    "header",
    [
        *(None, "Bearer", "Bearer wrong", "Bearer first,second", "first"),
        *("Basic first", "Basic " + b64encode(b"first:wrong").decode(), "Basic Zmlyc3Q="),
    ],
)
def test_without_a_key_nothing_is_told(guarded: Running, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path, value in (
        *(("/v1/tag", b"no JSON"), ("/v1/tasks", None), ("/metrics", None)),
        *(("/label-studio/one/predict", b"no JSON"), ("/label-studio/one/health", None)),
    ):
        refused = guarded.ask(path, value, **headers)
        assert refused.error == (401, "unauthorized")
        assert refused.headers["WWW-Authenticate"] == "Bearer"
        assert "first" not in refused.body.decode()


def test_any_key_opens_it_and_so_does_the_admins(guarded: Running) -> None:
    for key in ("first", "second", "boss"):
        password = b64encode(f"anybody:{key}".encode()).decode()  # as Label Studio sends it
        for header in (f"Bearer {key}", f"bearer {key}", f"Basic {password}"):
            assert guarded.ask("/v1/tasks", Authorization=header).status == 200


def test_health_and_the_page_need_none(guarded: Running) -> None:
    for path in ("/", "/page/page.js", "/health", "/health/live", "/health/ready"):
        assert guarded.ask(path).status == 200


@pytest.mark.parametrize(("method", "path", "value"), CHANGES)
def test_only_the_admin_changes_it(
    guarded: Running, method: str, path: str, value: dict[str, str] | None
) -> None:
    for headers in ({}, {"Authorization": "Bearer first"}):
        refused = guarded.ask(path, value, method, **headers)
        assert refused.error == (401, "unauthorized")
    assert guarded.ask("/v1/tasks", **ADMIN).json["tasks"][0]["model"] == "a"


@pytest.mark.parametrize(("method", "path", "value"), CHANGES)
def test_nobody_changes_it_where_there_is_no_admin_key(
    method: str, path: str, value: dict[str, str] | None
) -> None:
    with serving() as running:
        assert running.ask(path, value, method).error == (403, "forbidden")
        assert running.ask(path, value, method, Authorization="Bearer ").error == (403, "forbidden")


@pytest.mark.parametrize("keys", [("",), ("a", ""), ("über",), ("a\nb",)])
def test_a_key_that_could_not_be_sent_is_refused(keys: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="printable ASCII"):
        Settings(api_keys=keys)
    with pytest.raises(ConfigError, match="printable ASCII"):
        Settings(admin_key=keys[-1])


@pytest.mark.parametrize("wrong", [{"batch_tokens": 0}, {"timeout": 0.0}, {"max_queue": 10}])
def test_limits_that_let_nothing_through_are_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="give a l"):
        Settings(**wrong)


def test_a_tagger_is_loaded_and_removed_while_it_serves(tmp_path: Path) -> None:
    codec = tiny_codec({"one": ("thing",)})
    other = Tagger(tiny_model(codec, random=True, seed=8), codec)
    other.save_pretrained(tmp_path / "other")
    other.save_pretrained(tmp_path / "lr=1" / "other")
    held = Held(small_tagger())
    with serving(held, admin_key="boss") as running:
        thread, replies = in_thread(running.tag, "one thing", "one")
        assert held.begun.wait(60)  # it works while the other one is loaded
        added = running.ask("/v1/models", {"path": str(tmp_path / "other")}, **ADMIN)
        assert (added.status, added.json["tasks"][0]["model"]) == (201, "other")
        named = {"path": str(tmp_path / "lr=1" / "other"), "name": "second"}
        assert running.ask("/v1/models", named, **ADMIN).status == 201
        assert running.ask("/v1/models/second", method="DELETE", **ADMIN).status == 204
        again = running.ask("/v1/models", {"path": str(tmp_path / "other")}, **ADMIN)
        assert again.error == (409, "conflict")
        named = {"path": str(tmp_path / "other"), "name": "third"}
        assert running.ask("/v1/models", named, **ADMIN).status == 201
        assert running.ask("/v1/models/a", method="DELETE", **ADMIN).status == 204
        held.go.set()
        thread.join(60)
        assert replies[0].status == 200  # it was asked before
        found = running.tag("which thing is it")  # other is the first one now
        assert found.json["model"] == "other"
        assert found.json["results"][0]["spans"] == [
            {**span, "score": pytest.approx(span["score"], rel=1e-4)}
            for span in other.tag("which thing is it").to_dict()["spans"]
        ]
        gone = running.ask("/v1/models/a", method="DELETE", **ADMIN)
        assert gone.error == (404, "unknown_model")
        running.ask("/v1/models/third", method="DELETE", **ADMIN)
        last = running.ask("/v1/models/other", method="DELETE", **ADMIN)
        assert last.error == (409, "conflict")
        missing = running.ask("/v1/models", {"path": str(tmp_path / "none")}, **ADMIN)
        assert missing.error == (422, "invalid")
        assert "does not exist" in missing.json["error"]["message"]
        odd = running.ask("/v1/models", {"path": "builtin-t5", "name": "a/b"}, **ADMIN)
        assert odd.error == (422, "invalid")


class Growing(Held):
    """A tagger whose tasks come and go."""

    def __init__(self) -> None:
        super().__init__(small_tagger())
        self.tasks = small_tagger().tasks

    def add(self, path: str) -> None:
        self.tasks = (*self.tasks, path)

    def remove(self, task: str) -> None:
        self.tasks = tuple(name for name in self.tasks if name != task)

    def labels(self, task: str) -> tuple[str, ...]:
        return ("x",) if task not in small_tagger().tasks else small_tagger().labels(task)


def test_tasks_come_and_go_while_it_serves() -> None:
    growing = Growing()
    with serving(growing, admin_key="boss") as running:
        thread, replies = in_thread(running.tag, "one thing", "one")
        assert growing.begun.wait(60)
        added = running.ask("/v1/tasks", {"path": "new"}, **ADMIN)
        assert added.status == 201
        assert [t["task"] for t in added.json["tasks"]] == [*small_tagger().tasks, "new"]
        assert running.ask("/v1/tasks/new", method="DELETE", **ADMIN).status == 204
        assert growing.tasks == small_tagger().tasks
        growing.go.set()
        thread.join(60)
        assert replies[0].status == 200
        unknown = running.ask("/v1/tasks/new", method="DELETE", **ADMIN)
        assert unknown.error == (404, "unknown_task")
        below = running.ask("/v1/tasks/a%2Fb", method="DELETE", **ADMIN)
        assert below.error == (404, "unknown_task")
        wrong = running.ask("/v1/tasks", {"path": "new", "model": "x"}, **ADMIN)
        assert wrong.error == (422, "unknown_model")


def test_a_task_that_goes_while_tasks_are_listed_is_left_out() -> None:
    class Leaving(Growing):
        def labels(self, task: str) -> tuple[str, ...]:
            if task == "new":  # as a tagger says it, when another thread took the task away
                raise HyperloaderError("unknown task 'new'")
            return super().labels(task)

    leaving = Leaving()
    leaving.add("new")
    with serving(leaving) as running:
        listed = running.ask("/v1/tasks")
        assert listed.status == 200
        assert [t["task"] for t in listed.json["tasks"]] == [*small_tagger().tasks]


class Fixed(Held):
    """A tagger without ``add`` and ``remove``."""

    def __getattr__(self, name: str) -> Any:
        if name in ("add", "remove"):
            raise AttributeError(name)
        return super().__getattr__(name)


def test_a_tagger_whose_tasks_are_fixed_says_so() -> None:
    with serving(Fixed(small_tagger()), admin_key="boss") as running:
        refused = running.ask("/v1/tasks", {"path": "new"}, **ADMIN)
        assert refused.error == (501, "not_supported")
        refused = running.ask("/v1/tasks/one", method="DELETE", **ADMIN)
        assert refused.error == (501, "not_supported")
