"""doccano's JSONL: spans are ``[start, end, label]`` at ``label`` or ``labels``, or entities.

Its newer exports have ``entities`` with ``start_offset`` and ``end_offset``, and ``relations``,
which are counted and not read. Comments and other keys are not read either.
"""

from collections.abc import Sequence
from typing import Any

from hyperloader.corpora.formats.format import (
    Files,
    Format,
    Guess,
    character_spans,
    json_lines,
    surface,
)
from hyperloader.corpora.formats.jsonl import EXTENSIONS
from hyperloader.corpora.reading.records import read_objects
from hyperloader.corpora.reading.sentences import Mark, marked_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import get, is_triple, typed
from hyperloader.types import Example

_LISTS = ("label", "labels")


def _sniff(source: Source) -> Guess | None:
    if not source.keys & {"text", "data"} or "spans" in source.keys or "annotations" in source.keys:
        return None
    for record in source.sample:
        for key in (*_LISTS, "entities"):
            items = record.get(key) if isinstance(record, dict) else None
            if isinstance(items, list) and items and all(map(_is_entity, items)):
                return Guess(0.9, f"its records have spans with labels at {key!r}")
    lists = [key for key in (*_LISTS, "entities") if key in source.keys]
    if lists and all(not record.get(lists[0]) for record in source.sample):
        return Guess(0.4, f"its records have a text, and nothing at {lists[0]!r}")
    return None


def _is_entity(item: Any) -> bool:
    return is_triple(item) or (isinstance(item, dict) and "start_offset" in item)


def _read_record(source: Source, line: int, record: dict[str, Any]) -> Example | None:
    text = get(record, "text" if "text" in record else "data", str)
    keys = [key for key in ("entities", *_LISTS) if key in record] or ["label"]
    key = next(filter(record.get, keys), keys[0])
    marks = [_mark(item) for item in get(record, key, list)]
    if record.get("relations"):
        source.notes.add("relations, which are not read", line, len(record["relations"]))
    return marked_sentence(source, line, text, marks)


def _mark(item: Any) -> Mark:
    if is_triple(item):
        return Mark(*item)
    item = typed(item, dict, "a span")
    start, end = get(item, "start_offset", int), get(item, "end_offset", int)
    return Mark(start, end, get(item, "label", str))


def _write(examples: Sequence[Example]) -> Files:
    rows = [
        {"id": i, "text": surface(example)[0], "label": character_spans(example)}
        for i, example in enumerate(examples, start=1)
    ]
    return {".jsonl": json_lines(rows)}


FORMAT = Format(
    name="doccano",
    description="doccano: text with spans of characters at label, labels or entities",
    extensions=EXTENSIONS,
    example='{"id": 1, "text": "play abba", "label": [[5, 9, "artist"]]}\n'
    '{"id": 2, "text": "play abba", "entities": [{"label": "artist", "start_offset": 5, '
    '"end_offset": 9}], "relations": []}',
    sniff=_sniff,
    read=lambda source: read_objects(source, _read_record),
    write=_write,
    holds=frozenset({"text"}),
)
