"""What is to be tagged, cut into shards at places that depend on the files and nothing else.

Files are read through fsspec, so a path may be an address such as ``s3://bucket/rows-*.jsonl``. A
file of lines is read once to be cut, which costs little beside tagging it.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from hyperloader.errors import DataError, check_installed, first_line

TEXT, JSONL, CSV, PARQUET = KINDS = ("text", "jsonl", "csv", "parquet")
_SUFFIXES = {
    ".jsonl": JSONL, ".ndjson": JSONL, ".csv": CSV, ".tsv": CSV, ".parquet": PARQUET, ".txt": TEXT,
}  # fmt: skip
_PACKED = (".gz", ".bz2", ".xz")
# A shard ends after so many rows, or so many bytes.
ROWS, BYTES = 10_000, 64 << 20
BOM = b"\xef\xbb\xbf"
# Characters of a cell at most.
CELL = 2**30


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of one file.

    Attributes:
        number: of all shards, from 0.
        start, end: bytes of a file of lines; rows of a Parquet file, from 0. ``end`` is exclusive.
        line: the number of its first line, from 1; of a Parquet file, of its first row.
        rows: how many there are, about (a blank line of a CSV file is none).
        header: the columns of a CSV file.
    """

    number: int
    path: str
    kind: str
    start: int
    end: int
    line: int
    rows: int
    header: tuple[str, ...] = ()
    delimiter: str = ","

    @property
    def name(self) -> str:
        """What its output is called, without an extension."""
        return f"{self.number:05d}-{_stem(self.path)}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; :meth:`of` reads it."""
        return asdict(self)

    @classmethod
    def of(cls, about: dict[str, Any]) -> "Shard":
        """The shard that :meth:`to_dict` gave."""
        return cls(**{**about, "header": tuple(about["header"])})


def find_files(inputs: Sequence[str]) -> list[tuple[str, int]]:
    """The files that ``inputs`` (files, folders, patterns) name, each with its size in bytes.

    Raises:
        DataError: one of them is nothing, or a file of a kind that is not known.
    """
    found: dict[str, int] = {}
    for given in inputs:
        try:
            fs, path = _filesystem(given)
            names = [path] if fs.isfile(path) else _inside(fs, path)
            for name in names:
                kind_of(name)
                found[_address(fs, given, name)] = int(fs.size(name) or 0)
        except (OSError, ValueError, ImportError) as error:
            raise DataError(f"cannot be read: {first_line(error)}", given) from error
        if not names:
            raise DataError(
                f"no file there (looked for {', '.join(_SUFFIXES)}; also packed, as .gz)", given
            )
    return list(found.items())


def _filesystem(path: str) -> tuple[Any, str]:
    import fsspec

    fs, inside = fsspec.core.url_to_fs(path)
    return fs, inside


def _inside(fs: Any, path: str) -> list[str]:
    names = fs.find(path) if fs.isdir(path) else [n for n in fs.glob(path) if fs.isfile(n)]
    hidden = PurePosixPath(path).parts if fs.isdir(path) else ()
    return sorted(
        n for n in names
        if _suffix(n) in _SUFFIXES
        and not any(p.startswith((".", "_")) for p in PurePosixPath(n).parts[len(hidden) :])
    )  # fmt: skip


def _address(fs: Any, given: str, name: str) -> str:
    """``name`` so that it can be opened again: an address gets its protocol back."""
    return str(fs.unstrip_protocol(name)) if "://" in given else name


def _suffix(path: str) -> str:
    name = PurePosixPath(path)
    return (name.with_suffix("") if name.suffix in _PACKED else name).suffix.lower()


def _stem(path: str) -> str:
    name = PurePosixPath(path)
    while name.suffix in _PACKED or name.suffix.lower() in _SUFFIXES:
        name = name.with_suffix("")
    return name.name


def kind_of(path: str) -> str:
    """What kind of file ``path`` is, by its extension. Raises DataError for another one."""
    if (kind := _SUFFIXES.get(_suffix(path))) is None:
        raise DataError(
            f"what {_suffix(path) or 'a file without an extension'} holds is not known; give "
            f"{', '.join(_SUFFIXES)} (or a line per text as .txt)",
            path,
        )
    return kind


def open_file(path: str) -> BinaryIO:
    """The file at ``path``, unpacked. Raises OSError."""
    import fsspec

    compression = "infer" if path.endswith(_PACKED) else None
    return fsspec.open(path, "rb", compression=compression).open()


def cut(paths: Sequence[str], rows: int = ROWS) -> list[Shard]:
    """The shards of all ``paths``, of at most ``rows`` rows each.

    Raises:
        DataError: a file that cannot be read.
        NotInstalledError: a Parquet file without pyarrow.
    """
    found: list[Shard] = []
    for path in paths:
        kind = kind_of(path)
        try:
            parts = _cut_parquet(path, rows) if kind == PARQUET else _cut_lines(path, kind, rows)
            for part in parts:
                found.append(Shard(len(found), path, kind, **part))
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"cannot be read: {first_line(error)}", path) from error
    return found


def parquet_file(path: str) -> Any:
    """A pyarrow ParquetFile. Raises NotInstalledError."""
    check_installed("Parquet files", "arrow", ["pyarrow"])
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(open_file(path))


def _cut_parquet(path: str, rows: int) -> Iterator[dict[str, Any]]:
    total = parquet_file(path).metadata.num_rows
    for start in range(0, total, rows):
        end = min(total, start + rows)
        yield {"start": start, "end": end, "line": start + 1, "rows": end - start}


def _cut_lines(path: str, kind: str, most: int) -> Iterator[dict[str, Any]]:
    """Where ``most`` rows end. Line ends inside of quoted cells of a CSV file end no row."""
    whole = path.endswith(_PACKED)  # reading from the middle would unpack all before it
    about = _header(path) if kind == CSV else {}
    with open_file(path) as file:
        ends = _row_ends(file, about["delimiter"]) if kind == CSV else _line_ends(file)
        start, first = next(ends, (0, 1)) if kind == CSV else (0, 1)
        place, rows = start, 0
        for place, line in ends:
            rows += 1
            if not whole and (rows == most or place - start >= BYTES):
                yield {"start": start, "end": place, "line": first, "rows": rows, **about}
                start, first, rows = place, line, 0
    if place > start:
        yield {"start": start, "end": place, "line": first, "rows": rows, **about}


def _line_ends(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Of each line where it ends, in bytes, and the number of the next one."""
    place = 0
    for line, raw in enumerate(file, 2):
        place += len(raw)
        yield place, line


def _row_ends(file: BinaryIO, delimiter: str) -> Iterator[tuple[int, int]]:
    """The same of each row of a CSV file, as the reader of its rows sees them."""
    place = _skip_mark(file)

    def counted() -> Iterator[str]:
        nonlocal place
        for text in _lines(file):
            place += len(text)
            yield text

    reader = csv.reader(counted(), delimiter=delimiter)
    while True:
        try:
            next(reader)
        except StopIteration:
            return
        except csv.Error:
            pass  # a bad row
        yield place, 1 + reader.line_num


def _header(path: str) -> dict[str, Any]:
    """Columns and delimiter of a CSV file: that which makes the most columns."""
    csv.field_size_limit(CELL)
    heads = {}
    for delimiter in "\t" if _suffix(path) == ".tsv" else ",\t;":
        with open_file(path) as file:
            _skip_mark(file)
            heads[delimiter] = next(csv.reader(_lines(file), delimiter=delimiter), [])
    delimiter, cells = max(heads.items(), key=lambda head: len(head[1]))
    names = [cell.encode("latin-1").decode("utf-8") for cell in cells]
    if len(set(names)) < len(names):
        raise ValueError("two of its columns have one name")
    return {"header": tuple(names), "delimiter": delimiter}


def _skip_mark(file: BinaryIO) -> int:
    """Go behind the byte order mark, if there is one; how many bytes it has."""
    return len(BOM) if file.read(len(BOM)) == BOM else file.seek(0)


def _lines(file: BinaryIO) -> io.TextIOWrapper:
    """The lines of a CSV file, each byte as a character."""
    return io.TextIOWrapper(file, "latin-1", newline="")
