"""The project's own form, which holds everything that a sentence can have.

``{"words": [..], "spans": [{"start", "end", "label"}], "intent"?, "text"?, "offsets"?}``, start and
end counted in WORDS, end exclusive; ``offsets`` are the characters of each word in ``text``. What
``hyperloader tag --json`` prints is read too: there ``word_start`` and ``word_end`` count words.
"""

from collections.abc import Sequence
from typing import Any

from hyperloader.corpora.formats.format import Files, Format, Guess, json_lines
from hyperloader.corpora.reading.records import read_objects
from hyperloader.corpora.reading.sentences import check_places, sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import get, typed
from hyperloader.types import Example, Span

EXTENSIONS = (".jsonl", ".ndjson", ".json")


def _sniff(source: Source) -> Guess | None:
    if not {"words", "spans"} <= source.keys:
        return None
    return Guess(1.0, "its records have 'words' and 'spans'")


def _read_record(source: Source, line: int, record: dict[str, Any]) -> Example | None:
    words = [typed(word, str, "a word") for word in get(record, "words", list)]
    spans = [_span(item) for item in get(record, "spans", list)]
    if not words and not spans:  # of a blank line that was tagged
        source.notes.add("records without a word, which are left out", line)
        return None
    text = None if record.get("text") is None else get(record, "text", str)
    offsets = None
    if record.get("offsets") is not None:
        offsets = [_place(pair) for pair in get(record, "offsets", list)]
        if text is None or len(offsets) != len(words):
            raise ValueError("'offsets' need a 'text' and one pair for each word")
        check_places(offsets, len(text))
    return sentence(words, spans, source.task, text=text, offsets=offsets, intent=intent_of(record))


def intent_of(record: dict[str, Any]) -> str | None:
    """The string at ``intent``, if there is one."""
    return None if record.get("intent") is None else get(record, "intent", str)


def _span(item: Any) -> Span:
    item = typed(item, dict, "a span")
    tagged = "word_start" in item
    start, end = ("word_start", "word_end") if tagged else ("start", "end")
    return Span(get(item, start, int), get(item, end, int), get(item, "label", str))


def _place(pair: Any) -> tuple[int, int]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError(f"offset {pair!r} is not [start, end]")
    return typed(pair[0], int, "an offset"), typed(pair[1], int, "an offset")


def _write(examples: Sequence[Example]) -> Files:
    rows = []
    for example in examples:
        spans = [
            {"start": s.word_start, "end": s.word_end, "label": s.label} for s in example.spans
        ]
        row = {
            "words": example.words,
            "spans": spans,
            "text": example.text,
            "offsets": example.offsets,
            "intent": example.intent,
        }
        rows.append({key: value for key, value in row.items() if value is not None})
    return {".jsonl": json_lines(rows)}


FORMAT = Format(
    name="jsonl",
    description="hyperloader's own: spans count words; intent, text, offsets if there are any",
    extensions=EXTENSIONS,
    example='{"words": ["play", "abba"], "spans": [{"start": 1, "end": 2, "label": "artist"}]}\n'
    '{"words": ["stop"], "spans": [], "intent": "pause"}',
    sniff=_sniff,
    read=lambda source: read_objects(source, _read_record),
    write=_write,
    holds=frozenset({"words", "text", "intent"}),
)
