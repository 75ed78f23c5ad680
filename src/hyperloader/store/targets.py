"""Where a command may write: a place that is new, empty, or holds our own work of the same kind.

All is made sure of before the work begins, so that nothing of the user's is ever lost.
"""

import os
import re
import unicodedata
from collections.abc import Collection
from pathlib import Path

from hyperloader.errors import CheckpointError, TargetError
from hyperloader.store.manifest import MANIFEST, Kind, read_manifest, unlisted

# What Windows, the strictest of systems, keeps out of names; and what tells them apart nowhere.
_NO_NAME = re.compile(
    r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?|[ ._].*|.*[ .]|.*[\x00-\x1f<>:\"/\\|?*].*", re.DOTALL
)
_LONGEST_NAME = 200  # bytes; file systems hold 255, and a name gets something before and behind it
_REPORTS = (b"{", b"<!doctype html", b"\x89png", b"<?xml", b"<svg")


def claim_target(
    path: Path | str, kind: Kind, *, overwrite: bool = False, sources: Collection[Path] = ()
) -> Path:
    """The absolute path of ``path``, after making sure that a folder may be written there.

    It may be new, empty, or (with ``overwrite``) a folder of the same ``kind`` that holds what its
    manifest lists and nothing else. It is never a symbolic link, a mount point or the working
    folder. Call it before the work begins; :func:`atomic_folder` calls it again.

    Args:
        sources: what is being read; none of them may be ``path`` or lie in it.

    Raises:
        TargetError: the place holds something else, or cannot be written to.
    """
    target = _new_name(path, sources)
    if not target.exists():
        check_parent(target)
        return target
    if not target.is_dir():
        raise TargetError(f"{target} is a file and a {kind} is a folder; choose another place")
    if target.is_mount() or target == Path.cwd():
        what = "the folder you are in" if target == Path.cwd() else "a mount point"
        raise TargetError(f"{target} is {what}; name a new folder inside it")
    try:
        if not any(target.iterdir()):
            check_parent(target)
            return target
        if not (target / MANIFEST).exists():
            raise TargetError(
                f"{target} holds other files and no {kind}, so it is left as it is; choose a new "
                "folder"
            )
        manifest = read_manifest(target)
        foreign = unlisted(target, manifest)
    except OSError as error:
        raise TargetError(
            f"{target} cannot be looked at: {error.strerror}; choose another place"
        ) from error
    if manifest.kind != kind:
        raise TargetError(
            f"{target} holds a {manifest.kind}, which is not replaced by a {kind}; choose a new "
            "folder"
        )
    if foreign:
        raise TargetError(
            f"{target} also holds {foreign[0].relative_to(target)}, which hyperloader did not "
            "write; move it away or choose a new folder"
        )
    if not overwrite:
        raise TargetError(
            f"{target} holds a {kind} already; choose a new folder, or replace it with --overwrite "
            "(in Python overwrite=True)"
        )
    check_parent(target)
    return target


def claim_file(path: Path | str) -> Path:
    """The absolute path of ``path``, after making sure that a report may be written there.

    It may be new, empty, or a file that begins as a report does (JSON, HTML, PNG, SVG), so that the
    same command can be given again and a text of the user's stays.

    Raises:
        TargetError: the place holds something else, or cannot be written to.
    """
    target = _new_name(path, ())
    if target.is_dir():
        raise TargetError(f"{target} is a folder; name a file")
    if target.exists() and not target.is_file():
        raise TargetError(f"{target} is no regular file; name a file")
    check_parent(target)
    try:
        with target.open("rb") as file:
            start = file.read(64).lstrip().lower()
    except FileNotFoundError:
        return target
    except OSError as error:
        raise TargetError(
            f"{target} cannot be looked at: {error.strerror}; choose another place"
        ) from error
    if start and not start.startswith(_REPORTS):
        raise TargetError(f"{target} exists already and is no report; name another file")
    return target


def check_names(names: Collection[str], what: str) -> None:
    """Refuse ``names`` of ``what`` that are to be folders and cannot, on this system or another.

    Raises:
        TargetError: no folder may have that name, or two differ in a way that some file systems
            do not keep apart (capitals, composed letters).
    """
    seen: dict[str, str] = {}
    for name in names:
        too_long = len(name.encode(errors="replace")) > _LONGEST_NAME
        if not name or too_long or _NO_NAME.fullmatch(name):
            reason = (
                f"is longer than {_LONGEST_NAME} bytes"
                if too_long
                else "cannot be a folder's name on every system"
            )
            raise TargetError(
                f"the {what} {name[:60]!r} {reason}, and a folder is made for it; rename it"
            )
        same = unicodedata.normalize("NFC", name).casefold()
        if other := seen.get(same):
            raise TargetError(
                f"the {what}s {other!r} and {name!r} would be one folder on some systems; rename "
                "one of them"
            )
        seen[same] = name


def _new_name(path: Path | str, sources: Collection[Path]) -> Path:
    """``path`` made absolute, its parent without links; refused where it is a source or a link."""
    try:
        path = Path(path)
        whole = path.name in ("", "..")
        target = path.resolve() if whole else path.parent.resolve() / path.name
        read = {source: Path(source).resolve() for source in sources}
        is_link = target.is_symlink()
        if "\0" in str(target):
            raise ValueError("no name holds a null character")
    except (OSError, ValueError, RuntimeError) as error:
        raise TargetError(
            f"{str(path)!r} cannot be written: {error}; choose another place"
        ) from error
    for source, place in read.items():
        if target.resolve() == place or target.resolve() in place.parents:
            what = "is" if target.resolve() == place else "holds"
            raise TargetError(f"{target} {what} {source}, which is being read; choose a new place")
    if is_link:
        raise TargetError(f"{target} is a symbolic link; name the place itself")
    for parent in target.parents:
        if kind := _kind_here(parent):
            raise TargetError(
                f"{target} lies in {parent}, a {kind} that could not be read any more with "
                "something else in it; choose a place outside"
            )
    return target


def _kind_here(folder: Path) -> str | None:
    """What our own manifest says ``folder`` is; None where there is none."""
    try:
        return read_manifest(folder).kind if (folder / MANIFEST).is_file() else None
    except (CheckpointError, OSError):  # other programs write a file of that name, too
        return None


def check_parent(target: Path) -> None:
    """Refuse a place below something that is no folder or cannot be written to.

    Raises:
        TargetError: it is.
    """
    parent = next(p for p in target.parents if os.path.lexists(p))  # a loop of links too
    if not parent.is_dir():
        raise TargetError(f"{target} cannot be written: {parent} is no folder; choose another")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise TargetError(
            f"{target} cannot be written: no permission to write in {parent}; choose another place"
        )
