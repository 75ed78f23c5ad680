"""The official files of mTOP (8 columns) and mTOD (5 columns), tab-separated, without a header.

mTOP: id, intent, slots, utterance, domain, locale, decoupled form, tokens (JSON).
mTOD: intent, slots, utterance, locale, tokenizations (JSON; the first is read).
Slots are ``start:end:label`` in characters of the utterance, separated by commas; ``SL:`` and
``IN:`` are left off labels and intents. Words are the tokens, ``text`` and ``offsets`` the
utterance and the tokens' places in it. A token takes the slot it overlaps; of nested slots the
outermost is kept, how many were left out is noted. Blank lines are skipped.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

from hyperloader.corpora.formats.format import Format, Guess
from hyperloader.corpora.reading.sentences import sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.types import Example, Span

Mark = tuple[int, int, str]
Fields = tuple[str, str, str, str]
"""Intent, slots, utterance, tokens."""


def table_sniff(width: int) -> Callable[[Source], Guess | None]:
    """Recognises ``width`` tab-separated columns of which the last is JSON."""

    def sniff(source: Source) -> Guess | None:
        if not source.is_text:
            return None
        first = next((line for line in source.lines if line.strip()), "").split("\t")
        if len(first) != width or not first[-1].startswith("{"):
            return None
        return Guess(1.0, f"it has {width} tab-separated columns, the last of them JSON")

    return sniff


def table_read(
    width: int, pick: Callable[[list[str]], Fields]
) -> Callable[[Source], Sequence[Example]]:
    """Reads ``width`` tab-separated columns, of which ``pick`` gives what is needed."""

    def read(source: Source) -> Sequence[Example]:
        examples = []
        for line, row in enumerate(source.lines, start=1):
            if not row.strip():
                continue
            fields = row.split("\t")
            try:
                if len(fields) != width:
                    raise ValueError(f"{len(fields)} tab-separated columns where {width} belong")
                examples.append(_example(source, line, *pick(fields)))
            except ValueError as error:
                raise source.error(error, line) from error
        return examples

    return read


def _example(source: Source, line: int, intent: str, slots: str, text: str, tokens: str) -> Example:
    words, offsets = _tokens(tokens, len(text))
    marks = [_mark(slot, len(text)) for slot in slots.split(",") if slot.strip()]
    spans, lost = overlap_spans(marks, offsets)
    source.notes.add("slots nested in others or on no token, which are left out", line, lost)
    name = intent.strip().removeprefix("IN:")
    return sentence(words, spans, source.task, text=text, offsets=offsets, intent=name)


def overlap_spans(
    marks: Sequence[Mark], offsets: Sequence[tuple[int, int]]
) -> tuple[list[Span], int]:
    """Word spans by the rule that gives mTOD's published tags, and how many marks have none.

    A word takes the mark it overlaps; of nested marks the outermost counts, of several over one
    word the leftmost. Marks that get no word this way are counted, not refused.
    """
    ordered = sorted(marks, key=lambda mark: (mark[0], -mark[1]))
    spans: list[Span] = []
    reach = used = 0  # characters covered, and words taken, so far
    for start, end, label in ordered:
        hit = [i for i, (a, b) in enumerate(offsets) if i >= used and a < end and start < b]
        if end > reach and hit:
            spans.append(Span(hit[0], hit[-1] + 1, label))
            reach, used = end, hit[-1] + 1
    return spans, len(ordered) - len(spans)


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
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("the last column is not JSON with tokens and tokenSpans") from error
    if len(words) != len(places):
        raise ValueError(f"{len(words)} tokens but {len(places)} tokenSpans")
    if any(not 0 <= a < b <= length for a, b in places) or places != sorted(places):
        raise ValueError(f"tokenSpans do not ascend inside an utterance of {length} characters")
    return words, places


TOKENS = '{"tokens":["play","abba"],"tokenSpans":[{"start":0,"length":4},{"start":5,"length":4}]}'

FORMAT = Format(
    name="mtop",
    description="official mTOP: 8 tab-separated columns",
    extensions=(".tsv", ".txt"),
    example="7\tIN:PLAY\t5:9:SL:ARTIST\tplay abba\tmusic\ten_XX\t[IN:PLAY [SL:ARTIST abba ] ]\t"
    f"{TOKENS}\n8\tIN:PLAY\t\tplay abba\tmusic\ten_XX\t[IN:PLAY ]\t{TOKENS}",
    sniff=table_sniff(8),
    read=table_read(8, lambda row: (row[1], row[2], row[3], row[7])),
)
