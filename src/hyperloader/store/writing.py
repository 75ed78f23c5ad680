"""Files and folders that are written whole or not at all: aside, synced, then renamed."""

import ctypes
import errno
import json
import os
import re
import shutil
import stat
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hyperloader.errors import CheckpointError
from hyperloader.store.manifest import LOCK, MANIFEST, Entry, Kind, beside
from hyperloader.store.reading import file_hash
from hyperloader.store.targets import claim_target

STEP = re.compile(r"step-\d{8}")


@contextmanager
def atomic_folder(
    target: Path, kind: Kind, *, overwrite: bool = False, sources: Collection[Path] = ()
) -> Iterator[Path]:
    """Yield a temporary folder; on success it becomes ``target``, with a manifest of hashes.

    A crash at any moment leaves the old ``target`` or the new one, never half of it. (Where the
    file system cannot swap two folders, a crash may leave the old one renamed beside it; the next
    write puts it back first.) What earlier crashes left behind is removed; one process at a time
    may write a ``target``. Files get the permissions that the umask gives.

    Args:
        overwrite, sources: see :func:`claim_target`.

    Raises:
        TargetError: ``target`` holds something that is not to be replaced.
        CheckpointError: the disk is full or not writable (nothing half-written stays).
    """
    target = claim_target(target, kind, overwrite=overwrite, sources=sources)
    fresh, old = beside(target, "new"), beside(target, "old")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if old.is_dir() and not target.exists():
            os.rename(old, target)  # a crash came between the two renames of a replacement
            claim_target(target, kind, overwrite=overwrite)
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir()
        yield fresh
        _seal(fresh, kind)
        claim_target(target, kind, overwrite=overwrite)  # time has passed
        _put_in_place(fresh, target, old)
        _sync(target.parent)
    except OSError as error:
        raise disk_error(target, error) from error
    except Exception as error:
        # safetensors and tokenizers report a failed write as an exception of their own.
        if code := re.search(r"\(os error (\d+)\)", str(error)):
            number = int(code[1])
            raise disk_error(target, OSError(number, os.strerror(number))) from error
        raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _seal(folder: Path, kind: Kind) -> None:
    """Write the manifest, give all files its permissions, and bring everything to the disk."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    entries = {
        path.relative_to(folder).as_posix(): Entry(path.stat().st_size, file_hash(path))._asdict()
        for path in files
    }
    manifest = folder / MANIFEST
    manifest.write_text(
        json.dumps({"kind": kind.value, "files": entries}, indent=1), encoding="utf-8"
    )
    # safetensors writes 0600 whatever the umask says.
    mode = stat.S_IMODE(manifest.stat().st_mode)
    for path in files:
        path.chmod(mode)
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _put_in_place(fresh: Path, target: Path, old: Path) -> None:
    """Make ``fresh`` the ``target``; what was there before may be left as ``fresh``."""
    if target.exists() and not any(target.iterdir()):
        target.rmdir()
    if not target.exists():
        os.rename(fresh, target)
    elif not _swap(fresh, target):
        os.rename(target, old)
        os.rename(fresh, target)
        shutil.rmtree(old)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


def remove_checkpoints(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove the folders ``step-NNNNNNNN`` in ``folder`` but those named in ``keep``.

    With them goes what a crash left half-written of any. No other name is touched.
    """
    for path in folder.iterdir():
        if path.name not in keep:
            remove_checkpoint(path)


def remove_checkpoint(path: Path) -> None:
    """Remove a folder called ``step-NNNNNNNN``, or one half-written; leave anything else."""
    half = re.fullmatch(r"\.(.+)\.hyperloader-(?:new|old)", path.name)
    made = STEP.fullmatch(half[1] if half else path.name)
    if made and path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def claimed(folder: Path) -> Iterator[bool]:
    """Whether ``folder`` is this process's alone inside the block; False: another one has it.

    The folder is made if need be. A process that dies gives up what it had claimed.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, in place of what a regular file held before.

    Half a character, as in the name of a file that is not UTF-8, is written as an escape.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp") if path.name else path
    try:
        if path.exists() and not path.is_file():
            raise OSError(errno.EISDIR, "it is no regular file")
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        if temporary != path:
            with suppress(OSError):  # not there after all, or what failed above fails here too
                temporary.unlink()


def left_of(path: Path) -> list[Path]:
    """What processes that were killed in :func:`write_text` left of the file ``path``."""
    name = re.compile(rf"\.{re.escape(path.name)}\.\d+\.tmp")
    return [other for other in path.parent.glob(".*.tmp") if name.fullmatch(other.name)]


def disk_error(path: Path, error: OSError) -> CheckpointError:
    """What a failed write means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return CheckpointError(
            f"the disk is full: {path} was not written and what was there before is kept; "
            "make room and go on with --resume"
        )
    return CheckpointError(f"{path} cannot be written: {error.strerror or error}")


def _sync(path: Path) -> None:
    """Bring a file, or the names in a folder, to the disk."""
    windows = os.name == "nt"
    if windows and path.is_dir():
        return  # Windows opens no folder, and keeps names without
    descriptor = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
