"""Training data of spaCy as JSON: ``[text, {"entities": [[start, end, label]]}]``.

Also inside an object ``{"classes": [...], "annotations": [...]}``, as some annotation tools write
it, and as objects ``{"text", "entities"}``. ``cats`` and links are not read.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from hyperloader.corpora.formats.format import Files, Format, Guess, character_spans, surface
from hyperloader.corpora.reading.sentences import Mark, marked_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import get, is_triple
from hyperloader.types import Example


def _sniff(source: Source) -> Guess | None:
    for record in source.sample:
        if _is_pair(record):
            return Guess(1.0, "its records are pairs of a text and its 'entities'")
        if isinstance(record, dict) and any(map(_is_pair, _annotations(record))):
            return Guess(1.0, "its 'annotations' are pairs of a text and its 'entities'")
    return None


def _is_pair(record: Any) -> bool:
    return (
        isinstance(record, list)
        and len(record) == 2
        and isinstance(record[0], str)
        and isinstance(record[1], dict)
        and "entities" in record[1]
    )


def _annotations(record: dict[str, Any]) -> list[Any]:
    found = record.get("annotations")
    return found if isinstance(found, list) else []


def _pairs(source: Source) -> Iterator[tuple[int, Any]]:
    for line, record in source.records():
        if not isinstance(record, dict):
            yield line, record
            continue
        for item in _annotations(record):
            if item is not None:  # a text that was skipped in the annotation tool
                yield line, item


def _read(source: Source) -> Sequence[Example]:
    examples = []
    for line, pair in _pairs(source):
        try:
            if not _is_pair(pair):
                raise ValueError('not a pair [text, {"entities": [[start, end, label]]}]')
            entities = get(pair[1], "entities", list)
            wrong = next((item for item in entities if not is_triple(item)), None)
            if wrong is not None:
                raise ValueError(f"entity {json.dumps(wrong)[:60]} is not [start, end, label]")
            found = marked_sentence(source, line, pair[0], [Mark(*item) for item in entities])
        except ValueError as error:
            raise source.error(error, line) from error
        if found is not None:
            examples.append(found)
    return examples


def _write(examples: Sequence[Example]) -> Files:
    pairs = [[surface(e)[0], {"entities": character_spans(e)}] for e in examples]
    rows = ",\n".join(json.dumps(pair, ensure_ascii=False) for pair in pairs)
    return {".json": f"[\n{rows}\n]\n".encode()}


FORMAT = Format(
    name="spacy-json",
    description="spaCy's training tuples: a text and its entities, in characters",
    extensions=(".json", ".jsonl"),
    example='[["play abba", {"entities": [[5, 9, "artist"]]}],\n ["stop", {"entities": []}]]',
    sniff=_sniff,
    read=_read,
    write=_write,
    holds=frozenset({"text"}),
)
