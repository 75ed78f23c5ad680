"""Records with words and tags, as Hugging Face datasets have them: ``tokens`` and ``ner_tags``.

In JSON, JSONL, CSV, Parquet, or a folder that ``datasets`` wrote with ``save_to_disk``. Tags may
be numbers: their names are looked for in the table, in ``dataset_info.json`` and in the dataset
card beside it, and else given as the reading option ``labels``.
"""

from collections.abc import Sequence
from typing import Any

from hyperloader.corpora.formats.format import Files, Format, Guess, json_lines
from hyperloader.corpora.reading.sentences import sentence
from hyperloader.corpora.reading.source import Record, Source
from hyperloader.corpora.reading.tables import arrow_files, class_names
from hyperloader.corpora.reading.tagging import Tagging
from hyperloader.corpora.reading.values import get, typed
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example

_WORDS = ("tokens", "words")
_TAGS = ("ner_tags", "ner", "tags", "ner_labels", "labels", "label", "fine_ner_tags", "slots")


def _columns(source: Source) -> tuple[str, str] | None:
    """The keys of the words and of the tags, both lists in the first records."""
    lists = {
        key
        for record in source.sample
        if isinstance(record, dict)
        for key, value in record.items()
        if isinstance(value, list)
    }
    told = [str(source.options.tag)] if source.options.tag is not None else []
    words = [key for key in (source.options.word, *_WORDS) if key in lists]
    tags = [key for key in (*told, *_TAGS) if key in lists]
    return (str(words[0]), tags[0]) if words and tags else None


def _sniff(source: Source) -> Guess | None:
    if source.folder and not arrow_files(source.path):
        return None
    found = _columns(source)
    if found is None:
        return None
    values = [v for r in source.sample if isinstance(r, dict) for v in r.get(found[1]) or ()]
    if not all(isinstance(value, int | str) for value in values):
        return None
    return Guess(0.95, f"its records have lists at {found[0]!r} and {found[1]!r}")


def _read(source: Source) -> Sequence[Example]:
    records = [*source.records()]
    found = _columns(source)
    if found is None:
        raise source.error("no records with lists of words and tags; name them with word and tag")
    words: list[list[str]] = []
    tags: list[list[Any]] = []
    ids: dict[Any, int] = {}
    for line, record in records:
        try:
            record = typed(record, dict, "a record")
            words.append([typed(word, str, "a word") for word in get(record, found[0], list)])
            tags.append(get(record, found[1], list))
            if len(words[-1]) != len(tags[-1]):
                raise ValueError(f"{len(tags[-1])} tags for {len(words[-1])} words")
            number = record.get("id")
            if number is not None and ids.setdefault(number, line) != line:
                raise ValueError(f"id {number!r} occurs twice, first in line {ids[number]}")
        except ValueError as error:
            raise source.error(error, line) from error
    named = _named(source, found[1], records, tags)
    tagging = Tagging(source, named)
    examples = []
    for (line, _), texts, marks in zip(records, words, named, strict=True):
        if not texts:
            source.notes.add("records without a word, which are left out", line)
            continue
        try:
            examples.append(sentence(texts, tagging.spans(marks, line), source.task))
        except ValueError as error:
            raise source.error(error, line) from error
    return examples


def _named(
    source: Source, column: str, records: Sequence[Record], tags: Sequence[Sequence[Any]]
) -> list[list[str]]:
    """The tags as strings, numbers replaced by their names."""
    if all(isinstance(tag, str) for row in tags for tag in row):
        return [list(row) for row in tags]
    names = source.options.labels or tuple(class_names(source.path, column))
    if not names:
        raise source.error(
            f"the tags at {column!r} are numbers without names; write the names into reading.yaml "
            "beside the file (labels: [O, B-PER, I-PER, ...])"
        )
    named = []
    for (line, _), row in zip(records, tags, strict=True):
        odd = [tag for tag in row if not (isinstance(tag, int) and 0 <= tag < len(names))]
        if odd:
            raise source.error(f"tag {odd[0]!r} is not among the {len(names)} named ones", line)
        named.append([names[tag] for tag in row])
    return named


def _write(examples: Sequence[Example]) -> Files:
    rows = [
        {"id": str(i), "tokens": e.words, "ner_tags": spans_to_bio(e.spans, len(e.words))}
        for i, e in enumerate(examples)
    ]
    return {".json": json_lines(rows)}


FORMAT = Format(
    name="hf",
    description="Hugging Face datasets: tokens and ner_tags in JSON, Parquet or Arrow files",
    extensions=(".json", ".jsonl", ".parquet", ".arrow", ".csv"),
    example='{"id": "0", "tokens": ["play", "abba"], "ner_tags": ["O", "B-artist"]}\n'
    '{"id": "1", "tokens": ["stop"], "ner_tags": ["O"]}',
    sniff=_sniff,
    read=_read,
    write=_write,
    holds=frozenset({"words"}),
    folder=True,
)
