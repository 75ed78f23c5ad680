"""Reading files that somebody else may have made: regular ones, of a bounded size and depth."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

from hyperloader.errors import CheckpointError

_LARGEST = 16 << 20  # bytes; the JSON and YAML files that are written here are far smaller


def read_bytes(path: Path, limit: int = _LARGEST) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; never waits on a pipe.

    Raises:
        CheckpointError: it is missing, unreadable, too large, or a device, a pipe or a folder.
    """
    try:
        # Opening a pipe would wait for a writer; what it is, is asked of what was opened.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise CheckpointError(f"{path} is no regular file; use an undamaged copy")
            content = file.read(limit + 1)
    except IsADirectoryError as error:
        raise CheckpointError(
            f"{path} is a folder, where a file belongs; use an undamaged copy"
        ) from error
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}; mend that or use a copy"
        ) from error
    if len(content) > limit:
        raise CheckpointError(
            f"{path} is larger than {limit >> 20} MiB, more than anything here needs; use a copy"
        )
    return content


def read_json(path: Path, limit: int = _LARGEST) -> dict[str, Any]:
    """The object in a JSON file of at most ``limit`` bytes.

    Raises:
        CheckpointError: it is missing, damaged, too large, nested too deep or no regular file.
    """
    try:
        value = json.loads(read_bytes(path, limit).decode("utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); it is damaged") from error
    except RecursionError as error:
        raise CheckpointError(f"{path} is nested too deep; it is damaged") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; it is damaged")
    return value


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
