"""Label Studio: tasks with their annotations, from JSON, JSON-MIN or JSONL exports.

The text is ``data.text``, the only string in ``data``, or what the reading option ``text`` names.
Of a task's annotations those that were cancelled do not count; of several that differ, the reading
option ``annotator`` chooses one. Older exports say ``completions``. ``predictions`` are read where
no task of the file is annotated. Tasks without either are left out and counted.

A result with labels is a span; its offsets count UTF-16 units, as the program's front end does,
unless the copy of its text shows otherwise. One choice is the intent. Relations and results of
other types are counted and not read.
"""

import json
from collections.abc import Sequence
from typing import Any

from hyperloader.corpora.formats.format import Files, Format, Guess, character_spans, surface
from hyperloader.corpora.formats.jsonl import EXTENSIONS
from hyperloader.corpora.reading.records import read_objects
from hyperloader.corpora.reading.sentences import Mark, marked_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import get, number, typed
from hyperloader.types import Example

_ANNOTATED = ("annotations", "completions")
_LABELS = ("labels", "hypertextlabels")

Record = dict[str, Any]


def _sniff(source: Source) -> Guess | None:
    for record in source.sample:
        if not isinstance(record, dict):
            continue
        lists = [key for key in (*_ANNOTATED, "predictions") if isinstance(record.get(key), list)]
        if lists and isinstance(record.get("data"), dict):
            return Guess(1.0, f"its tasks have 'data' and {lists[0]!r}")
        if _minimal_labels(record) is not None:
            return Guess(0.95, "its records have results with 'labels', start and end (JSON-MIN)")
    return None


def _minimal_labels(record: Record) -> str | None:
    """The key of the results of a JSON-MIN record."""
    for key, value in record.items():
        items = value if isinstance(value, list) else []
        if any(not isinstance(i, dict) or not {"start", "end"} <= i.keys() for i in items):
            continue
        if any(isinstance(item.get(kind), list) for item in items for kind in _LABELS):
            return key
    return None


def _read(source: Source) -> Sequence[Example]:
    predicted = not any(_annotations(record) for _, record in source.records())

    def read_record(source: Source, line: int, record: Record) -> Example | None:
        if "data" not in record:
            return _read_minimal(source, line, record)
        results = _results(source, line, record, predicted)
        return None if results is None else _read_task(source, line, record, results)

    return read_objects(source, read_record)


def _annotations(record: Any) -> list[Record]:
    """The annotations of a task that were not cancelled."""
    for key in _ANNOTATED:
        found = record.get(key) if isinstance(record, dict) else None
        if isinstance(found, list):
            items = [typed(item, dict, "an annotation") for item in found]
            return [item for item in items if not item.get("was_cancelled")]
    return []


def _results(source: Source, line: int, record: Record, predicted: bool) -> list[Any] | None:
    """The results of the annotation that counts; None, and noted, where there is none."""
    found = _annotations(record)
    if predicted and record.get("predictions"):
        found = [typed(item, dict, "a prediction") for item in record["predictions"]]
        source.notes.add("tasks whose predictions are read, as none is annotated", line)
    if not found:
        source.notes.add("tasks without an annotation, which are left out", line)
        return None
    wanted = source.options.annotator
    if wanted is not None:
        chosen = _chosen(found, wanted)
        if chosen is None:
            source.notes.add(f"tasks without an annotation by {wanted!r}, which are left out", line)
            return None
        found = [chosen]
    elif any(item.get("ground_truth") for item in found):
        found = [item for item in found if item.get("ground_truth")]
    if len({json.dumps(_essence(item), sort_keys=True) for item in found}) > 1:
        people = ", ".join(str(_annotator(item)) for item in found)
        raise ValueError(
            f"{len(found)} annotations of this text that differ (by {people}); choose with the "
            "reading option annotator: an id, an e-mail address, first or last"
        )
    return list(get(found[0], "result", list))


def _chosen(annotations: list[Record], wanted: str | int) -> Record | None:
    if wanted in ("first", "last"):
        return annotations[0 if wanted == "first" else -1]
    by = [item for item in annotations if str(wanted) in map(str, _annotator_names(item))]
    return by[-1] if by else None


def _annotator_names(annotation: Record) -> list[Any]:
    by = annotation.get("completed_by")
    return [by.get("id"), by.get("email")] if isinstance(by, dict) else [by]


def _annotator(annotation: Record) -> Any:
    names = [name for name in _annotator_names(annotation) if name is not None]
    return names[-1] if names else "unknown"


def _essence(annotation: Record) -> list[Any]:
    """What two annotations must share to be the same: the values of their results, sorted."""
    results = [item for item in annotation.get("result") or () if isinstance(item, dict)]
    return sorted((item.get("value") for item in results), key=lambda value: json.dumps(value))


def _text(source: Source, data: Record) -> str:
    key = source.options.text or "text"
    if key in data or source.options.text:
        return str(get(data, key, str))
    strings = [name for name, value in data.items() if isinstance(value, str)]
    if len(strings) != 1:
        known = ", ".join(strings) or "none"
        raise ValueError(
            f"'data' has no 'text'; name its key with the reading option text (strings: {known})"
        )
    return str(data[strings[0]])


def _read_task(source: Source, line: int, record: Record, results: list[Any]) -> Example | None:
    text = _text(source, get(record, "data", dict))
    marks: list[Mark] = []
    choices: list[str] = []
    for result in results:
        result = typed(result, dict, "a result")
        kind = result.get("type")
        value = result.get("value")
        if not isinstance(value, dict):
            source.notes.add(f"results of type {kind!r}, which are not read", line)
        elif isinstance(value.get("choices"), list):
            choices += [typed(choice, str, "a choice") for choice in value["choices"]]
        elif "start" in value and "end" in value:
            marks += _marks(source, line, value)
        else:
            source.notes.add(f"results of type {kind!r}, which are not read", line)
    if len(choices) > 1:
        source.notes.add("texts with several choices, which are no intent and not read", line)
    intent = choices[0] if len(choices) == 1 else None
    return marked_sentence(source, line, text, marks, intent=intent, units="utf-16")


def _read_minimal(source: Source, line: int, record: Record) -> Example | None:
    key = _minimal_labels(record)
    if key is None and not isinstance(record.get("text"), str):
        raise ValueError("no 'data' with annotations, and no 'text' with labels")
    if key is None:
        source.notes.add("tasks without an annotation, which are left out", line)
        return None
    marks = [mark for item in record[key] for mark in _marks(source, line, item)]
    strings = {name: value for name, value in record.items() if isinstance(value, str)}
    text = get(strings, source.options.text or "text", str)
    return marked_sentence(source, line, text, marks, units="utf-16")


def _marks(source: Source, line: int, value: Record) -> list[Mark]:
    """The span of one result: none, and noted, without a label; the first of several labels."""
    lists = [value[key] for key in _LABELS if isinstance(value.get(key), list)]
    names: list[Any] = lists[0] if lists else []
    if not names:
        source.notes.repair("spans without a label, which are left out", line)
        return []
    if len(names) > 1:
        source.notes.repair("spans with several labels, of which the first is read", line)
    copy = value.get("text")
    return [
        Mark(
            number(value["start"], "'start'"),
            number(value["end"], "'end'"),
            typed(names[0], str, "a label"),
            copy if isinstance(copy, str) else None,
        )
    ]


def _write(examples: Sequence[Example]) -> Files:
    tasks = []
    for i, example in enumerate(examples, start=1):
        text, _ = surface(example)
        results = [
            result(f"{i}-{n}", text, *place)
            for n, place in enumerate(character_spans(example), start=1)
        ]
        if example.intent is not None:
            value = {"choices": [example.intent]}
            about = {"from_name": "intent", "to_name": "text", "type": "choices", "value": value}
            results.append({"id": f"{i}-intent", **about})
        prediction = {"model_version": "hyperloader", "result": results}
        tasks.append({"id": i, "data": {"text": text}, "predictions": [prediction]})
    rows = ",\n".join(json.dumps(task, ensure_ascii=False) for task in tasks)
    return {".json": f"[\n{rows}\n]\n".encode()}


def result(
    identity: str,
    text: str,
    start: int,
    end: int,
    label: str,
    from_name: str = "label",
    to_name: str = "text",
) -> Record:
    """One span as Label Studio has it: ``start`` and ``end`` are characters of ``text``, what is
    written counts UTF-16 units."""
    value = {
        "start": utf16_length(text[:start]),
        "end": utf16_length(text[:end]),
        "text": text[start:end],
        "labels": [label],
    }
    about = {"from_name": from_name, "to_name": to_name, "type": "labels"}
    return {"id": identity, **about, "value": value}


def utf16_length(text: str) -> int:
    """How many UTF-16 units a text has."""
    return len(text) + sum(char > "\uffff" for char in text)


FORMAT = Format(
    name="label-studio",
    description="Label Studio: tasks with data and annotations; written as predictions",
    extensions=EXTENSIONS,
    example='[{"data": {"text": "play abba"}, "annotations": [{"result": [\n'
    '  {"value": {"start": 5, "end": 9, "labels": ["artist"]}}]}]}]',
    sniff=_sniff,
    read=_read,
    write=_write,
    holds=frozenset({"text", "intent"}),
)
