"""One file or folder that is being read: its text, lines and records, each made once."""

import json
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

from hyperloader.corpora.reading.encoding import decode, probable_encoding
from hyperloader.corpora.reading.notes import Notes
from hyperloader.corpora.reading.options import ReadOptions
from hyperloader.corpora.reading.place import Place, read_bytes, suffix_of
from hyperloader.corpora.reading.tables import ARROW, read_arrow, read_csv
from hyperloader.errors import DataError

SAMPLE = 50  # records that are looked at to recognise a format
_TOO_MUCH = "JSON that is nested too deeply, or has too long a number"


class Record(NamedTuple):
    """One object of a file, and its line (in tables its row)."""

    line: int
    value: Any


class Source:
    """What a format reads from: ``path`` is a file or a folder, ``task`` the sentences' task.

    ``data`` are the bytes of a file that does not lie on the disk; ``path`` is then what messages
    call it.
    """

    def __init__(
        self,
        path: Place,
        task: str,
        options: ReadOptions | None = None,
        data: bytes | None = None,
    ):
        self.path, self.task, self._given = path, task, data
        self.options = options or ReadOptions()
        self.notes = Notes(path, self.options.strict)

    @property
    def folder(self) -> bool:
        return self._given is None and self.path.is_dir()

    @property
    def suffix(self) -> str:
        """The extension, lower case, without that of a packed file; empty for a folder."""
        return "" if self.folder else suffix_of(self.path)

    def child(self, name: str) -> "Source":
        """A file of a folder, read with the same options and noted in the same notes."""
        child = Source(self.path / name, self.task, self.options)
        child.notes = self.notes
        return child

    def error(self, message: object, line: int | None = None) -> DataError:
        return DataError(str(message), str(self.path), line)

    @cached_property
    def data(self) -> bytes:
        return read_bytes(self.path) if self._given is None else self._given

    @cached_property
    def text(self) -> str:
        """The UTF-8 text. Raises DataError with the line of the first byte that is not UTF-8, and
        for bytes that are no text."""
        try:
            text = decode(self.data)
        except UnicodeDecodeError as error:
            line = self.data.count(b"\n", 0, error.start) + 1
            guess = probable_encoding(self.data)
            raise self.error(
                f"byte {self.data[error.start]:#04x} is not UTF-8; the file is probably {guess}: "
                "save it as UTF-8",
                line,
            ) from error
        if "\0" in text:
            wide = probable_encoding(self.data) == "UTF-16"
            advice = "probably UTF-16: save it as UTF-8" if wide else "no text: give a text file"
            line = text.count("\n", 0, text.index("\0")) + 1
            raise self.error(f"a NUL character; the file is {advice}", line)
        return text

    @cached_property
    def lines(self) -> list[str]:
        return split_lines(self.text)

    @cached_property
    def is_text(self) -> bool:
        """Whether this is a file of text, not a folder and not a binary table."""
        return not self.folder and self.suffix not in (*ARROW, ".spacy")

    @cached_property
    def columns(self) -> list[list[str]]:
        """The columns of each line."""
        return [split_columns(line) for line in self.lines]

    @cached_property
    def rows(self) -> list[list[str]]:
        """The columns of the lines that are not blank."""
        return [fields for fields in self.columns if any(fields)]

    def records(self) -> Iterator[Record]:
        """The objects of a JSON, JSONL, CSV, Parquet or Arrow file, or of a folder of the last.

        Raises DataError with the line where the text is not JSON.
        """
        if self.folder or self.suffix in ARROW:
            rows: Iterator[tuple[int, Any]] = enumerate(read_arrow(self.path), start=1)
        elif self.suffix in (".csv", ".tsv"):
            rows = read_csv(self.text, self.path)
        else:
            items = self._json_items
            rows = self._json_lines() if items is None else iter(items)
        return (Record(line, value) for line, value in rows)

    @cached_property
    def sample(self) -> list[Any]:
        """The first objects, as far as they can be read; none when the file holds no objects."""
        found: list[Any] = []
        try:
            for record in islice(self.records(), SAMPLE):
                found.append(record.value)
        except DataError:
            pass
        return found

    @cached_property
    def keys(self) -> set[str]:
        """The keys of the first objects."""
        return {key for value in self.sample if isinstance(value, dict) for key in value}

    @cached_property
    def _json_items(self) -> list[Record] | None:
        """The items of a JSON list, or the one object; None for JSONL, which is read by line."""
        start = self.text.lstrip()[:1]
        if start not in ("[", "{"):
            return []
        try:
            whole = json.loads(self.text)
        except json.JSONDecodeError as error:
            first = next((line for line in self.lines if line.strip()), "")
            if self.suffix in (".jsonl", ".ndjson") or _is_json(first):
                return None
            raise self.error(f"not JSON: {error.msg}", error.lineno) from error
        except (RecursionError, ValueError) as error:
            raise self.error(_TOO_MUCH) from error
        if isinstance(whole, dict):
            return [Record(1 + self.text[: self.text.index("{")].count("\n"), whole)]
        if whole and isinstance(whole[0], str):  # one line of JSONL whose records are lists
            return [Record(1, whole)]
        return [*_items(self.text)]

    def _json_lines(self) -> Iterator[Record]:
        for line, row in enumerate(self.lines, start=1):
            if not row.strip():
                continue
            try:
                yield Record(line, json.loads(row))
            except json.JSONDecodeError as error:
                raise self.error(f"not JSON: {error.msg}, column {error.colno}", line) from error
            except (RecursionError, ValueError) as error:
                raise self.error(_TOO_MUCH, line) from error


def split_lines(text: str) -> list[str]:
    """Lines without their ends. Only line feeds end a line (in a text without one, carriage
    returns do): other separators can be text."""
    lines = text.replace("\r\n", "\n").split("\n" if "\n" in text else "\r")
    return lines[:-1] if lines[-1] == "" else lines


def split_columns(line: str) -> list[str]:
    """The columns of a line: by tabs when there is one, by white space otherwise."""
    return [*map(str.strip, line.split("\t"))] if "\t" in line else line.split()


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _items(text: str) -> Iterator[Record]:
    """The items of a JSON list that is known to be well-formed, each with its line."""
    decoder, place = json.JSONDecoder(), text.index("[") + 1
    line = 1 + text.count("\n", 0, place)
    while True:
        begin = place
        while text[begin].isspace() or text[begin] == ",":
            begin += 1
        if text[begin] == "]":
            return
        line += text.count("\n", place, begin)
        item, place = decoder.raw_decode(text, begin)
        yield Record(line, item)
        line += text.count("\n", begin, place)
