"""What a folder holds: a manifest of its kind and of every file with its size and hash."""

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from hyperloader.errors import CheckpointError
from hyperloader.store.reading import file_hash, read_json

MANIFEST = "manifest.json"
LOCK = ".lock"
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib")
# The model card: nothing reads it, and people edit it, on the Hub's pages too.
PROSE = "README.md"
# What a loader would look at if it lay in a folder, be it listed or not.
_LOADABLE = (".json", ".jinja", ".model", ".safetensors", ".onnx", ".py", *_PICKLES)


class Kind(StrEnum):
    """What a folder with a manifest is."""

    CHECKPOINT = "checkpoint"  # tags by itself: a model with its labels and its tokenizer
    ONNX = "tagger in ONNX"
    MODEL = "model"
    TASK = "task"
    TRANSFORMERS = "transformers model"
    PEFT = "PEFT adapter"
    BACKBONE = "backbone"
    PREPARED = "prepared text"


class Entry(NamedTuple):
    """What a manifest says of one file."""

    bytes: int
    sha256: str


class Manifest(NamedTuple):
    """The kind of a folder, and its files by their names relative to it (with ``/``)."""

    kind: str
    files: dict[str, Entry]


def check_folder(folder: Path) -> Manifest:
    """Compare every file with the manifest, once, and return it.

    A file that a loader could take for its own must be listed, with its size and hash.

    Raises:
        CheckpointError: no folder, no manifest, a pickle, a link, a missing, shortened, changed
            or unlisted file.
    """
    if not folder.exists():
        if (old := beside(folder, "old")).is_dir():
            raise CheckpointError(
                f"{folder} was being replaced when the machine stopped; what it held is in {old}: "
                "give that name back to it"
            )
        raise CheckpointError(f"{folder} does not exist; give a folder written by save_pretrained")
    if not folder.is_dir():
        kind = "a pickle, which is never read" if folder.suffix in _PICKLES else "a file"
        raise CheckpointError(f"{folder} is {kind}; give a folder written by save_pretrained")
    try:
        manifest = _manifest_or_refuse(folder)
        for name, entry in manifest.files.items():
            if name != PROSE:
                _check_file(folder, name, entry)
        for path in unlisted(folder, manifest):
            if path.suffix in _LOADABLE or path.parent != folder:
                raise CheckpointError(
                    f"{folder / MANIFEST} does not list {path.relative_to(folder)}, which lies "
                    "beside it; remove it or use another checkpoint"
                )
    except OSError as error:
        where = error.filename or folder
        raise CheckpointError(
            f"{where} cannot be read: {error.strerror or error}; mend that or use a copy"
        ) from error
    return manifest


def _manifest_or_refuse(folder: Path) -> Manifest:
    if (folder / MANIFEST).exists():
        return read_manifest(folder)
    if pickles := sorted(p.name for p in folder.iterdir() if p.suffix in _PICKLES):
        raise CheckpointError(
            f"{folder} holds {pickles[0]}, a pickle, which is never read (it could run any "
            "code); convert it to safetensors with save_pretrained first"
        )
    raise CheckpointError(
        f"{folder} has no {MANIFEST}: it is no checkpoint, or one whose writing was cut "
        "short; give the folder of a run or of an export"
    )


def _check_file(folder: Path, name: str, entry: Entry) -> None:
    path = folder / name
    for part in [path, *path.parents]:
        if part == folder:
            break
        if part.is_symlink() and not _is_cached(folder, part):
            raise CheckpointError(f"{part} is a symbolic link; copy the folder with cp -rL first")
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; the checkpoint is damaged, use another one")
    size = path.stat().st_size
    if size != entry.bytes:
        raise CheckpointError(
            f"{path} has {size} bytes instead of {entry.bytes}; "
            "the checkpoint is damaged, use another one"
        )
    if file_hash(path) != entry.sha256:
        raise CheckpointError(
            f"{path} is not what was written (its hash differs); "
            "the checkpoint is damaged, use another one"
        )


def _is_cached(folder: Path, link: Path) -> bool:
    """Whether ``link`` is what huggingface_hub's cache makes: one to a file that it keeps apart."""
    blobs = folder.parent.parent / "blobs"
    return folder.parent.name == "snapshots" and link.resolve().parent == blobs.resolve()


def unlisted(folder: Path, manifest: Manifest) -> list[Path]:
    """What lies in ``folder`` and is neither listed nor a folder of something listed."""
    known = {MANIFEST, LOCK, *manifest.files}
    known |= {parent.as_posix() for name in manifest.files for parent in Path(name).parents}
    return sorted(p for p in folder.rglob("*") if p.relative_to(folder).as_posix() not in known)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder, of this version or an older one (which does not name the kind).

    Raises:
        CheckpointError: it is missing or damaged, lists nothing, or names files outside.
    """
    path = folder / MANIFEST
    about = read_json(path)
    kind, files = about.get("kind"), about.get("files")
    if not (isinstance(kind, str) and isinstance(files, dict)):
        kind, files = None, about  # by an older version
    elif kind not in {known.value for known in Kind}:
        raise CheckpointError(
            f"{path} is of the unknown kind {kind[:80]!r}; use another checkpoint"
        )
    if not files:
        raise CheckpointError(f"{path} lists no file; use another checkpoint")
    entries = {}
    for name, entry in files.items():
        if not _is_inside(name):
            raise CheckpointError(f"{path} names {name!r}, which lies outside; do not use it")
        match entry:
            case {"bytes": int(size), "sha256": str(digest)}:
                entries[name] = Entry(size, digest)
            case _:
                raise CheckpointError(f"{path} is damaged at {name!r}; use another checkpoint")
    return Manifest(kind or _kind_of(entries), entries)


def _is_inside(name: str) -> bool:
    path = Path(name)
    return bool(path.parts) and not (path.is_absolute() or path.drive or ".." in path.parts)


def _kind_of(names: Collection[str]) -> Kind:
    """The kind of a folder that an older version has written."""
    signs = {"prepared.json": Kind.PREPARED, "codec.json": Kind.CHECKPOINT}
    found = next((kind for name, kind in signs.items() if name in names), None)
    return found or (Kind.BACKBONE if "tokenizer_config.json" in names else Kind.MODEL)


def beside(target: Path, what: str) -> Path:
    """Where a ``target`` lies while it is made (``new``) or replaced (``old``)."""
    return target.with_name(f".{target.name}.hyperloader-{what}")
