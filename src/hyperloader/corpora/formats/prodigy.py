"""Prodigy's JSONL: spans count characters, and tokens say the words if they are there.

Tokens that are white space only are no words. Records that were rejected or ignored are left out
and counted. A span's own copy of its text is compared.
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
from hyperloader.corpora.formats.jsonl import EXTENSIONS, intent_of
from hyperloader.corpora.reading.records import read_objects
from hyperloader.corpora.reading.sentences import Mark, marked_sentence, token_places
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.values import get, number, typed
from hyperloader.types import Example


def _sniff(source: Source) -> Guess | None:
    if "text" not in source.keys or "words" in source.keys:
        return None
    if "spans" not in source.keys and "answer" not in source.keys:
        return None
    return Guess(0.9, "its records have 'text' and 'spans', or an 'answer'")


def _read_record(source: Source, line: int, record: dict[str, Any]) -> Example | None:
    answer = record.get("answer", "accept")
    if answer != "accept":
        source.notes.add(f"records whose answer is {answer!r}, which are left out", line)
        return None
    text = get(record, "text", str)
    # Prodigy leaves the key out when a text was accepted without marking anything in it.
    optional: dict[str, Any] = {"spans": []} if "answer" in record else {}
    marks = [mark(item) for item in get(optional | record, "spans", list)]
    offsets = None
    if record.get("tokens") is not None:
        tokens = [_token(item, text) for item in get(record, "tokens", list)]
        offsets = token_places(text, tokens)
    if record.get("relations"):
        source.notes.add("relations, which are not read", line, len(record["relations"]))
    return marked_sentence(source, line, text, marks, offsets=offsets, intent=intent_of(record))


def mark(item: Any) -> Mark:
    """A span with ``start``, ``end``, ``label`` and perhaps a copy of its ``text``."""
    item = typed(item, dict, "a span")
    copy = item.get("text")
    return Mark(
        number(get(item, "start", object), "'start'"),
        number(get(item, "end", object), "'end'"),
        get(item, "label", str),
        copy if isinstance(copy, str) else None,
    )


def _token(item: Any, text: str) -> tuple[int, int]:
    token = typed(item, dict, "a token")
    start, end = get(token, "start", int), get(token, "end", int)
    if token.get("text", text[start:end]) != text[start:end]:
        raise ValueError(f"token {token['text']!r} is not the text at {start}:{end}")
    return start, end


def _write(examples: Sequence[Example]) -> Files:
    rows = []
    for example in examples:
        text, places = surface(example)
        spans = [
            {
                "start": start,
                "end": end,
                "token_start": span.word_start,
                "token_end": span.word_end - 1,  # inclusive in Prodigy
                "label": label,
            }
            for span, (start, end, label) in zip(
                example.spans, character_spans(example), strict=True
            )
        ]
        tokens = [
            {"text": word, "start": start, "end": end, "id": i, "ws": text[end : end + 1] == " "}
            for i, (word, (start, end)) in enumerate(zip(example.words, places, strict=True))
        ]
        row = {"text": text, "tokens": tokens, "spans": spans, "answer": "accept"}
        rows.append(row if example.intent is None else {**row, "intent": example.intent})
    return {".jsonl": json_lines(rows)}


FORMAT = Format(
    name="prodigy",
    description="Prodigy: spans count characters, tokens say the words if they are there",
    extensions=EXTENSIONS,
    example='{"text": "play abba", "spans": [{"start": 5, "end": 9, "label": "artist"}]}\n'
    '{"text": "ok!", "spans": [], "tokens": [{"start": 0, "end": 2}, {"start": 2, "end": 3}]}',
    sniff=_sniff,
    read=lambda source: read_objects(source, _read_record),
    write=_write,
    holds=frozenset({"words", "text", "intent"}),
)
