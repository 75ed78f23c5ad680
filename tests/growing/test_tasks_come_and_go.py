"""Tasks are put into a tagger and taken out; the others keep their answers to the last bit."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bert_helpers import bert_tagger
from helpers import LABELS, SENTENCES, tiny_codec, tiny_model
from hyperloader import tagging
from hyperloader.checkpoint import save_checkpoint
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError, TargetError
from hyperloader.modeling.attached import AttachedModel
from hyperloader.modeling.tasks import TaskWeights
from hyperloader.store import file_hash
from hyperloader.tagger import Tagger
from hyperloader.task_part import TaskPart, added, part_of
from hyperloader.task_start import begun
from hyperloader.types import TaggedText

NEW = "a task.of its own/ü"
MANY = tuple(f"new_label_{i}" for i in range(9))  # more than any old task has
TEXTS = [*SENTENCES[:2], "a table for two at noon"]


def t5_tagger(**config: object) -> Tagger:
    codec = tiny_codec({"music": ("TRACK", "ARTIST"), "one": ("thing",)})
    return Tagger(tiny_model(codec, random=True, **config), codec)


TAGGERS: dict[str, Callable[[], Tagger]] = {"t5": t5_tagger, "encoder": bert_tagger}


@pytest.fixture(params=TAGGERS)
def make(request: pytest.FixtureRequest) -> Callable[[], Tagger]:
    """What makes a tagger with several tasks, random in all its parts, always the same."""
    return TAGGERS[request.param]


def new_part(tagger: Tagger, name: str = NEW, *, rank: int = 3) -> TaskPart:
    """A task with rows and a residual drawn at random."""
    torch.manual_seed(7)
    here = tagger.checkpoint
    task = TaskPart(name, MANY, TaskWeights({}, rank=rank))
    part = begun(here, task, part_of(here, tagger.tasks[0]))
    part = part_of(added(here, part), name)
    residual = {n: torch.randn_like(v) * 0.3 for n, v in part.weights.residual.items()}
    rows = {n: torch.randn_like(v) for n, v in part.weights.rows.items()}
    return replace(part, weights=replace(part.weights, rows=rows, residual=residual))


def grown(tagger: Tagger, name: str = NEW) -> Tagger:
    made = added(tagger.checkpoint, new_part(tagger, name))
    return Tagger(made.model, made.codec, made.calibration)


def answers(tagger: Tagger, tasks: tuple[str, ...]) -> list[list[TaggedText]]:
    """One by one, in batches of a task, and in batches of all ``tasks``."""
    texts, names = zip(*((text, task) for text in TEXTS for task in tasks), strict=True)
    return [
        [tagger.tag(text, task, alternatives=4) for text, task in zip(texts, names, strict=True)],
        *(tagger.tag(TEXTS, task, batch_size=3, alternatives=4) for task in tasks),
        tagger.tag(texts, names, batch_size=5),
    ]


def test_an_added_task_changes_no_bit_of_any_other(make: Callable[[], Tagger]) -> None:
    before, after = make(), grown(make())
    old = before.tasks
    assert after.tasks == (*old, NEW)
    assert answers(after, old) == answers(before, old)
    # In one call with texts of the new task, too.
    mixed = [(text, task) for text in TEXTS for task in (*old, NEW)]
    found = after.tag([text for text, _ in mixed], [task for _, task in mixed], batch_size=5)
    others = [pair for pair in mixed if pair[1] != NEW]
    expected = before.tag([t for t, _ in others], [task for _, task in others], batch_size=5)
    assert [tagged for tagged in found if tagged.task != NEW] == expected
    assert {s.label for t in found if t.task == NEW for s in t.spans} & set(MANY)


def test_the_residual_is_what_is_added_to_generated_weights(make: Callable[[], Tagger]) -> None:
    tagger = make()
    part = new_part(tagger)
    own, none = (
        Tagger(made.model, made.codec).checkpoint.model
        for made in (
            added(tagger.checkpoint, part),
            added(tagger.checkpoint, replace(part, weights=replace(part.weights, residual={}))),
        )
    )
    with torch.no_grad():
        for model in (none,):  # U and vectors are zero
            for name, parameter in model.residuals.named_parameters():
                assert name.endswith("_down") or not parameter.any()
        with_it, without = (m.weights(m.task_ids(NEW)) for m in (own, none))
        changes = own.residuals[0]()
        for site, parts in changes.items():
            for name, change in parts.items():
                expected = getattr(without[site], name)[0] + change
                torch.testing.assert_close(getattr(with_it[site], name)[0], expected)
                assert change.any()
        # In a batch of several tasks each has its own.
        tasks = (tagger.tasks[0], NEW, tagger.tasks[0])
        rows = own.weights(own.task_ids(tasks))
        first = none.weights(none.task_ids(tagger.tasks[0]))
        for site, here in rows.items():
            for i, single in enumerate((first, with_it, first)):
                for ours, theirs in zip(here, single[site], strict=True):
                    if ours is not None:
                        torch.testing.assert_close(ours[i : i + 1][0], theirs[0])


def test_what_is_saved_and_loaded_is_the_same(make: Callable[[], Tagger], tmp_path: Path) -> None:
    tagger = grown(make())
    tagger.save_pretrained(tmp_path / "grown")
    for tagging_only in (True, False):
        again = Tagger.from_pretrained(tmp_path / "grown", tagging_only=tagging_only)
        assert again.tasks == tagger.tasks
        for task in tagger.tasks:
            for ours, theirs in zip(again.tag(TEXTS, task), tagger.tag(TEXTS, task), strict=True):
                assert [(s.start, s.end, s.label) for s in ours.spans] == [
                    (s.start, s.end, s.label) for s in theirs.spans
                ]
                scores = [s.score for s in theirs.spans]
                assert [s.score for s in ours.spans] == pytest.approx(scores, abs=1e-5)


def test_a_task_travels_as_a_folder(make: Callable[[], Tagger], tmp_path: Path) -> None:
    source, other = grown(make()), make()
    source.save_task(NEW, tmp_path / "task")
    assert {p.name for p in (tmp_path / "task").iterdir()} == {
        *("task.json", "task.safetensors", "manifest.json"),
    }
    old = answers(make(), other.tasks)
    tasks = other.tasks
    assert other.add(tmp_path / "task") == NEW
    assert answers(other, (NEW,)) == answers(source, (NEW,))
    with pytest.raises(ConfigError, match=r"there is a task .* already"):
        other.add(tmp_path / "task")
    other.rename(NEW, "shorter")
    assert other.tasks == (*tasks, "shorter")
    assert [[(s.start, s.end, s.label) for s in t.spans] for t in other.tag(TEXTS, "shorter")] == [
        [(s.start, s.end, s.label) for s in t.spans] for t in source.tag(TEXTS, NEW)
    ]
    other.add(tmp_path / "task")
    other.remove("shorter")
    assert other.tasks == (*tasks, NEW)
    fresh = Tagger(*(getattr(other, name) for name in ("model", "codec", "calibration")))
    assert answers(fresh, tasks) == old
    with pytest.raises(TargetError, match="holds a task already"):
        source.save_task(NEW, tmp_path / "task")


def test_a_task_of_before_can_leave_and_come_back(
    make: Callable[[], Tagger], tmp_path: Path
) -> None:
    tagger, first = make(), make().tasks[0]
    spans = [t.spans for t in make().tag(TEXTS, first)]
    tagger.save_task(first, tmp_path / "first")
    tagger.remove(first)
    with pytest.raises(HyperloaderError, match="unknown task"):
        tagger.tag("a", first)
    tagger.add(tmp_path / "first")
    assert tagger.tasks[-1] == first
    found = [t.spans for t in tagger.tag(TEXTS, first)]
    assert [[(s.start, s.end, s.label) for s in spans] for spans in found] == [
        [(s.start, s.end, s.label) for s in spans] for spans in spans
    ]


def test_what_cannot_be_is_refused(make: Callable[[], Tagger], tmp_path: Path) -> None:
    tagger = grown(make())
    tasks = tagger.tasks
    tagger.save_task(NEW, tmp_path / "task")
    stranger = make()
    with torch.no_grad():
        for parameter in stranger.checkpoint.model.source.parameters():
            parameter.mul_(1.001)
    with pytest.raises(CheckpointError, match="is a task of another model"):
        stranger.add(tmp_path / "task")
    tagger.save_pretrained(tmp_path / "tagger")
    with pytest.raises(CheckpointError, match="holds a checkpoint and no task"):
        tagger.add(tmp_path / "tagger")
    for name, message in (("", "cannot be the name"), (tasks[0], "already")):
        with pytest.raises(ConfigError, match=message):
            tagger.rename(NEW, name)
    for work in (tagger.remove, lambda task: tagger.rename(task, "x")):
        with pytest.raises(HyperloaderError, match="unknown task 'nothing'"):
            work("nothing")
    for task in tasks[1:]:
        tagger.remove(task)
    with pytest.raises(ConfigError, match="the only one cannot be removed"):
        tagger.remove(tasks[0])
    content = (tmp_path / "task" / "task.safetensors").read_bytes()
    (tmp_path / "task" / "task.safetensors").write_bytes(content[:-4] + b"\0\0\0\1")
    with pytest.raises(CheckpointError, match="not what was written"):
        make().add(tmp_path / "task")


@pytest.mark.parametrize("value", [{"format": 9}, {"labels": 3}, {"rank": -1}, {"name": ""}])
def test_a_forged_task_is_one_line(value: dict[str, object], tmp_path: Path) -> None:
    tagger = grown(bert_tagger())
    tagger.save_task(NEW, tmp_path / "task")
    path, manifest = tmp_path / "task" / "task.json", tmp_path / "task" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **value}))
    about = json.loads(manifest.read_text())
    about["files"]["task.json"] = {"bytes": path.stat().st_size, "sha256": file_hash(path)}
    manifest.write_text(json.dumps(about))
    with pytest.raises(CheckpointError) as caught:
        bert_tagger().add(tmp_path / "task")
    assert "\n" not in str(caught.value)


def test_threads_tag_while_tasks_come_and_go(make: Callable[[], Tagger], tmp_path: Path) -> None:
    source, tagger = grown(make()), make()
    source.save_task(NEW, tmp_path / "task")
    old, texts = tagger.tasks[0], TEXTS[:3]
    expected = make().tag(texts, old)
    new = source.tag(texts, NEW)
    wrong: list[object] = []
    found = {"there": 0, "not there": 0}
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            if not same(tagger.tag(texts, old), expected):
                wrong.append("an old task")
            try:
                if not same(tagger.tag(texts, NEW), new):
                    wrong.append("the new task")
                found["there"] += 1
            except HyperloaderError as error:
                found["not there"] += 1
                if "unknown task" not in str(error):
                    wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        tagger.add(tmp_path / "task")
        tagger.remove(NEW)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def same(ours: list[TaggedText], theirs: list[TaggedText]) -> bool:
    """Spans; scores up to rounding, as drafts of a T5 come from what was tagged before."""
    return all(
        [(s.start, s.end, s.label) for s in one.spans]
        == [(s.start, s.end, s.label) for s in other.spans]
        and [s.score for s in one.spans] == pytest.approx([s.score for s in other.spans], abs=1e-5)
        for one, other in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize(
    "method", ["hyperloader", "hyperformer++", "hyperformer", "hyperlora", "adapter-dagger"]
)
def test_methods_that_have_something_of_each_task_grow(method: str) -> None:
    before, after = t5_tagger(method=method), t5_tagger(method=method)
    generated = after.checkpoint.model.source.generated()
    assert bool(generated) == (method != "adapter-dagger")
    made = added(after.checkpoint, new_part(after, rank=2 if generated else 0))
    after = Tagger(made.model, made.codec)
    for task in before.tasks:
        assert after.tag(TEXTS, task) == before.tag(TEXTS, task)


@pytest.mark.parametrize("method", ["lora", "adapter", "unipelt-t5", "full", "hyperdecoder"])
def test_other_methods_say_why_not(method: str) -> None:
    labels = {"music": LABELS["music"]}
    codec = tiny_codec(labels)
    codec = tiny_codec(labels, task_prefix=method in ("full", "hyperdecoder"))
    tagger = Tagger(tiny_model(codec, method=method), codec)
    with pytest.raises(ConfigError, match=f"by '{method}': .*; train one by"):
        tagger.rename("music", "songs")


def test_one_task_grows_to_two_and_generated_heads_do_too(tmp_path: Path) -> None:
    tagger = bert_tagger()
    for task in tagger.tasks[1:]:
        tagger.remove(task)
    (only,) = tagger.tasks
    alone = tagger.tag(TEXTS, only)
    tagger = grown(tagger)
    assert tagger.tag(TEXTS, only) == alone
    save_checkpoint(tmp_path / "two", tagger.model, tagger.codec)
    assert Tagger.from_pretrained(tmp_path / "two").tasks == (only, NEW)


def test_what_is_saved_is_of_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    tagger = bert_tagger()

    def meanwhile(model: AttachedModel) -> AttachedModel:
        monkeypatch.undo()
        tagger.remove(tagger.tasks[-1])
        return model

    monkeypatch.setattr(tagging, "whole", meanwhile)
    here = tagger.checkpoint
    assert here.model.config.tasks == tuple(here.codec.labels)
    assert len(here.model.config.tasks) == len(tagger.tasks) + 1


def test_a_task_is_shared_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def share(save: Callable[[Path], None], repository: str, **options: object) -> str:
        save(tmp_path / "uploaded")
        return f"{repository} {options['private']}"

    def fetch(repository: str, *_: object) -> Path:
        assert repository == "me/task"
        return tmp_path / "uploaded"

    monkeypatch.setattr("hyperloader.hub.share", share)
    monkeypatch.setattr("hyperloader.hub.fetch", fetch)
    source, other = grown(bert_tagger()), bert_tagger()
    assert source.push_task_to_hub(NEW, "me/task", private=True) == "me/task True"
    assert other.add("me/task") == NEW
    assert answers(other, (NEW,)) == answers(source, (NEW,))
