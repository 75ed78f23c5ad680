"""GLiNER's training data: ``tokenized_text`` and ``ner``, spans of words with an inclusive end."""

from collections.abc import Sequence
from typing import Any

from hyperloader.corpora.formats.format import Files, Format, Guess, json_lines
from hyperloader.corpora.formats.jsonl import EXTENSIONS
from hyperloader.corpora.reading.records import read_objects
from hyperloader.corpora.reading.sentences import nested_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import get, is_triple, typed
from hyperloader.types import Example


def _sniff(source: Source) -> Guess | None:
    if "tokenized_text" not in source.keys:
        return None
    return Guess(1.0, "its records have 'tokenized_text'")


def _read_record(source: Source, line: int, record: dict[str, Any]) -> Example:
    words = [typed(word, str, "a word") for word in get(record, "tokenized_text", list)]
    spans = []
    for item in get(record, "ner", list):
        if not is_triple(item):
            raise ValueError(f"{item!r} in 'ner' is not [first word, last word, label]")
        spans.append((item[0], item[1] + 1, item[2]))
    return nested_sentence(source, line, words, spans)


def _write(examples: Sequence[Example]) -> Files:
    rows = [
        {
            "tokenized_text": example.words,
            "ner": [[s.word_start, s.word_end - 1, s.label] for s in example.spans],
        }
        for example in examples
    ]
    return {".jsonl": json_lines(rows)}


FORMAT = Format(
    name="gliner",
    description="GLiNER: tokenized_text with ner, the last word of a span included",
    extensions=EXTENSIONS,
    example='{"tokenized_text": ["play", "abba"], "ner": [[1, 1, "artist"]]}\n'
    '{"tokenized_text": ["stop"], "ner": []}',
    sniff=_sniff,
    read=lambda source: read_objects(source, _read_record),
    write=_write,
    holds=frozenset({"words"}),
)
