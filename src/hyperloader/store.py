"""Folders that are either complete or absent: written aside, hashed, synced, then renamed."""

import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hyperloader.errors import CheckpointError

MANIFEST = "manifest.json"
LOCK = ".lock"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success it becomes ``target``, with a manifest of hashes.

    A crash at any moment leaves the old ``target`` or the new one, never half of it. (Where the
    file system cannot swap two folders, a crash may leave the old one renamed beside it.) What
    earlier crashes left behind is removed; one process at a time may write a ``target``.

    Raises:
        CheckpointError: the disk is full or not writable (nothing half-written stays).
    """
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        yield temporary
        files = sorted(p for p in temporary.rglob("*") if p.is_file())
        manifest = {
            path.relative_to(temporary).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": file_hash(path),
            }
            for path in files
        }
        (temporary / MANIFEST).write_text(json.dumps(manifest, indent=1))
        for path in [*temporary.rglob("*"), temporary]:
            _sync(path)
        _put_in_place(temporary, target)
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
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, target: Path) -> None:
    """Make ``temporary`` the ``target``; what was there before may be left as ``temporary``."""
    if not target.exists():
        os.rename(temporary, target)
    elif not _swap(temporary, target):
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
        os.rename(temporary, target)
        shutil.rmtree(old)


def _swap(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename and rename(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)


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


def check_folder(folder: Path) -> None:
    """Compare every file with the manifest.

    Raises:
        CheckpointError: no folder, no manifest, a pickle, a missing, shortened or changed file.
    """
    if not folder.exists():
        raise CheckpointError(f"{folder} does not exist; give a folder written by save_pretrained")
    if not folder.is_dir():
        kind = "a pickle, which is never read" if folder.suffix in _PICKLES else "a file"
        raise CheckpointError(f"{folder} is {kind}; give a folder written by save_pretrained")
    manifest = folder / MANIFEST
    if not manifest.exists():
        if pickles := sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES):
            raise CheckpointError(
                f"{folder} holds {pickles[0]}, a pickle, which is never read (it could run any "
                "code); convert it to safetensors with save_pretrained first"
            )
        raise CheckpointError(
            f"{folder} has no {MANIFEST}: it is no checkpoint, or one whose writing was cut short"
        )
    for name, entry in read_json(manifest).items():
        path = folder / name
        if not (isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys()):
            raise CheckpointError(f"{manifest} is damaged at {name!r}; use another checkpoint")
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; the checkpoint is damaged, use another one")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise CheckpointError(
                f"{path} has {size} bytes instead of {entry['bytes']}; "
                "the checkpoint is damaged, use another one"
            )
        if file_hash(path) != entry["sha256"]:
            raise CheckpointError(
                f"{path} is not what was written (its hash differs); "
                "the checkpoint is damaged, use another one"
            )


def read_json(path: Path) -> dict:
    """The object in a JSON file. Raises CheckpointError when it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); it is damaged") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not hold a JSON object; it is damaged")
    return value


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        with suppress(OSError):  # not there after all, or what failed above fails here too
            temporary.unlink()


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def disk_error(path: Path, error: OSError) -> CheckpointError:
    """What a failed write means for the user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return CheckpointError(
            f"the disk is full: {path} was not written and what was there before is kept; "
            "make room and go on with --resume"
        )
    return CheckpointError(f"{path} cannot be written: {error.strerror or error}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
