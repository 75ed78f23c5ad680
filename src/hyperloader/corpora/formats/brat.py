"""brat's standoff: a folder of texts (``.txt``) with their entities in ``.ann`` files.

A line of ``.ann`` is ``T1<TAB>Label 5 9<TAB>text``. Texts are cut into sentences at line ends that
no entity crosses. An entity in several pieces (``5 9;12 15``) is one span where only white space
lies between them; otherwise its words are not a run, so it is left out and counted. Relations,
events, attributes and notes are counted and not read.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from hyperloader.corpora.formats.format import Files, Format, Guess, character_spans, surface
from hyperloader.corpora.reading.place import children, suffix_of
from hyperloader.corpora.reading.sentences import Mark, check_label, marked_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.types import Example

SENTENCES_PER_DOCUMENT = 50

_ENTITY = re.compile(r"T\S*\t(?P<label>\S+) (?P<pieces>\d+ \d+(?:;\d+ \d+)*)(?:\t(?P<text>.*))?")
_OTHER = {
    "R": "relations", "E": "events", "A": "attributes", "M": "attributes", "N": "normalisations",
    "*": "equivalences", "#": "notes",
}  # fmt: skip

Place = tuple[int, Mark]
"""The line of an entity and where it is in its text."""


def _sniff(source: Source) -> Guess | None:
    if not source.folder:
        return None
    found = sum(suffix_of(path) == ".ann" for path in children(source.path))
    return Guess(1.0, f"it has {found} .ann files") if found else None


def _read(source: Source) -> Sequence[Example]:
    examples: list[Example] = []
    suffixes = Counter(map(suffix_of, children(source.path)))
    others = {s: n for s, n in suffixes.items() if s not in (".ann", ".txt", ".conf", "")}
    data = [suffix for suffix in others if suffix in (".conll", ".bio", ".json", ".jsonl", ".tsv")]
    if data:
        raise source.error(
            f"brat's .ann files and {data[0]} files in one folder; keep each form in its own"
        )
    for path in children(source.path):
        if suffix_of(path) == ".ann":
            stem = path.name.removesuffix(".ann")
            if not (source.path / f"{stem}.txt").is_file():
                raise source.error(f"{path.name} has no {stem}.txt beside it; add the text")
            examples += _document(source.child(f"{stem}.txt"), source.child(path.name))
    texts = {path.name.removesuffix(".txt") for path in children(source.path)}
    unmarked = sum(
        suffix_of(path) == ".txt" and f"{path.name.removesuffix('.txt')}.ann" not in texts
        for path in children(source.path)
    )
    source.notes.add("texts without an .ann file, which are left out", count=unmarked)
    return examples


def _document(text: Source, annotations: Source) -> list[Example]:
    whole = text.text
    entities = (_entity(annotations, whole, i + 1) for i in range(len(annotations.lines)))
    places = [place for place in entities if place is not None]
    crossed = {i for _, mark in places for i in range(mark.start, mark.end)}
    examples, start = [], 0
    borders = [i for i, char in enumerate(whole) if char == "\n" and i not in crossed]
    for end in (*borders, len(whole)):
        inside = [place for place in places if start <= place[1].start and place[1].end <= end]
        sentence = whole[start:end].removesuffix("\r")
        if sentence.strip():
            line = inside[0][0] if inside else None
            marks = [Mark(mark.start - start, mark.end - start, mark.label) for _, mark in inside]
            try:
                found = marked_sentence(annotations, line, sentence, marks)
            except ValueError as error:
                raise annotations.error(error, line) from error
            examples += [found] if found else []
        start = end + 1
    return examples


def _entity(source: Source, text: str, number: int) -> Place | None:
    """The entity of a line; None, and noted, for what is none."""
    line = source.lines[number - 1]
    if not line.strip():
        return None
    if line[0] in _OTHER:
        source.notes.add(f"{_OTHER[line[0]]}, which are not read", number)
        return None
    match = _ENTITY.fullmatch(line)
    if not match:
        raise source.error("not a line of brat: T1<TAB>label start end<TAB>text", number)
    pieces = [tuple(map(int, piece.split())) for piece in match["pieces"].split(";")]
    start, end = pieces[0][0], pieces[-1][1]
    if not start < end <= len(text):
        message = f"entity {start}:{end} does not fit a text of {len(text)} characters"
        raise source.error(f"{message}; correct its offsets", number)
    gaps = [text[a[1] : b[0]] for a, b in pairwise(pieces)]
    if any(gap.strip() for gap in gaps):
        source.notes.repair("discontinuous entities, which are left out", number)
        return None
    copy, found = match["text"], text[start:end]
    if copy is not None and not gaps and copy.split() != found.split():
        raise source.error(f"the text at {start}:{end} is {found!r}, not {copy!r}", number)
    try:
        check_label(match["label"])
    except ValueError as error:
        raise source.error(error, number) from error
    return number, Mark(start, end, match["label"])


def _write(examples: Sequence[Example]) -> Files:
    files: Files = {}
    for first in range(0, len(examples), SENTENCES_PER_DOCUMENT):
        text = ""
        entities: list[str] = []
        for example in examples[first : first + SENTENCES_PER_DOCUMENT]:
            sentence, _ = surface(example)
            for start, end, label in character_spans(example):
                here = f"{len(text) + start} {len(text) + end}"
                entities.append(f"T{len(entities) + 1}\t{label} {here}\t{sentence[start:end]}\n")
            text += sentence + "\n"
        name = f"/{first // SENTENCES_PER_DOCUMENT + 1:05}"
        files |= {f"{name}.txt": text.encode(), f"{name}.ann": "".join(entities).encode()}
    return files


FORMAT = Format(
    name="brat",
    description="brat: a folder of texts, each with an .ann file of entities",
    extensions=(),
    example="a.txt:  play abba\na.ann:  T1\tartist 5 9\tabba",
    sniff=_sniff,
    read=_read,
    write=_write,
    holds=frozenset({"text"}),
    folder=True,
)
