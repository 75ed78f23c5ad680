"""Text with labels in it, one sentence per line, as Rasa writes it: ``to [Paris](city)``.

Also ``[Paris]{"entity": "city"}``. In Markdown ``## intent:travel`` names the intent of the lines
below, each of which may begin with ``- ``; in YAML the sentences are the ``examples`` of the
entries of ``nlu``. Links such as ``[this](https://example.org)`` stay text. Roles, groups and
values of entities are not read; nor are look-up tables, synonyms and regular expressions.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import yaml

from hyperloader.corpora.formats.format import Files, Format, Guess, character_spans, surface
from hyperloader.corpora.reading.sentences import Mark, marked_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.types import Example
from hyperloader.yamls import load_yaml

_LINK = r"\w+://|mailto:|www\.|\.{0,2}/|\#"  # what stands behind a word is an address, no label
_MARK = re.compile(
    rf"\[(?P<text>[^\[\]]+)\](?:\((?P<label>(?!{_LINK})[^()\[\]]+)\)|(?P<more>\{{[^{{}}]*\}}))"
)
_INTENT = re.compile(r"##\s*intent:\s*(\S+)\s*")


class Line(NamedTuple):
    """A sentence with its marks, its line, and its intent."""

    number: int
    text: str
    intent: str | None


def _sniff(source: Source) -> Guess | None:
    if not source.is_text or source.suffix in (".json", ".jsonl", ".ndjson", ".csv"):
        return None
    if "](" not in source.text and "]{" not in source.text:
        return None
    if source.suffix in (".yml", ".yaml"):
        return Guess(0.9, "it is YAML with labels in the text: [words](label)")
    marked = sum(bool(_MARK.search(line)) for line in source.lines)
    if not marked:
        return None
    return Guess(0.3 + 0.6 * marked / len(source.rows), "it has labels in the text: [words](label)")


def _lines(source: Source) -> Iterator[Line]:
    if source.suffix in (".yml", ".yaml"):
        yield from _yaml_lines(source)
        return
    intent: str | None = None
    reading = True
    for number, line in enumerate(source.lines, start=1):
        if line.startswith("#") and source.suffix == ".md":
            heading = _INTENT.fullmatch(line.strip())
            reading = heading is not None or not line.startswith("##")
            intent = heading[1] if heading else None
            if not reading:
                source.notes.add(f"sections {line.strip()!r}, which are not read", number)
        elif reading and line.strip():
            text = line.strip()
            yield Line(number, text.removeprefix("- ") if source.suffix == ".md" else text, intent)


def _yaml_lines(source: Source) -> Iterator[Line]:
    try:
        document = load_yaml(source.text)
    except yaml.YAMLError as error:
        raise source.error(f"not YAML ({' '.join(str(error).split())})") from error
    entries = document.get("nlu") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise source.error("no 'nlu' with a list of intents and examples")
    after = 0  # YAML keeps no lines: each sentence is looked for behind the one before
    for entry in entries:
        if not isinstance(entry, dict) or "intent" not in entry:
            source.notes.add("entries other than intents, which are not read")
            continue
        for row in str(entry.get("examples") or "").split("\n"):
            text = row.strip().removeprefix("- ").strip()
            if text:
                found = (i for i in range(after, len(source.lines)) if text in source.lines[i])
                after = next(found, after)
                yield Line(after + 1, text, str(entry["intent"]))


def _read(source: Source) -> Sequence[Example]:
    examples = []
    for line in _lines(source):
        try:
            text, marks = _unmarked(line.text)
            found = marked_sentence(source, line.number, text, marks, intent=line.intent)
        except ValueError as error:
            raise source.error(error, line.number) from error
        if found is not None:
            examples.append(found)
    return examples


def _unmarked(line: str) -> tuple[str, list[Mark]]:
    """The text without its marks, and the marks."""
    text, place, marks = "", 0, []
    for match in _MARK.finditer(line):
        text += line[place : match.start()]
        label = (match["label"] or _entity(match["more"])).partition(":")[0].strip()
        marks.append(Mark(len(text), len(text) + len(match["text"]), label))
        text += match["text"]
        place = match.end()
    return text + line[place:], marks


def _entity(more: str) -> str:
    try:
        return str(json.loads(more)["entity"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f'{more[:80]!r} behind a span is not {{"entity": "label"}}') from error


def _write(examples: Sequence[Example]) -> Files:
    rows = []
    for example in examples:
        text, place, row = surface(example)[0], 0, ""
        for start, end, label in character_spans(example):
            row += f"{text[place:start]}[{text[start:end]}]({label})"
            place = end
        rows.append(row + text[place:])
    return {".txt": "".join(f"{row}\n" for row in rows).encode()}


FORMAT = Format(
    name="inline",
    description="labels in the text, one sentence per line, as Rasa writes it",
    extensions=(".txt", ".md", ".yml", ".yaml"),
    example="play [abba](artist)\nstop",
    sniff=_sniff,
    read=_read,
    write=_write,
    holds=frozenset({"text"}),
)
