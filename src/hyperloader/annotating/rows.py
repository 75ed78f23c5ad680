"""The rows of a shard, a batch at a time; those that cannot be tagged are set apart, with why."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

from hyperloader.annotating.shards import (
    BOM,
    CELL,
    CSV,
    JSONL,
    PARQUET,
    Shard,
    open_file,
    parquet_file,
)
from hyperloader.errors import DataError, HyperloaderError, unknown
from hyperloader.tagging import check_text

LINE = "line"


class Bad(NamedTuple):
    """A row that is not tagged: its line (of a Parquet file its row), from 1, and why."""

    line: int
    reason: str


class Batch(NamedTuple):
    """Some rows of a shard.

    Attributes:
        lines: where each is; see :class:`Bad`.
        rows: with all their columns: dictionaries, or a RecordBatch of a Parquet file.
    """

    lines: list[int]
    texts: list[str]
    rows: Any
    bad: list[Bad]

    def only(self, places: Sequence[int], bad: Sequence[Bad] = ()) -> "Batch":
        """The rows at ``places``; ``bad`` ones are added to those that there are."""
        if len(places) == len(self.lines):
            rows = self.rows
        elif isinstance(self.rows, list):
            rows = [self.rows[i] for i in places]
        else:
            rows = self.rows.take(list(places))
        lines, texts = [self.lines[i] for i in places], [self.texts[i] for i in places]
        return Batch(lines, texts, rows, [*self.bad, *bad])

    def records(self) -> list[dict[str, Any]]:
        """The rows as dictionaries."""
        return self.rows if isinstance(self.rows, list) else list(self.rows.to_pylist())


def check_columns(shards: Sequence[Shard], text: str, column: str) -> None:
    """Refuse tables that lack the column ``text`` or have what is to be added.

    Raises:
        DataError: the message lists the columns.
    """
    heads = {s.path: s.header for s in shards if s.kind == CSV}
    heads |= {s.path: tuple(parquet_file(s.path).schema_arrow.names)
              for s in {s.path: s for s in shards if s.kind == PARQUET}.values()}  # fmt: skip
    for path, names in heads.items():
        if text not in names:
            raise DataError(f"{unknown('column', text, names)}; give --text-column", path)
        if column in names:
            raise DataError(f"has a column {column!r} already; give --column another name", path)


def read_rows(shard: Shard, text: str, column: str, size: int) -> Iterator[Batch]:
    """The rows of ``shard``, ``size`` at a time, with the texts in the column ``text``.

    A row of JSONL that has the ``column`` which is to be added is a bad one.

    Raises:
        OSError: the file cannot be read any more.
    """
    if shard.kind == PARQUET:
        yield from _parquet(shard, text, size)
        return
    with open_file(shard.path) as file:
        file.seek(shard.start)
        rows = _csv_rows if shard.kind == CSV else _line_rows
        yield from _batches(rows(shard, file, text), text, column, size)


def _batches(
    rows: Iterator[tuple[int, dict[str, Any] | str]], text: str, column: str, size: int
) -> Iterator[Batch]:
    """Batches of rows, each of which comes with its line; a string in place of one is a reason."""
    batch = Batch([], [], [], [])
    for line, row in rows:
        reason = row if isinstance(row, str) else _problem(row, text, column)
        if reason is not None:
            batch.bad.append(Bad(line, reason))
        elif not isinstance(row, str):
            batch.lines.append(line)
            batch.texts.append(row[text])
            batch.rows.append(row)
        if len(batch.lines) + len(batch.bad) == size:
            yield batch
            batch = Batch([], [], [], [])
    if batch.lines or batch.bad:
        yield batch


def _problem(row: dict[str, Any], text: str, column: str) -> str | None:
    """Why a row cannot be tagged, in words; None: it can."""
    if text not in row:
        return unknown("column", text, list(row)[:20])
    if column in row:
        return f"has {column!r} already; give --column another name"
    return _wrong_text(row[text], text)


def _wrong_text(value: Any, text: str) -> str | None:
    if value is None:
        return f"{text!r} is empty (null)"
    try:
        check_text(value, repr(text))
    except HyperloaderError as error:
        return str(error)
    return None


def _line_rows(
    shard: Shard, file: BinaryIO, text: str
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    left = shard.end - shard.start
    read: Callable[[str, int, str], dict[str, Any] | str]
    read = _json_row if shard.kind == JSONL else _text_row
    for line, raw in enumerate(file, shard.line):
        if left <= 0:
            return
        left -= len(raw)
        content = raw.rstrip(b"\r\n")
        if line == 1:
            content = content.removeprefix(BOM)
        try:
            yield line, read(content.decode("utf-8"), line, text)
        except UnicodeDecodeError:
            yield line, "not UTF-8"


def _text_row(content: str, line: int, text: str) -> dict[str, Any]:
    return {LINE: line, text: content}


def _json_row(content: str, line: int, text: str) -> dict[str, Any] | str:
    try:
        row = json.loads(content)
    except (ValueError, RecursionError) as error:
        return f"not JSON ({error})"[:200] if content.strip() else "an empty line"
    return row if isinstance(row, dict) else "not a JSON object"


def _csv_rows(
    shard: Shard, file: BinaryIO, text: str
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    csv.field_size_limit(CELL)
    # What is not UTF-8 becomes lone surrogates, which are found cell by cell.
    part = io.BufferedReader(_Part(file, shard.end - shard.start))
    lines = io.TextIOWrapper(part, "utf-8", errors="surrogateescape", newline="")
    reader = csv.reader(lines, delimiter=shard.delimiter)
    while True:
        line = shard.line + reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, f"not CSV ({error})"
            continue
        if not cells:
            continue  # a blank line
        if len(cells) != len(shard.header):
            yield line, f"{len(cells)} cells, but {len(shard.header)} columns"
        elif any(not cell.isascii() and _is_broken(cell) for cell in cells):
            yield line, "not UTF-8"
        else:
            yield line, dict(zip(shard.header, cells, strict=True))


def _is_broken(cell: str) -> bool:
    try:
        cell.encode()
    except UnicodeEncodeError:
        return True
    return False


class _Part(io.RawIOBase):
    """The next ``left`` bytes of a file, and no more."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self._file, self._left = file, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def _parquet(shard: Shard, text: str, size: int) -> Iterator[Batch]:
    file = parquet_file(shard.path)
    place = 0
    for group in range(file.metadata.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if place + count > shard.start and place < shard.end:
            at = place
            for part in file.iter_batches(batch_size=size, row_groups=[group]):
                first, last = max(shard.start - at, 0), min(shard.end - at, len(part))
                if first < last:
                    yield _of_table(part.slice(first, last - first), at + first + 1, text)
                at += len(part)
        place += count


def _of_table(part: Any, line: int, text: str) -> Batch:
    texts = part.column(text).to_pylist()
    reasons = {i: reason for i, each in enumerate(texts) if (reason := _wrong_text(each, text))}
    whole = Batch(list(range(line, line + len(texts))), texts, part, [])
    kept = [i for i in range(len(texts)) if i not in reasons]
    return whole.only(kept, [Bad(line + i, reason) for i, reason in reasons.items()])
