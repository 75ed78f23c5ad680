"""Text for pre-training: folders of ``.txt`` and ``.txt.xz`` files, read line by line.

A file is a source, a line a sentence or a paragraph. Memory does not grow with the text.
"""

import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import IO

from hyperloader.errors import DataError

SUFFIXES = (".txt", ".txt.xz")
_LONGEST = 1 << 20  # bytes; a "line" beyond this is a file of another kind


@dataclass(frozen=True, slots=True)
class TextFile:
    """One file: ``size`` is what it takes on the disk, ``characters`` the length of its lines."""

    path: Path
    name: str
    size: int
    lines: int
    characters: int


def find_files(folder: Path) -> dict[str, Path]:
    """The text files of a folder by name (without the ending), sorted.

    Raises:
        DataError: no folder, no text file, or two files of one name.
    """
    if not folder.is_dir():
        raise DataError("no such folder; give one with .txt or .txt.xz files", folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not (path.is_file() and path.name.endswith(SUFFIXES)):
            continue
        name = path.name.removesuffix(".xz").removesuffix(".txt")
        if name in found:
            raise DataError(f"{found[name].name} has the same name; keep one of them", path)
        found[name] = path
    if not found:
        raise DataError(f"holds no text (looked for {' and '.join(SUFFIXES)} files)", folder)
    return found


def scan(folder: Path) -> list[TextFile]:
    """Read every file of ``folder`` once, so that whatever is wrong with it is known at once.

    Raises:
        DataError: as :func:`find_files` and :func:`read_lines`, and for a file without text.
    """
    sources = []
    for name, path in find_files(folder).items():
        lines = characters = 0
        for _, line in read_lines(path):
            lines += 1
            characters += len(line)
        if not lines:
            raise DataError("holds no text; fill it or take it away", path)
        sources.append(TextFile(path, name, path.stat().st_size, lines, characters))
    return sources


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, stripped, with their numbers from 1.

    Raises:
        DataError: broken UTF-8, a line of more than a megabyte, a damaged ``.xz``.
    """
    number = 0
    try:
        with closing(_open(path)) as file:
            while raw := file.readline(_LONGEST + 1):
                number += 1
                if len(raw) > _LONGEST:
                    raise DataError("a line of more than a megabyte; cut it up", path, number)
                if line := raw.decode("utf-8").strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise DataError(
            f"broken UTF-8 at byte {error.start} of the line; convert the file to UTF-8",
            path,
            number,
        ) from error
    except (lzma.LZMAError, EOFError) as error:
        raise DataError(
            f"a damaged .xz file ({error}); fetch it again", path, number + 1
        ) from error
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", path) from error


def is_held_out(line: str, one_in: int) -> bool:
    """Whether ``line`` belongs to the share that is never trained on.

    A property of the line alone, whatever its case, so copies in other files are held out too.
    """
    return zlib.crc32(line.casefold().encode()) % one_in == 0


def factors(names: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """How often each source is read beside a source of 1, by the first pattern that matches.

    Raises:
        DataError: nothing is left to read.
    """
    found = {
        name: next((w for pattern, w in weights.items() if fnmatch(name, pattern)), 1.0)
        for name in names
    }
    if not any(weight > 0 for weight in found.values()):
        raise DataError("text.weights leaves out every file; give one of them a weight above 0")
    return found


def _open(path: Path) -> IO[bytes]:
    return lzma.open(path, "rb") if path.suffix == ".xz" else path.open("rb")
