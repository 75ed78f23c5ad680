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
    start = place = rows = 0
    first = line = 1
    open_quote = False
    about: dict[str, Any] | None = None if kind == CSV else {}
    whole = path.endswith(_PACKED)  # reading from the middle would unpack all before it
    with open_file(path) as file:
        head = b""
        for raw in file:
            place += len(raw)
            line += 1
            if kind == CSV:
                open_quote ^= raw.count(b'"') % 2 == 1
                if about is None:
                    head += raw
                if open_quote:
                    continue
                if about is None:
                    about = _header(head, path)
                    start, first = place, line
                    continue
            rows += 1
            if not whole and (rows == most or place - start >= BYTES):
                yield {"start": start, "end": place, "line": first, "rows": rows, **(about or {})}
                start, first, rows = place, line, 0
    if place > start and about is not None:
        yield {"start": start, "end": place, "line": first, "rows": max(rows, 1), **about}


def _header(raw: bytes, path: str) -> dict[str, Any]:
    """Columns and delimiter of a CSV file."""
    text = raw.removeprefix(BOM).decode("utf-8")
    delimiter = "\t" if _suffix(path) == ".tsv" else max(",\t;", key=text.count)
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    if len(set(names)) < len(names):
        raise ValueError("two of its columns have one name")
    return {"header": tuple(names), "delimiter": delimiter}
