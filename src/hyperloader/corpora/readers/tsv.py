"""The official files of mTOP (8 columns) and mTOD (5 columns), tab-separated, without a header.

mTOP: id, intent, slots, utterance, domain, locale, decoupled form, tokens (JSON).
mTOD: intent, slots, utterance, locale, tokenizations (JSON; the first is read).
Slots are ``start:end:label`` in characters of the utterance, separated by commas; ``SL:`` and
``IN:`` are left off labels and intents. Words are the tokens, ``text`` and ``offsets`` the
utterance and the tokens' places in it. A token takes the slot it overlaps; of nested slots the
outermost is kept, how many were left out is logged once a file. Blank lines are skipped.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperloader.corpora.readers.offsets import Mark, overlap_spans
from hyperloader.corpora.readers.source import example, split_lines
from hyperloader.errors import DataError
from hyperloader.types import Example

MTOP_COLUMNS, MTOD_COLUMNS = 8, 5

log = logging.getLogger(__name__)


def parse_mtop(text: str, path: Path, task: str) -> tuple[Example, ...]:
    """Examples of an official mTOP file. Raises DataError with file and line."""
    return _parse(text, path, task, MTOP_COLUMNS, lambda row: (row[1], row[2], row[3], row[7]))


def parse_mtod(text: str, path: Path, task: str) -> tuple[Example, ...]:
    """Examples of an official mTOD file. Raises DataError with file and line."""
    return _parse(text, path, task, MTOD_COLUMNS, lambda row: (row[0], row[1], row[2], row[4]))


def _parse(
    text: str,
    path: Path,
    task: str,
    width: int,
    pick: Callable[[list[str]], tuple[str, str, str, str]],
) -> tuple[Example, ...]:
    examples, dropped = [], 0
    for line, row in enumerate(split_lines(text), start=1):
        if not row.strip():
            continue
        fields = row.split("\t")
        try:
            if len(fields) != width:
                raise ValueError(f"{len(fields)} tab-separated columns where {width} belong")
            found, lost = _example(*pick(fields), task)
        except ValueError as error:
            raise DataError(str(error), path, line) from error
        examples.append(found)
        dropped += lost
    if dropped:
        log.warning("%s: left out %d slots nested in others or on no token", path, dropped)
    return tuple(examples)


def _example(intent: str, slots: str, text: str, tokens: str, task: str) -> tuple[Example, int]:
    words, offsets = _tokens(tokens, len(text))
    marks = [_mark(slot, len(text)) for slot in slots.split(",") if slot.strip()]
    spans, lost = overlap_spans(marks, offsets)
    name = intent.strip().removeprefix("IN:")
    return example(words, spans, task, text=text, offsets=offsets, intent=name), lost


def _mark(slot: str, length: int) -> Mark:
    start, _, rest = slot.strip().partition(":")
    end, _, label = rest.partition(":")
    label = label.removeprefix("SL:")
    if not (start.isdecimal() and end.isdecimal() and label):
        raise ValueError(f"slot {slot!r} is not start:end:label")
    if not int(start) < int(end) <= length:
        raise ValueError(f"slot {slot!r} does not fit an utterance of {length} characters")
    return int(start), int(end), label


def _tokens(column: str, length: int) -> tuple[list[str], list[tuple[int, int]]]:
    try:
        data: Any = json.loads(column)
        data = data.get("tokenizations", [data])[0]
        words = [str(word) for word in data["tokens"]]
        places = [(int(p["start"]), int(p["start"]) + int(p["length"])) for p in data["tokenSpans"]]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError("the last column is not JSON with tokens and tokenSpans") from error
    if len(words) != len(places):
        raise ValueError(f"{len(words)} tokens but {len(places)} tokenSpans")
    if any(not 0 <= a < b <= length for a, b in places) or places != sorted(places):
        raise ValueError(f"tokenSpans do not ascend inside an utterance of {length} characters")
    return words, places
