"""Tables as records: CSV with a header, Parquet, and the Arrow files of Hugging Face datasets."""

import ast
import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import yaml

from hyperloader.corpora.reading.encoding import decode
from hyperloader.corpora.reading.place import Place, children, parent, read_bytes, suffix_of
from hyperloader.errors import DataError
from hyperloader.yamls import load_yaml

ARROW = (".parquet", ".arrow")
# Between strings of a list without commas, as numpy writes it.
_NO_COMMA = re.compile(r"""['"]\s+['"]""")
_INFO_FILES = ("dataset_info.json", "dataset_infos.json", "README.md")


def read_csv(text: str, path: Place) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and row of a CSV or TSV text with a header; nothing where it has none.

    A cell that holds a list or an object, as JSON or as Python writes it, is decoded.

    Raises DataError with the line for what is not CSV, for a row with more cells than the header,
    and for a list as numpy writes it.
    """
    header = text.partition("\n")[0]
    delimiter = max(",\t;", key=header.count)
    old = csv.field_size_limit(2**30)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 2
    try:
        for row in reader:
            if any(cell.strip() for cell in row.pop(None, ())):
                raise csv.Error("more cells than the header has; put text with commas in quotes")
            yield line, {key: _cell(value) for key, value in row.items() if key}
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"not CSV ({error})", str(path), line) from error
    finally:
        csv.field_size_limit(old)


def read_arrow(path: Place) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet or Arrow file, or of a folder of Arrow files, lists as lists."""
    for table in _arrow_tables(path):
        yield from table.to_pylist()


def arrow_files(folder: Place) -> list[Place]:
    """The Arrow files of a folder that ``datasets`` wrote with ``save_to_disk``."""
    return [path for path in children(folder) if suffix_of(path) == ".arrow"]


def class_names(path: Place, column: str) -> list[str]:
    """The names of a column's numbered classes: from the table itself or from what lies beside it.

    Empty where nothing says them.
    """
    for features in _features(path):
        found = _names(features.get(column)) if isinstance(features, dict) else []
        if found:
            return found
    return []


def _arrow_tables(path: Place) -> Iterator[Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError as error:
        message = "needs pyarrow: pip install 'hyperloader[arrow]'"
        raise DataError(message, str(path)) from error
    for file in arrow_files(path) if path.is_dir() else [path]:
        data = pa.BufferReader(read_bytes(file))
        try:
            if suffix_of(file) == ".parquet":
                yield parquet.read_table(data)
            else:  # datasets writes streams; a file has a footer and begins with its magic
                magic = data.read(6) == b"ARROW1"
                data.seek(0)
                yield (pa.ipc.open_file if magic else pa.ipc.open_stream)(data).read_all()
        except (pa.ArrowException, OSError, ValueError) as error:
            message = f"not a table that can be read ({error})"
            raise DataError(" ".join(message.split()), str(file)) from error


def _features(path: Place) -> Iterator[Any]:
    if path.is_dir() or suffix_of(path) in ARROW:
        for table in _arrow_tables(path):
            stored = (table.schema.metadata or {}).get(b"huggingface")
            with suppress(ValueError, AttributeError, RecursionError):  # else none are written
                yield json.loads(stored or "{}").get("info", {}).get("features")
    folder = path if path.is_dir() else parent(path)
    for place in (folder, parent(folder)):
        for name in _INFO_FILES:
            file = place / name
            if file.is_file():
                yield from _written_features(decode(read_bytes(file)), name)


def _written_features(text: str, name: str) -> Iterator[Any]:
    """The features that an information file or a dataset card (YAML between dashes) lists."""
    try:
        if name.endswith(".md"):
            document = load_yaml(text.split("---")[1]) if text.startswith("---") else {}
        else:
            document = json.loads(text)
    except (ValueError, RecursionError, yaml.YAMLError):
        return
    for holder in _dictionaries([document]):
        found = holder.get("features")
        if isinstance(found, list):
            yield {item.get("name"): item for item in found if isinstance(item, dict)}
        else:
            yield found


def _dictionaries(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
    for value in document.values() if isinstance(document, dict) else document:
        if isinstance(value, dict | list):
            yield from _dictionaries(value)


def _names(feature: Any) -> list[str]:
    """The class names somewhere inside the description of one feature, in order."""
    for holder in _dictionaries([feature]):
        names = holder.get("names")
        if isinstance(names, dict):  # a dataset card numbers them
            names = [names[key] for key in sorted(names, key=int)]
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return names
    return []


def _cell(value: Any) -> Any:
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            found = parse(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if parse is ast.literal_eval and _NO_COMMA.search(value):  # one string to Python
            raise csv.Error(f"{value[:40]!r} has no commas, as numpy writes it; write lists")
        return found
    return value
