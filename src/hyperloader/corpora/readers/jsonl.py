"""JSON: one object a line, or one list of objects. Three forms, told apart by each object's keys.

``words``: the project's own. ``{"words": [..], "spans": [{"start", "end", "label"}], "intent"?,
"text"?, "offsets"?}``, start and end counted in WORDS, end exclusive.

``text``: Prodigy. ``{"text", "spans": [{"start", "end", "label"}], "tokens"?, "intent"?}``, start
and end counted in CHARACTERS. Without tokens, words are what white space separates. Tokens that
are white space only are no words. Records whose answer is not ``accept`` are refused.

``annotations``: Label Studio. The text is ``data.text`` (or the only string in ``data``); each
result of the one annotation not cancelled has ``value.start``, ``value.end`` (CHARACTERS) and one
label in ``value.labels``; one choice in ``value.choices`` is the intent.

A character span that cuts through a word is refused. Other keys are not read.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hyperloader.corpora.readers.offsets import Mark, exact_spans, split_words
from hyperloader.corpora.readers.source import example, split_lines
from hyperloader.errors import DataError
from hyperloader.types import Example, Span

Record = dict[str, Any]

_KINDS = {str: "a string", int: "a whole number", list: "a list", dict: "an object"}


def parse_jsonl(text: str, path: Path, task: str) -> tuple[Example, ...]:
    """Examples of a JSONL text or a JSON list. Raises DataError with file and line."""
    examples = []
    for line, source in _records(text, path):
        try:
            record = json.loads(source) if isinstance(source, str) else source
            examples.append(_example(record, task))
        except json.JSONDecodeError as error:
            raise DataError(f"not JSON: {error.msg}, column {error.colno}", path, line) from error
        except ValueError as error:
            raise DataError(str(error), path, line) from error
    return tuple(examples)


def _records(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Line number and record: the undecoded line of JSONL, the decoded item of a list."""
    if not text.lstrip().startswith("["):
        yield from ((n, row) for n, row in enumerate(split_lines(text), start=1) if row.strip())
        return
    try:
        items = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"not JSON: {error.msg}", path, error.lineno) from error
    # Decoded a second time, item by item, only to know on which line each one starts.
    decoder, place, line = json.JSONDecoder(), text.index("[") + 1, 1
    line += text.count("\n", 0, place)
    for _ in items:
        begin = place
        while text[begin].isspace() or text[begin] == ",":
            begin += 1
        item, end = decoder.raw_decode(text, begin)
        line += text.count("\n", place, begin)
        yield line, item
        line += text.count("\n", begin, end)
        place = end


def _example(record: Any, task: str) -> Example:
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if "words" in record:
        return _own(record, task)
    if "annotations" in record:
        return _label_studio(record, task)
    if "text" in record:
        return _prodigy(record, task)
    found = ", ".join(map(str, record)) or "no key"
    raise ValueError(f"no 'words', 'text' or 'annotations' in the object (found: {found})")


def _own(record: Record, task: str) -> Example:
    words = [_typed(word, str, "a word") for word in _get(record, "words", list)]
    spans = [Span(*_mark(item)) for item in _get(record, "spans", list)]
    text = None if record.get("text") is None else _get(record, "text", str)
    offsets = None
    if record.get("offsets") is not None:
        offsets = [_place(pair) for pair in _get(record, "offsets", list)]
        if text is None or len(offsets) != len(words):
            raise ValueError("'offsets' need a 'text' and one pair for each word")
        _check_places(offsets, len(text))
    return example(words, spans, task, text=text, offsets=offsets, intent=_intent(record))


def _prodigy(record: Record, task: str) -> Example:
    answer = record.get("answer", "accept")
    if answer != "accept":
        raise ValueError(f"the answer is {answer!r}; keep only the accepted records")
    text = _get(record, "text", str)
    # Prodigy leaves the key out when a text was accepted without marking anything in it.
    optional: Record = {"spans": []} if "answer" in record else {}
    items = _get(optional | record, "spans", list)
    words, offsets = split_words(text)
    if record.get("tokens") is not None:
        words, offsets = _tokens(_get(record, "tokens", list), text)
    spans = exact_spans(map(_mark, items), text, offsets)
    return example(words, spans, task, text=text, offsets=offsets, intent=_intent(record))


def _tokens(tokens: list[Any], text: str) -> tuple[list[str], list[tuple[int, int]]]:
    offsets = []
    for token in tokens:
        token = _typed(token, dict, "a token")
        start, end = _get(token, "start", int), _get(token, "end", int)
        if token.get("text", text[start:end]) != text[start:end]:
            raise ValueError(f"token {token['text']!r} is not the text at {start}:{end}")
        if text[start:end].strip():
            offsets.append((start, end))
    _check_places(offsets, len(text))
    return [text[start:end] for start, end in offsets], offsets


def _label_studio(record: Record, task: str) -> Example:
    data = _get(record, "data", dict)
    strings = [value for value in data.values() if isinstance(value, str)]
    if "text" not in data and len(strings) != 1:
        raise ValueError(f"'data' has no 'text' and {len(strings)} strings, not one")
    text = _get(data, "text", str) if "text" in data else strings[0]
    annotations = [_typed(a, dict, "annotation") for a in _get(record, "annotations", list)]
    valid = [annotation for annotation in annotations if not annotation.get("was_cancelled")]
    if len(valid) != 1:
        raise ValueError(f"{len(valid)} annotations of this text; exactly one is needed")
    marks: list[Mark] = []
    intent = None
    for result in _get(valid[0], "result", list):
        value = _get(_typed(result, dict, "result"), "value", dict)
        kind = next((key for key in ("labels", "choices") if key in value), None)
        if kind is None:
            raise ValueError(f"a result of type {result.get('type')!r}: only labels and choices")
        names = _get(value, kind, list)
        if len(names) != 1 or (kind == "choices" and intent is not None):
            raise ValueError(f"{names} in 'value.{kind}': exactly one is needed")
        if kind == "choices":
            intent = _typed(names[0], str, "a choice")
            continue
        mark = _mark({**value, "label": names[0]})
        surface = value.get("text", text[mark[0] : mark[1]])
        if surface != text[mark[0] : mark[1]]:
            raise ValueError(f"the text at {mark[0]}:{mark[1]} is not {surface!r}: offsets differ")
        marks.append(mark)
    words, offsets = split_words(text)
    spans = exact_spans(marks, text, offsets)
    return example(words, spans, task, text=text, offsets=offsets, intent=intent)


def _mark(item: Any) -> Mark:
    item = _typed(item, dict, "a span")
    label = _get(item, "label", str)
    if not label.strip():
        raise ValueError("a span without a label")
    return _get(item, "start", int), _get(item, "end", int), label


def _intent(record: Record) -> str | None:
    return None if record.get("intent") is None else _get(record, "intent", str)


def _place(pair: Any) -> tuple[int, int]:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError(f"offset {pair!r} is not [start, end]")
    return _typed(pair[0], int, "an offset"), _typed(pair[1], int, "an offset")


def _check_places(places: list[tuple[int, int]], length: int) -> None:
    borders = [0, *(border for place in places for border in place), length]
    if borders != sorted(borders) or any(start == end for start, end in places):
        raise ValueError(f"word places do not ascend inside a text of {length} characters")


def _get(record: Record, key: str, kind: type) -> Any:
    if key not in record:
        raise ValueError(f"no {key!r} in {json.dumps(record, ensure_ascii=False)[:60]}")
    return _typed(record[key], kind, repr(key))


def _typed(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{what} is {value!r}, not {_KINDS[kind]}")
    return value
