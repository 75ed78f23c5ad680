"""The three parallel files of ATIS, SNIPS and mTOD: ``seq.in``, ``seq.out`` and ``label``.

Line i of ``seq.in`` holds the words, of ``seq.out`` their tags, of ``label`` the intent. Words
and tags are split on any white space (SNIPS has double and trailing spaces). ``label`` may be
absent or have empty lines: no intent. Blank lines at the end are ignored; a blank sentence
before the end is refused, since the files might have slipped against each other there.
"""

from pathlib import Path

from hyperloader.corpora.readers.source import example, read_text, split_lines
from hyperloader.errors import DataError
from hyperloader.tags import TagError, detect_scheme, parse_tags
from hyperloader.types import Example

WORDS, TAGS, INTENT = "seq.in", "seq.out", "label"


def read_seq(folder: Path, task: str) -> tuple[Example, ...]:
    """Examples of one folder with ``seq.in``, ``seq.out`` and perhaps ``label``."""
    names = (WORDS, TAGS, INTENT) if (folder / INTENT).exists() else (WORDS, TAGS)
    return parse_seq({name: read_text(folder / name) for name in names}, folder, task)


def parse_seq(files: dict[str, str], folder: Path, task: str) -> tuple[Example, ...]:
    """Examples of the files' texts by name. Raises DataError with ``folder``/file and line."""
    size = len([*split_lines(files[WORDS].rstrip())])
    words = _column(files[WORDS], size, folder / WORDS)
    tags = _column(files[TAGS], size, folder / TAGS)
    intents = _column(files.get(INTENT, "\n" * size), size, folder / INTENT)
    scheme = detect_scheme(line.split() for line in tags)
    return tuple(
        _sentence(row, scheme, folder, line, task)
        for line, row in enumerate(zip(words, tags, intents, strict=True), start=1)
    )


def _column(text: str, size: int, path: Path) -> list[str]:
    lines = split_lines(text)
    if len(lines) < size:
        raise DataError(f"{len(lines)} lines, but {WORDS} has {size} sentences", path)
    for line, extra in enumerate(lines[size:], start=size + 1):
        if extra.strip():
            raise DataError(f"a line too many: {WORDS} has {size} sentences", path, line)
    return lines[:size]


def _sentence(
    row: tuple[str, str, str], scheme: str, folder: Path, line: int, task: str
) -> Example:
    words, tags, intent = row[0].split(), row[1].split(), row[2].strip()
    if not words:
        raise DataError("an empty sentence; remove the line in all files", folder / WORDS, line)
    if len(words) != len(tags):
        message = f"{len(tags)} tags for the {len(words)} words of {WORDS}"
        raise DataError(message, folder / TAGS, line)
    try:
        spans = parse_tags(tags, scheme=scheme)
    except TagError as error:
        raise DataError(str(error), folder / TAGS, line) from error
    return example(words, spans, task, intent=intent)
