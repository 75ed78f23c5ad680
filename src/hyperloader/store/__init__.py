"""Folders that are either complete or absent, in places where nothing of the user's is lost.

``writing`` writes them aside, hashed and synced, and renames them; ``manifest`` says what one
holds and finds every kind of damage; ``targets`` says where one may be written; ``reading`` reads
what somebody else may have made.
"""

from hyperloader.store.manifest import (
    LOCK,
    MANIFEST,
    Kind,
    Manifest,
    check_folder,
    read_manifest,
)
from hyperloader.store.reading import file_hash, read_bytes, read_json
from hyperloader.store.targets import check_names, check_parent, claim_file, claim_target
from hyperloader.store.writing import (
    atomic_folder,
    claimed,
    disk_error,
    left_of,
    remove_checkpoint,
    remove_checkpoints,
    write_text,
)

__all__ = [
    "LOCK",
    "MANIFEST",
    "Kind",
    "Manifest",
    "atomic_folder",
    "check_folder",
    "check_names",
    "check_parent",
    "claim_file",
    "claim_target",
    "claimed",
    "disk_error",
    "file_hash",
    "left_of",
    "read_bytes",
    "read_json",
    "read_manifest",
    "remove_checkpoint",
    "remove_checkpoints",
    "write_text",
]
