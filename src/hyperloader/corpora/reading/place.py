"""Where data lies: files and folders on disk, packed files, and what is inside a zip archive.

A ``Place`` is a ``Path`` or a ``zipfile.Path``: an archive is opened as the folder that it holds,
so a corpus may lie in one. ``.gz``, ``.bz2`` and ``.xz`` files are read unpacked, and their names
count without that ending.
"""

import bz2
import gzip
import lzma
import zipfile
import zlib
from pathlib import Path

from hyperloader.errors import DataError

Place = Path | zipfile.Path

_UNPACK = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


def open_place(path: Path | str) -> Place:
    """The place at ``path``, a zip archive opened: as its only file or folder, else as a folder.

    Raises DataError when nothing is there or the archive is broken.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such file or folder", path)
    if not (path.is_file() or path.is_dir()):
        raise DataError("neither a folder nor a regular file", path)
    if path.suffix.lower() != ".zip" or path.is_dir():
        return path
    try:
        place = zipfile.Path(path)
        inside = children(place)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"not a zip archive that can be read ({error})", path) from error
    return inside[0] if len(inside) == 1 else place


def children(folder: Place) -> list[Place]:
    """What lies in a folder, by name, without what an operating system adds to archives."""
    found = [child for child in folder.iterdir() if child.name not in ("__MACOSX", ".DS_Store")]
    return sorted(found, key=lambda child: child.name)


def parent(place: Place) -> Place:
    """The folder that a file or folder lies in; of an archive, the folder that it lies in."""
    above = place.parent
    return above if isinstance(above, Path | zipfile.Path) else Path(above)


def plain_name(path: Place) -> str:
    """The name of a file without the ending that says it is packed."""
    packed = Path(path.name).suffix.lower() in _UNPACK
    return path.name.rpartition(".")[0] if packed else path.name


def suffix_of(path: Place) -> str:
    """The lower-case extension of a file (``.jsonl`` of ``train.jsonl.gz``)."""
    return Path(plain_name(path)).suffix.lower()


def read_bytes(path: Place) -> bytes:
    """A file's bytes, unpacked. Raises DataError when it cannot be read."""
    try:
        data = path.read_bytes()
        unpack = _UNPACK.get(Path(path.name).suffix.lower())
        return unpack(data) if unpack else data
    except (OSError, EOFError, ValueError, lzma.LZMAError, zlib.error, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot be read ({reason})", str(path)) from error
