"""Small corpus files for tests, and what is read from them."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hyperloader.corpora.corpus import Reading
from hyperloader.corpora.parts import read_part
from hyperloader.corpora.reading.options import ReadOptions
from hyperloader.types import Example

Spans = list[tuple[str, str]]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    """A file below ``folder``, with the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **options: Any) -> tuple[tuple[Example, ...], Reading]:
    """What is read from a file or folder as one part of the task ``task``."""
    return read_part(path, "task", ReadOptions().updated(options))


def jsonl(records: Iterable[Any]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def surfaces(example: Example) -> Spans:
    """The text and label of each span."""
    return [(" ".join(example.words[s.word_start : s.word_end]), s.label) for s in example.spans]
