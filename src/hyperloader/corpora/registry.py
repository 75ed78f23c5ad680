"""From folders to corpora: which file is which part, and which folder which task.

A corpus is a folder with one file, or one folder with ``seq.in`` and ``seq.out``, for each of its
parts. The name says the part: ``train``, ``training``; ``validation``, ``valid``, ``val``,
``dev``, ``eval``; ``test``, ``testing``; before it anything that ends in no letter and MIT's
``eng`` and ``restaurant``, behind it a language code (``train-en``, ``eval-de_DE``).
"""

import re
from collections.abc import Sequence
from pathlib import Path

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.readers import EXTENSIONS, is_seq_folder, read_part
from hyperloader.corpora.readers.source import read_text, split_lines
from hyperloader.corpora.splits import draw_validation, hold_out
from hyperloader.errors import DataError, unknown
from hyperloader.types import Example

VALIDATION_INDICES = "valid_indices_sz128.txt"

_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "eval": "validation",
    "test": "test",
    "testing": "test",
}
_NAME = re.compile(
    rf"(?:.*[^a-z]|eng|restaurant)?({'|'.join(_WORDS)})(?:[-_.][a-z]{{2}}(?:[-_][a-z]{{2}})?)?"
)
# A file of another extension (notes.txt, labels.json) may lie in a corpus folder unread.
_ALWAYS_DATA = (".conll", ".bio", ".iob", ".iob2", ".tsv", ".jsonl", ".ndjson")

Parts = dict[str, tuple[Example, ...]]


def part_of(path: Path) -> str | None:
    """The part that a file's or folder's name says, or None."""
    name = path.name if path.is_dir() else path.stem
    match = _NAME.fullmatch(name.lower())
    return _WORDS[match[1]] if match else None


def find_parts(folder: Path) -> dict[str, Path]:
    """The file or folder of each part of a corpus folder (none: no corpus).

    Raises DataError when two claim the same part or a data file claims none.
    """
    parts: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")) or path.name == VALIDATION_INDICES:
            continue
        if not (is_seq_folder(path) if path.is_dir() else path.suffix.lower() in EXTENSIONS):
            continue
        part = part_of(path)
        if part is None:
            if path.is_dir() or path.suffix.lower() in _ALWAYS_DATA:
                raise DataError("the name says neither train, validation nor test; rename it", path)
        elif part in parts:
            raise DataError(f"{parts[part].name} is the {part} part too; keep one of them", path)
        else:
            parts[part] = path
    return {part: parts[part] for part in SPLITS if part in parts}


def read_parts(path: Path, name: str | None = None) -> Parts:
    """The parts that lie in a corpus folder or in one file, by name; nothing is drawn.

    One file, or one folder with ``seq.in``, is the part its name says, ``train`` otherwise.
    """
    if not path.exists():
        raise DataError("no such file or folder", path)
    task = name or corpus_name(path)
    if is_single_part(path):
        return {part_of(path) or "train": read_part(path, task)}
    found = find_parts(path)
    if not found:
        extensions = " ".join(EXTENSIONS)
        wanted = f"files named train, valid, test with an extension of {extensions}"
        raise DataError(f"no corpus: looked for {wanted}, or folders with seq.in and seq.out", path)
    parts = {part: read_part(source, task) for part, source in found.items()}
    return _apply_indices(parts, path / VALIDATION_INDICES)


def is_single_part(path: Path) -> bool:
    """Whether ``path`` is one part (a file, a folder with ``seq.in``), not a corpus folder."""
    return path.is_file() or is_seq_folder(path)


def corpus_name(path: Path) -> str:
    """The folder's name; of a file that is named after its part, the folder it lies in."""
    path = path.resolve()
    if is_single_part(path):
        if part_of(path):
            return path.parent.name
        return path.stem if path.is_file() else path.name
    return path.name


def load_corpus(
    path: Path, name: str | None = None, *, seed: int = 42, require: Sequence[str] = ("train",)
) -> Corpus:
    """The corpus in a folder or a single file, its format detected.

    Without a validation part, the training sentences that ``valid_indices_sz128.txt`` numbers
    become it; without that file, a tenth of them drawn by ``seed``. A part that is absent is
    empty. Raises DataError for what cannot be read and when a part of ``require`` is absent.
    """
    path = Path(path)
    parts = read_parts(path, name)
    for part in require:
        if part not in parts:
            found = ", ".join(parts)
            raise DataError(f"no {part} part (found: {found}); name a file {part}", path)
    if "train" in parts and "validation" not in parts:
        indices = draw_validation(len(parts["train"]), seed)
        parts["train"], parts["validation"] = hold_out(parts["train"], indices)
    return Corpus(name or corpus_name(path), {part: parts.get(part, ()) for part in SPLITS})


def load_corpora(
    root: Path,
    tasks: Sequence[str] | None = None,
    *,
    seed: int = 42,
    require: Sequence[str] = ("train",),
) -> dict[str, Corpus]:
    """The corpora below ``root``, sorted by name: one folder a task, or ``root`` itself.

    ``tasks`` picks some by folder name (none named: all). Raises DataError for a missing folder,
    a folder without a task, an unknown task and whatever ``load_corpus`` raises.
    """
    root = Path(root)
    if not root.exists():
        raise DataError("no such file or folder", root)
    if is_single_part(root) or find_parts(root):
        folders = {corpus_name(root): root}
    else:
        folders = {
            folder.name: folder
            for folder in sorted(root.iterdir())
            if folder.is_dir() and not folder.name.startswith((".", "_"))
        }
    if not folders:
        raise DataError("no task: looked for one folder a task", root)
    for task in tasks or ():
        if task not in folders:
            raise DataError(unknown("task", task, folders), root)
    chosen = sorted(set(tasks or folders))
    return {name: load_corpus(folders[name], name, seed=seed, require=require) for name in chosen}


def _apply_indices(parts: Parts, path: Path) -> Parts:
    """``parts`` with the training sentences that an index file numbers (from 0) as validation."""
    if not path.exists():
        return parts
    if "train" not in parts or "validation" in parts:
        raise DataError("needs a training part and no other validation part beside it", path)
    size = len(parts["train"])
    indices: set[int] = set()
    for line, row in enumerate(split_lines(read_text(path)), start=1):
        if not row.strip().isdecimal() or int(row) >= size:
            raise DataError(f"{row!r} is not the number of one of {size} sentences", path, line)
        if int(row) in indices:
            raise DataError(f"number {int(row)} occurs twice", path, line)
        indices.add(int(row))
    parts["train"], parts["validation"] = hold_out(parts["train"], sorted(indices))
    return {part: parts[part] for part in SPLITS if part in parts}
