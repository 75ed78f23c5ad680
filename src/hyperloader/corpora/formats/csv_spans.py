"""Tables with a header (CSV, TSV, Parquet) that have a text, and the place and label of spans.

Either one row per span (columns ``text``, ``start``, ``end``, ``label``; rows of one text stand
together, a row without a label is a text without a span), or one row per text with a list of spans
as JSON in one cell (``spans``, ``entities`` or ``label``: ``[start, end, label]`` or objects), or
one row per word (``Sentence #``, ``Word``, ``Tag``).
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from hyperloader.corpora.formats.format import Format, Guess
from hyperloader.corpora.formats.prodigy import mark
from hyperloader.corpora.reading.records import read_objects
from hyperloader.corpora.reading.sentences import Mark, marked_sentence, sentence
from hyperloader.corpora.reading.source import Record, Source
from hyperloader.corpora.reading.tables import ARROW
from hyperloader.corpora.reading.tagging import Tagging, spelling_of
from hyperloader.corpora.reading.values import get, is_triple, number, typed
from hyperloader.tags import TagError
from hyperloader.types import Example

_TEXT = ("text", "sentence", "utterance", "document")
_START = ("start", "start_offset", "start_char", "begin")
_END = ("end", "end_offset", "end_char", "stop")
_LABEL = ("label", "entity", "entity_type", "type", "tag")
_SPANS = ("spans", "entities", "label", "labels", "annotations")
_COPY = ("surface", "mention", "span", "value", "entity_text")
_SENTENCE = ("sentence #", "sentence_id", "sentence", "sent_id", "sentence_idx")
_WORD = ("word", "token")
_TAG = ("tag", "ner", "ner_tag", "label", "iob")


def _pick(keys: Sequence[str], names: Sequence[str]) -> str | None:
    """The first of the keys, whatever its case, that has one of the names."""
    lower = {key.strip().lower(): key for key in keys}
    return next((lower[name] for name in names if name in lower), None)


def _sniff(source: Source) -> Guess | None:
    if source.suffix not in (".csv", ".tsv", *ARROW):
        return None
    keys = [*source.keys]
    if _by_word(source):
        return Guess(0.92, "its header names a column of words and one of tags")
    text = _pick(keys, _TEXT)
    if text and all(_pick(keys, names) for names in (_START, _END, _LABEL)):
        return Guess(0.95, "its header names text, start, end and label")
    if text and _spans_key(source):
        return Guess(
            0.93, f"its header names a text, and {_spans_key(source)!r} holds lists of spans"
        )
    return None


def _by_word(source: Source) -> bool:
    keys = [*source.keys]
    word, tag = _pick(keys, _WORD), _pick(keys, _TAG)
    if not (word and tag and _pick(keys, _SENTENCE)):
        return False
    tags = [record.get(tag) for record in source.sample if record.get(word)]
    return all(isinstance(value, str) for value in tags) and spelling_of(tags) is not None


def _spans_key(source: Source) -> str | None:
    for key in (found for name in _SPANS if (found := _pick([*source.keys], [name]))):
        values = [record.get(key) for record in source.sample]
        if all(isinstance(value, list) for value in values):
            return key
    return None


def _read(source: Source) -> Sequence[Example]:
    keys = [*source.keys]
    if _by_word(source):
        return _read_words(source)
    if all(_pick(keys, names) for names in (_START, _END, _LABEL)):
        return [*_read_rows(source)]
    text, spans = _pick(keys, _TEXT), _spans_key(source)
    if text is None or spans is None:
        raise source.error("no columns named text, start, end and label, or text and spans")

    def read_record(source: Source, line: int, record: dict[str, Any]) -> Example | None:
        marks = [
            Mark(*item) if is_triple(item) else mark(_renamed(item))
            for item in get(record, spans, list)
        ]
        return marked_sentence(source, line, get(record, text, str), marks)

    return read_objects(source, read_record)


def _renamed(item: Any) -> dict[str, Any]:
    """A span's object with the names start, end and label for whatever it calls them."""
    item = typed(item, dict, "a span")
    names = {"start": _START, "end": _END, "label": _LABEL, "text": ("text", *_COPY)}
    found = {name: _pick([*item], others) for name, others in names.items()}
    return {name: item[key] for name, key in found.items() if key is not None}


def _read_rows(source: Source) -> Iterator[Example]:
    """Sentences of a table with one row per span."""
    keys = [*source.keys]
    text, start, end, label = (str(_pick(keys, n)) for n in (_TEXT, _START, _END, _LABEL))
    copy = _pick(keys, _COPY)
    number_of = _pick(keys, ("id", "doc_id", "text_id"))

    def same(record: Record) -> tuple[Any, Any]:
        return record.value.get(number_of), record.value.get(text)

    seen = set[Any]()
    for (_, said), rows in groupby(source.records(), key=same):
        found = [*rows]
        line = found[0].line
        if said in seen:
            again = "texts that came before, read as sentences with these spans alone"
            source.notes.add(again, line)
        seen.add(said)
        try:
            marks = [
                Mark(
                    number(row[start], repr(start)),
                    number(row[end], repr(end)),
                    typed(row[label], str, repr(label)),
                    row.get(copy) or None if copy else None,
                )
                for _, row in found
                if row.get(label)
            ]
            example = marked_sentence(source, line, get(found[0].value, text, str), marks)
        except ValueError as error:
            raise source.error(error, line) from error
        if example is not None:
            yield example


def _read_words(source: Source) -> Sequence[Example]:
    """Sentences of a table with one row per word; an empty cell repeats the sentence above."""
    keys = [*source.keys]
    word, tag, number_of = (str(_pick(keys, names)) for names in (_WORD, _TAG, _SENTENCE))
    sentences: list[list[Record]] = []
    current = None
    for record in source.records():
        given = record.value.get(number_of)
        if not sentences or (given not in (None, "") and given != current):
            sentences.append([])
            current = given
        if not isinstance(record.value.get(word), str) or not isinstance(
            record.value.get(tag), str
        ):
            raise source.error(f"no {word!r} or no {tag!r} in this row", record.line)
        sentences[-1].append(record)
    tags = [[row.value[tag].strip() for row in rows] for rows in sentences]
    tagging = Tagging(source, tags)
    examples = []
    for rows, marks in zip(sentences, tags, strict=True):
        words = [row.value[word].strip() for row in rows]
        try:
            examples.append(sentence(words, tagging.spans(marks, rows[0].line), source.task))
        except TagError as error:
            raise source.error(error, rows[error.index].line) from error
        except ValueError as error:
            raise source.error(error, rows[0].line) from error
    return examples


FORMAT = Format(
    name="csv",
    description="tables with a header: text, start, end, label; or a text and a list of spans",
    extensions=(".csv", ".tsv", ".parquet"),
    example="text,start,end,label\nplay abba,5,9,artist",
    sniff=_sniff,
    read=_read,
)
