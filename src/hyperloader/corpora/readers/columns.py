"""One word a line: the MIT form (tag TAB word) and CoNLL columns (word first, tag last).

Blank lines separate sentences; several in a row count as one. Columns are separated by tabs
where a line has one, by white space otherwise, and all lines of a file have equally many.
In CoNLL columns a ``-DOCSTART-`` line separates sentences like a blank line and is dropped. A
line that starts with ``#`` is a comment and dropped, unless it has the file's number of columns
and ends in a tag: then ``#`` is (part of) a word.
"""

from collections.abc import Iterator
from pathlib import Path

from hyperloader.corpora.readers.source import WordError, example, split_lines
from hyperloader.errors import DataError
from hyperloader.tags import TagError, detect_scheme, is_tag, parse_tags
from hyperloader.types import Example

DOCUMENT = "-DOCSTART-"

Row = tuple[int, str, str]
"""Line number, word, tag."""


def parse_bio(text: str, path: Path, task: str) -> tuple[Example, ...]:
    """Examples of the MIT form: tag TAB word."""
    rows = _rows(text, path)
    return _examples(
        [None if row is None else (row[0], row[1][-1], row[1][0]) for row in rows], path, task
    )


def parse_conll(text: str, path: Path, task: str) -> tuple[Example, ...]:
    """Examples of CoNLL columns: the first is the word, the last the tag, others are not read."""
    rows = _rows(text, path, conll=True)
    return _examples(
        [None if row is None else (row[0], row[1][0], row[1][-1]) for row in rows], path, task
    )


def split_columns(line: str) -> list[str]:
    """The columns of a line: by tabs when there is one, by white space otherwise."""
    return [field.strip() for field in line.split("\t")] if "\t" in line else line.split()


def _rows(text: str, path: Path, conll: bool = False) -> Iterator[tuple[int, list[str]] | None]:
    """Line number and columns of each word; None between sentences."""
    lines = [(n, split_columns(line)) for n, line in enumerate(split_lines(text), start=1)]
    filled = [fields for _, fields in lines if any(fields)]
    plain = [f for f in filled if not (conll and (f[0].startswith("#") or f[0] == DOCUMENT))]
    width = len((plain or filled or [[]])[0]) if conll else 2
    for line, fields in lines:
        if not any(fields) or (conll and fields[0] == DOCUMENT):
            yield None
        elif (
            conll
            and fields[0].startswith("#")
            and not (len(fields) == width and is_tag(fields[-1]))
        ):
            continue
        elif len(fields) != width or width < 2:
            wanted = "a word and its tag" if width < 2 else f"{width} columns"
            raise DataError(f"{len(fields)} column(s) where {wanted} belong", path, line)
        else:
            yield line, fields


def _examples(rows: list[Row | None], path: Path, task: str) -> tuple[Example, ...]:
    sentences: list[list[Row]] = [[]]
    for row in rows:
        if row is not None:
            sentences[-1].append(row)
        elif sentences[-1]:
            sentences.append([])
    sentences = [sentence for sentence in sentences if sentence]
    scheme = detect_scheme([tag for _, _, tag in sentence] for sentence in sentences)
    return tuple(_sentence(sentence, scheme, path, task) for sentence in sentences)


def _sentence(rows: list[Row], scheme: str, path: Path, task: str) -> Example:
    lines, words, tags = zip(*rows, strict=True)
    try:
        return example(words, parse_tags(tags, scheme=scheme), task)
    except (TagError, WordError) as error:
        raise DataError(str(error), path, lines[error.index]) from error
