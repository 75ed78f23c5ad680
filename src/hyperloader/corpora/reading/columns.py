"""Sentences in columns: one word per line, blank lines between sentences.

Several blank lines in a row count as one, a ``-DOCSTART-`` line as one too. Columns are separated
by tabs where a line has one, by white space otherwise, and all lines have equally many. A line
that starts with ``#`` is a comment, unless it has the file's number of columns and, in that of the
tags, a tag or what another line has there: then ``#`` is (part of) a word. ``# global.columns =
FORM NE`` names the columns, as in CoNLL-U Plus, and so may a first line such as ``word pos tag``.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hyperloader.corpora.reading.sentences import WordError, sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.tagging import Tagging
from hyperloader.tags import TagError, is_tag
from hyperloader.types import Example

DOCUMENT = "-DOCSTART-"
WORD_NAMES = ("word", "words", "token", "tokens", "form")
TAG_NAMES = ("tag", "tags", "ner", "ner_tag", "ner_tags", "ne", "label", "labels", "iob")


class Row(NamedTuple):
    """A word's line number and its fields."""

    line: int
    fields: list[str]


@dataclass(slots=True)
class Sentence:
    """The rows of one sentence and the comments above it."""

    rows: list[Row] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    def column(self, index: int) -> list[str]:
        return [row.fields[index] for row in self.rows]


@dataclass(slots=True)
class Table:
    """All sentences of a file, the number of its columns, and their names (empty: none given)."""

    sentences: list[Sentence]
    width: int
    names: list[str]

    def index(self, wanted: str | int) -> int:
        """A column's index by its name or its number from 1 (-1: the last). ValueError."""
        if isinstance(wanted, int):
            if wanted == 0 or not -self.width <= wanted <= self.width:
                raise ValueError(f"there is no column {wanted}: the file has {self.width}")
            return wanted - 1 if wanted > 0 else self.width + wanted
        names = [name.lower() for name in self.names]
        if wanted.lower() not in names:
            known = ", ".join(self.names) or "none, so give its number"
            raise ValueError(f"there is no column named {wanted!r} (names: {known})")
        return names.index(wanted.lower())

    def named(self, names: Sequence[str]) -> int | None:
        """The index of the first column that has one of the names."""
        found = [i for i, name in enumerate(self.names) if name.lower() in names]
        return found[0] if found else None

    def tags(self, wanted: str | int | None) -> int:
        """The index of the column of tags: the one that is wanted or named so, else the last."""
        if wanted is not None:
            return self.index(wanted)
        named = self.named(TAG_NAMES)
        return self.width - 1 if named is None else named


def read_table(
    source: Source,
    *,
    width: int | None = None,
    comments: bool = True,
    tag: str | int | None = None,
) -> Table:
    """The sentences of a file, whose column of tags is ``tag`` (None: see :meth:`Table.tags`).

    Raises DataError for a line with another number of columns.
    """
    lines = [Row(n, fields) for n, fields in enumerate(source.columns, start=1)]
    filled = source.rows
    plain = [f for f in filled if not (comments and (f[0].startswith("#") or f[0] == DOCUMENT))]
    width = width or len((plain or filled or [[]])[0])
    names = _named_columns(source) or (_header(plain) if comments else [])
    table = Table([Sentence()], width, names[:width])
    header = plain[0] if plain and plain[0] == names else None
    place = table.tags(tag)
    known = {fields[place] for fields in plain if len(fields) == width}
    for row in lines:
        fields = row.fields
        if not any(fields) or (comments and fields[0] == DOCUMENT):
            if table.sentences[-1].rows:
                table.sentences.append(Sentence())
        elif (
            comments
            and fields[0].startswith("#")
            and not (len(fields) == width and (is_tag(fields[place]) or fields[place] in known))
        ):
            table.sentences[-1].comments.append(source.lines[row.line - 1])
        elif fields is header:
            continue
        elif len(fields) != width or width < 2:
            wanted = "a word and its tag" if width < 2 else f"{width} columns"
            raise source.error(
                f"{len(fields)} column(s) where {wanted} belong; mend the line, or name "
                "the format in reading.yaml beside the file",
                row.line,
            )
        else:
            table.sentences[-1].rows.append(row)
    table.sentences = [found for found in table.sentences if found.rows]
    return table


def read_columns(source: Source, table: Table, word: int, tag: int) -> Iterator[Example]:
    """The examples of a table, given the indices of its columns of words and of tags."""
    tags = [found.column(tag) for found in table.sentences]
    tagging = Tagging(source, tags)
    words = [found.column(word) for found in table.sentences]
    language = _language(words)
    if language:
        source.notes.say(f"every word begins with {language!r}, which is left off")
    for found, texts, marks in zip(table.sentences, words, tags, strict=True):
        texts = [text.removeprefix(language) for text in texts]
        try:
            spans = tagging.spans(marks, found.rows[0].line)
            yield sentence(texts, spans, source.task)
        except (TagError, WordError) as error:
            raise source.error(error, found.rows[error.index].line) from error
        except ValueError as error:
            raise source.error(error, found.rows[0].line) from error


def is_counter(values: Sequence[str]) -> bool:
    """Whether a sentence's column numbers its words: 0 or 1, 2, 3 (also 1-2 and 2.1, CoNLL-U)."""
    numbers = [value for value in values if value.isdecimal()]
    odd = [value for value in values if not value.isdecimal()]
    if not numbers or any(not re.fullmatch(r"\d+[-.]\d+", value) for value in odd):
        return False
    start = int(numbers[0])
    return start <= 1 and [int(n) for n in numbers] == [*range(start, start + len(numbers))]


def _named_columns(source: Source) -> list[str]:
    for line in source.lines[:20]:
        match = re.fullmatch(r"#\s*global\.columns\s*=\s*(.+)", line.strip())
        if match:
            return match[1].split()
    return []


def _header(rows: list[list[str]]) -> list[str]:
    """The first row, if it names columns instead of holding a word: ``word pos tag``."""
    if len(rows) < 2:
        return []
    names = [name.lower() for name in rows[0]]
    named = set(names) & set(WORD_NAMES) and set(names) & set(TAG_NAMES)
    return rows[0] if named else []


def _language(sentences: Sequence[Sequence[str]]) -> str:
    """A prefix such as ``en:`` that every word of a file has (WikiANN), or nothing."""
    words = [word for words in sentences for word in words]
    match = re.match(r"[a-z]{2,3}(?:-[a-z]+)*:(?=.)", words[0]) if len(words) > 1 else None
    prefix = match[0] if match else ""
    return prefix if all(w.startswith(prefix) and w != prefix for w in words) else ""
