"""Label Studio: annotators, predictions, offsets of its front end, results that are no spans."""

import json
from pathlib import Path
from typing import Any

import pytest

from corpus_files import jsonl, read, surfaces, write
from hyperloader.errors import DataError


def label(start: int, end: int, *labels: str, **more: Any) -> dict[str, Any]:
    return {"type": "labels", "value": {"start": start, "end": end, "labels": [*labels], **more}}


def task(text: str, *results: Any, **more: Any) -> dict[str, Any]:
    return {"data": {"text": text}, "annotations": [{"result": [*results]}], **more}


def tasks(folder: Path, *records: Any) -> Path:
    return write(folder, "export.json", json.dumps(records))


EXPORT = """[
  {"id": 1, "data": {"text": "fly to Rome"}, "annotations": [
    {"was_cancelled": true, "result": []},
    {"result": [
      {"type": "labels", "value": {"start": 7, "end": 11, "text": "Rome", "labels": ["city"]}},
      {"type": "choices", "value": {"choices": ["travel"]}}]}]},
  {"id": 2, "data": {"text": "stop"}, "annotations": [{"result": []}]}
]"""


def test_spans_and_intents(tmp_path: Path) -> None:
    (first, second), reading = read(write(tmp_path, "x.json", EXPORT))
    assert (first.words, surfaces(first)) == (("fly", "to", "Rome"), [("Rome", "city")])
    assert (first.intent, second.words, second.spans) == ("travel", ("stop",), ())
    assert (reading.format, reading.notes) == ("label-studio", ())
    lines = jsonl(json.loads(EXPORT))
    assert read(write(tmp_path, "x.jsonl", lines))[0] == (first, second)
    with pytest.raises(DataError, match=r"x\.json:2: the text at 7:11 is not 'Bonn'"):
        read(write(tmp_path, "x.json", EXPORT.replace('"text": "Rome"', '"text": "Bonn"')))
    with pytest.raises(DataError, match=r"x\.json:7: id 1 occurs twice, first in line 2"):
        read(write(tmp_path, "x.json", EXPORT.replace('"id": 2', '"id": 1')))


def test_older_and_other_keys(tmp_path: Path) -> None:
    older = {"data": {"review": "Oslo!"}, "completions": [{"result": [label(0, 4, "city")]}]}
    (only,), _ = read(tasks(tmp_path, older))
    assert surfaces(only) == [("Oslo", "city")]
    two = {**older, "data": {"review": "Oslo!", "url": "x"}}
    with pytest.raises(DataError, match=r"reading option text \(strings: review, url\)"):
        read(tasks(tmp_path, two))
    (only,), _ = read(tasks(tmp_path, two), text="review")
    assert surfaces(only) == [("Oslo", "city")]


def test_of_several_annotators_one_is_chosen(tmp_path: Path) -> None:
    annotations = [
        {"completed_by": 3, "result": [label(0, 4, "city")]},
        {"completed_by": {"id": 5, "email": "a@b.org"}, "result": [label(0, 4, "team")]},
    ]
    both = {"data": {"text": "Oslo won"}, "annotations": annotations}
    with pytest.raises(DataError, match=r"2 annotations of this text that differ \(by 3, a@b.org"):
        read(tasks(tmp_path, both))
    for wanted, name in ((3, "city"), ("a@b.org", "team"), (5, "team"), ("last", "team")):
        (only,), _ = read(tasks(tmp_path, both), annotator=wanted)
        assert surfaces(only) == [("Oslo", name)]
    first = read(tasks(tmp_path, both, task("hi", id=2)), annotator="first")[0]
    assert [surfaces(found) for found in first] == [[("Oslo", "city")], []]
    with pytest.raises(DataError, match="tasks without an annotation by 9"):
        read(tasks(tmp_path, both), annotator=9)
    annotations[0]["ground_truth"] = True
    (only,), _ = read(tasks(tmp_path, both))
    assert surfaces(only) == [("Oslo", "city")]
    same = {"data": {"text": "Oslo won"}, "annotations": [annotations[0], annotations[0]]}
    (only,), _ = read(tasks(tmp_path, same))
    assert surfaces(only) == [("Oslo", "city")]


def test_predictions_where_nothing_is_annotated(tmp_path: Path) -> None:
    guess = {"predictions": [{"result": [label(0, 4, "city")]}]}
    (only,), reading = read(tasks(tmp_path, {"data": {"text": "Oslo"}, **guess}))
    assert surfaces(only) == [("Oslo", "city")]
    assert reading.notes[0].startswith("tasks whose predictions are read, as none is annotated: 1")
    (only,), reading = read(tasks(tmp_path, task("Bonn"), task("Oslo", annotations=[], **guess)))
    assert (only.words, only.spans) == (("Bonn",), ())
    assert reading.notes[0].startswith("tasks without an annotation, which are left out: 1")


def test_what_is_no_span_is_counted(tmp_path: Path) -> None:
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    rating = {"type": "rating", "value": {"rating": 4}}
    bare = {"type": "labels", "value": {"start": 0, "end": 4, "text": "Acme"}}
    several = label(8, 12, "city", "team")
    path = tasks(tmp_path, task("Acme in Oslo", relation, rating, bare, several))
    (only,), reading = read(path)
    assert surfaces(only) == [("Oslo", "city")]
    assert sorted(note.partition(":")[0] for note in reading.notes) == [
        "results of type 'rating', which are not read",
        "results of type 'relation', which are not read",
        "spans with several labels, of which the first is read",
        "spans without a label, which are left out",
    ]
    with pytest.raises(DataError, match=r"export\.json:1: spans without a label"):
        read(path, strict=True)


def test_unlabelled_tasks_do_not_block_the_rest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sentence in it: .*tasks without an annotation"):
        read(tasks(tmp_path, task("Acme", annotations=[])))


@pytest.mark.parametrize("copy", [{"text": "Oslo"}, {}])
def test_offsets_count_utf_16_units(tmp_path: Path, copy: dict[str, str]) -> None:
    path = tasks(tmp_path, task("\U0001f600 Oslo now", label(3, 7, "city", **copy)))
    (only,), reading = read(path)
    assert surfaces(only) == [("Oslo", "city")]
    assert bool(reading.notes) == (not copy)
    (only,), reading = read(tasks(tmp_path, task("\U0001f600 Oslo", label(2, 6, "c", text="Oslo"))))
    assert surfaces(only) == [("Oslo", "c")]
    assert reading.notes[0].startswith("spans whose offsets count characters, as their texts show")


def test_windows_line_ends(tmp_path: Path) -> None:
    text = "New\r\nYork is"
    (only,), reading = read(tasks(tmp_path, task(text, label(0, 9, "city", text="New\nYork"))))
    assert (surfaces(only), reading.notes) == ([("New York", "city")], ())
    (only,), reading = read(tasks(tmp_path, task(text, label(4, 8, "city", text="York"))))
    assert surfaces(only) == [("York", "city")]
    assert "count a Windows line end as one character" in reading.notes[0]
