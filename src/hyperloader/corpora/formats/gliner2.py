"""GLiNER2's training data: a text and, by label, the texts of its entities.

It has no offsets: an entity is wherever its text stands between word borders. One that is found
nowhere is left out and counted. Classifications, relations and structures are not read.
"""

import re
from collections.abc import Iterator
from typing import Any

from hyperloader.corpora.formats.format import Format, Guess
from hyperloader.corpora.reading.records import read_objects
from hyperloader.corpora.reading.sentences import Mark, marked_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import get, typed
from hyperloader.types import Example


def _sniff(source: Source) -> Guess | None:
    if not {"input", "output"} <= source.keys:
        return None
    with_entities = any(
        isinstance(record, dict)
        and isinstance(record.get("output"), dict)
        and "entities" in record["output"]
        for record in source.sample
    )
    return (
        Guess(1.0, "its records have 'input' and, in 'output', 'entities'")
        if with_entities
        else None
    )


def _read_record(source: Source, line: int, record: dict[str, Any]) -> Example | None:
    text, output = get(record, "input", str), get(record, "output", dict)
    others = [key for key in output if key not in ("entities", "entity_descriptions")]
    for key in others:
        source.notes.add(f"records with {key!r}, which is not read", line)
    entities = output.get("entities") or {}
    return marked_sentence(source, line, text, list(_marks(source, line, text, entities)))


def _marks(source: Source, line: int, text: str, entities: Any) -> Iterator[Mark]:
    for label, surfaces in typed(entities, dict, "'entities'").items():
        surfaces = [surfaces] if isinstance(surfaces, str) else surfaces
        for surface in dict.fromkeys(typed(surfaces, list, f"the entities of {label!r}")):
            wanted = typed(surface, str, "an entity").strip()
            found = [*_places(text, wanted)] if wanted else []
            if not found:
                source.notes.repair("entities that are not in their text, left out", line)
            if len(found) > 1:
                source.notes.add("entities that stand several times in their text, all taken", line)
            for start, end in found:
                yield Mark(start, end, label)


def _places(text: str, wanted: str) -> Iterator[tuple[int, int]]:
    """Where a text stands as whole words, else ignoring case."""
    pattern = rf"(?<!\w){re.escape(wanted)}(?!\w)"
    exact = [match.span() for match in re.finditer(pattern, text)]
    yield from exact or (match.span() for match in re.finditer(pattern, text, re.IGNORECASE))


FORMAT = Format(
    name="gliner2",
    description="GLiNER2: input, and in output the texts of the entities of each label",
    extensions=(".jsonl", ".json"),
    example='{"input": "play abba", "output": {"entities": {"artist": ["abba"]}}}\n'
    '{"input": "stop", "output": {"entities": {}}}',
    sniff=_sniff,
    read=lambda source: read_objects(source, _read_record),
)
