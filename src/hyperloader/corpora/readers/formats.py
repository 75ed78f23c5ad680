"""The table of file formats, and which of them a file has.

What a file holds is decided once for the whole file: JSON by its extension, mTOP and mTOD by
their columns, then word first or tag first by which outer column looks more like tags (the
extension breaks a tie, ``.conll`` is always word first).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hyperloader.corpora.readers.columns import DOCUMENT, parse_bio, parse_conll, split_columns
from hyperloader.corpora.readers.jsonl import parse_jsonl
from hyperloader.corpora.readers.seq import TAGS, WORDS, read_seq
from hyperloader.corpora.readers.source import read_text, split_lines
from hyperloader.corpora.readers.tsv import MTOD_COLUMNS, MTOP_COLUMNS, parse_mtod, parse_mtop
from hyperloader.errors import DataError, unknown
from hyperloader.tags import is_tag
from hyperloader.types import Example

JSON_EXTENSIONS = (".jsonl", ".ndjson", ".json")
COLUMN_EXTENSIONS = (".conll", ".bio", ".iob", ".iob2", ".tsv", ".txt")
EXTENSIONS = (*COLUMN_EXTENSIONS, *JSON_EXTENSIONS)


@dataclass(frozen=True, slots=True)
class Format:
    """A format of single files: ``parse(text, path, task)``, and two lines as an example."""

    title: str
    example: str
    parse: Callable[[str, Path, str], tuple[Example, ...]]


_TOKENS = '{"tokens":["play","abba"],"tokenSpans":[{"start":0,"length":4},{"start":5,"length":4}]}'

FORMATS = {
    "bio": Format(
        "MIT form: tag TAB word, a blank line after each sentence (.bio .txt .tsv)",
        "O\tplay\nB-artist\tabba",
        parse_bio,
    ),
    "conll": Format(
        "columns: word first, tag last, a blank line after each sentence (.conll .iob .txt .tsv)",
        "play VB O\nabba NNP B-artist",
        parse_conll,
    ),
    "mtop": Format(
        "official mTOP: 8 tab-separated columns (.tsv .txt)",
        "7\tIN:PLAY\t5:9:SL:ARTIST\tplay abba\tmusic\ten_XX\t[IN:PLAY [SL:ARTIST abba ] ]\t"
        f"{_TOKENS}\n8\tIN:PLAY\t\tplay abba\tmusic\ten_XX\t[IN:PLAY ]\t{_TOKENS}",
        parse_mtop,
    ),
    "mtod": Format(
        "official mTOD: 5 tab-separated columns (.tsv .txt)",
        f'music/play\t5:9:artist\tPlay Abba\ten_XX\t{{"tokenizations":[{_TOKENS}]}}\n'
        f'music/play\t\tPlay Abba\ten_XX\t{{"tokenizations":[{_TOKENS}]}}',
        parse_mtod,
    ),
    "jsonl": Format(
        "hyperloader's own: spans count words; intent, text, offsets if there are any (.jsonl)",
        '{"words": ["play", "abba"], "spans": [{"start": 1, "end": 2, "label": "artist"}]}\n'
        '{"words": ["stop"], "spans": [], "intent": "pause"}',
        parse_jsonl,
    ),
    "prodigy": Format(
        "Prodigy: spans count characters, tokens where white space is not enough (.jsonl)",
        '{"text": "play abba", "spans": [{"start": 5, "end": 9, "label": "artist"}]}\n'
        '{"text": "ok!", "spans": [], "tokens": [{"start": 0, "end": 2}, {"start": 2, "end": 3}]}',
        parse_jsonl,
    ),
    "label-studio": Format(
        "Label Studio: tasks with data and annotations, characters (.json .jsonl)",
        '[{"data": {"text": "play abba"}, "annotations": [{"result": [\n'
        '  {"value": {"start": 5, "end": 9, "labels": ["artist"]}}]}]}]',
        parse_jsonl,
    ),
}

SEQ_TITLE = "folders train, valid, test with seq.in, seq.out and, for intents, label"
SEQ_EXAMPLE = "seq.in:  play abba\nseq.out: O B-artist"


def detect_format(text: str, path: Path) -> str:
    """The name in ``FORMATS`` of a file (JSON forms are all ``jsonl``). DataError if none fits."""
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        raise DataError(unknown("extension", extension, EXTENSIONS), path)
    if extension in JSON_EXTENSIONS:
        return "jsonl"
    if extension == ".conll":
        return "conll"
    lines = [line for line in split_lines(text) if line.strip()]
    fields = lines[0].split("\t") if lines else []
    for name, width in (("mtop", MTOP_COLUMNS), ("mtod", MTOD_COLUMNS)):
        if len(fields) == width and fields[-1].startswith("{"):
            return name
    columns = [row for line in lines if (row := split_columns(line))[0] != DOCUMENT]
    first = sum(is_tag(row[0]) for row in columns)
    last = sum(is_tag(row[-1]) for row in columns)
    if not first and not last:
        wanted = "tags like O and B-label in the first or last column, mTOP or mTOD columns"
        raise DataError(f"no known format: looked for {wanted}", path)
    return "bio" if first > last or (first == last and extension == ".bio") else "conll"


def is_seq_folder(path: Path) -> bool:
    """Whether a folder holds one part of a corpus in parallel files."""
    return (path / WORDS).is_file() or (path / TAGS).is_file()


def read_part(path: Path, task: str) -> tuple[Example, ...]:
    """All examples of one file, or of one folder with ``seq.in`` and ``seq.out``.

    Raises DataError with the path, and the line where there is one, for what cannot be read and
    for a file without a sentence.
    """
    if path.is_dir():
        examples = read_seq(path, task)
    else:
        text = read_text(path)
        if not text.strip():
            raise DataError("the file is empty", path)
        examples = FORMATS[detect_format(text, path)].parse(text, path, task)
    if not examples:
        raise DataError("no sentence in it", path)
    return examples
