"""Lines of text from files, pipes and terminals, in groups that are worth tagging together."""

import os
import queue
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from hyperloader.errors import DataError

BOM = b"\xef\xbb\xbf"
CHUNK = 1 << 16
# How long, in seconds, a pipe may be silent before what it has sent is tagged: long enough that a
# program that writes without a break fills a group, and too short for a person to notice.
SILENCE = 0.02


@dataclass(frozen=True, slots=True)
class Line:
    """One line of ``source`` without its end; ``number`` counts from 1."""

    content: bytes
    source: str
    number: int

    def text(self) -> str:
        """The line as text. Raises DataError if it is not UTF-8."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise DataError("not UTF-8; convert it first", self.source, self.number) from error


def file_lines(path: Path, group: int) -> Iterator[list[Line]]:
    """The lines of a file (or a named pipe), at most ``group`` at a time.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            yield from stream_lines(stream, str(path), group)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", path) from error


def stream_lines(stream: BinaryIO, source: str, group: int) -> Iterator[list[Line]]:
    """The lines of ``stream``, at most ``group`` at a time.

    A file comes in whole groups. A pipe or a terminal comes as it is sent: what is there is given
    when no more has come for a moment. A byte order mark at the beginning is dropped.
    """
    groups = _as_sent(stream, group) if _may_wait(stream) else _whole(stream, group)
    number = 0
    for lines in groups:
        if number == 0:
            lines[0] = lines[0].removeprefix(BOM)
        yield [Line(line.rstrip(b"\r\n"), source, i) for i, line in enumerate(lines, number + 1)]
        number += len(lines)


def standard_input() -> BinaryIO:
    """Where lines are read from if neither texts nor files are given."""
    return sys.stdin.buffer


def _may_wait(stream: BinaryIO) -> bool:
    """Whether reading may wait for another program or a person."""
    try:
        return not stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:  # it has no descriptor: it is in memory
        return False


def _whole(stream: BinaryIO, group: int) -> Iterator[list[bytes]]:
    while lines := list(islice(stream, group)):
        yield lines


def _as_sent(stream: BinaryIO, group: int) -> Iterator[list[bytes]]:
    """Lines as they come. A thread reads, since not every system can wait for a pipe for a time;
    it reads the descriptor, whose buffer it would else hold when the program ends."""
    chunks: queue.Queue[bytes | OSError] = queue.Queue(maxsize=64)
    reader = threading.Thread(target=_read, args=(stream.fileno(), chunks), daemon=True)
    reader.start()
    lines: list[bytes] = []
    rest, ended = b"", False
    while not ended:
        try:
            chunk = chunks.get(timeout=SILENCE if lines else None)
        except queue.Empty:
            yield lines
            lines = []
            continue
        if isinstance(chunk, OSError):
            raise chunk
        ended = not chunk
        *whole, rest = (rest + chunk).split(b"\n")
        lines += whole
        if ended and rest:
            lines.append(rest)
        while len(lines) >= group:
            yield lines[:group]
            lines = lines[group:]
    if lines:
        yield lines


def _read(descriptor: int, chunks: "queue.Queue[bytes | OSError]") -> None:
    """Put what ``descriptor`` gives into ``chunks``, at the end an empty one."""
    try:
        while chunk := os.read(descriptor, CHUNK):
            chunks.put(chunk)
        chunks.put(b"")
    except OSError as error:
        chunks.put(error)
