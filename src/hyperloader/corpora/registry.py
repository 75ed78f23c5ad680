"""From folders to corpora: which file is which part, and which folder which task.

A corpus is a folder with one file, or one folder such as one with ``seq.in``, for each of its
parts. The name says the part: see ``part_of``. A zip archive counts as the folder that it holds.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hyperloader.corpora.corpus import SPLITS, Corpus, Reading, Unused
from hyperloader.corpora.formats import extensions
from hyperloader.corpora.parts import is_part_folder, read_part
from hyperloader.corpora.reading.options import OPTIONS_FILE, ReadOptions
from hyperloader.corpora.reading.place import (
    Place,
    children,
    open_place,
    parent,
    plain_name,
    suffix_of,
)
from hyperloader.corpora.reading.source import Source
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
    "development": "validation",
    "devel": "validation",
    "dev": "validation",
    "eval": "validation",
    "testa": "validation",
    "testb": "test",
    "testing": "test",
    "test": "test",
}
_NAME = re.compile(
    rf"(?:.*[^a-z]|eng|restaurant)?({'|'.join(_WORDS)})(?:[-_.][a-z]{{2}}(?:[-_][a-z]{{2}})?)?"
)
_SHARD = re.compile(r"-\d{5}-of-\d{5}(-[0-9a-f]{16})?$")
# A file of another extension (notes.txt, labels.json) may lie in a corpus folder unread.
_ALWAYS_DATA = (".conll", ".conllu", ".bio", ".iob", ".iob2", ".tsv", ".jsonl", ".ndjson", ".spacy")

Parts = dict[str, tuple[Example, ...]]


def part_of(path: Place) -> str | None:
    """The part that a file's or folder's name says, or None.

    ``train``, ``training``; ``validation``, ``valid``, ``val``, ``dev``, ``devel``, ``eval``,
    CoNLL-2003's ``testa``; ``test``, ``testing``, ``testb``. Before it anything that ends in no
    letter, and MIT's ``eng`` and ``restaurant``; behind it a language code (``train-en``), the
    number of a shard (``train-00000-of-00002``), or an extension, which may be the part itself
    (``eng.testa``).
    """
    name = path.name if path.is_dir() else plain_name(path)
    suffix = "" if path.is_dir() else suffix_of(path)
    if suffix and suffix[1:] not in _WORDS:
        name = Path(name).stem
    match = _NAME.fullmatch(_SHARD.sub("", name.lower()))
    return _WORDS[match[1]] if match else None


def find_parts(folder: Place) -> tuple[dict[str, list[Place]], list[Unused]]:
    """The files or the folder of each part of a corpus folder (none: no corpus), and the rest.

    Raises DataError when two that are not shards claim the same part or a data file claims none.
    """
    parts: dict[str, list[Place]] = {}
    unused: list[Unused] = []
    nameless: list[Place] = []
    for path in children(folder):
        if path.name.startswith((".", "_")) or path.name in (VALIDATION_INDICES, OPTIONS_FILE):
            continue
        reason = _no_data(path)
        part = None if reason else part_of(path)
        if reason or part is None:
            if not reason and (path.is_dir() or suffix_of(path) in _ALWAYS_DATA):
                nameless.append(path)
            unused.append(Unused(path.name, reason or "its name says no part"))
        elif part in parts and not _are_shards(parts[part][0], path):
            raise DataError(
                f"{parts[part][0].name} is the {part} part too; keep one of them", str(path)
            )
        else:
            parts.setdefault(part, []).append(path)
    for path in nameless:
        if parts or path.is_file():  # else each such folder is a corpus of its own
            message = "the name says neither train, validation nor test"
            raise DataError(f"{message}; rename it, or give the file itself", str(path))
    return {part: parts[part] for part in SPLITS if part in parts}, unused


def _no_data(path: Place) -> str | None:
    """Why a file or folder cannot be a part, or None."""
    if path.is_dir():
        return None if is_part_folder(path) else "a folder without files of a known format"
    suffix = suffix_of(path)
    known = not suffix or suffix in extensions() or suffix[1:] in _WORDS
    return None if known else f"files with the extension {suffix} are not read"


def _are_shards(first: Place, second: Place) -> bool:
    stems = [Path(plain_name(path)).stem for path in (first, second)]
    if not all(map(_SHARD.search, stems)):
        return False
    return _SHARD.sub("", stems[0]) == _SHARD.sub("", stems[1])


def read_corpus(path: Path, name: str | None = None, options: ReadOptions | None = None) -> Corpus:
    """The parts that lie in a corpus folder or in one file, and no others; nothing is drawn.

    One file, or one folder with ``seq.in``, is the part its name says, ``train`` otherwise.
    """
    place = open_place(path)
    return _read(place, name or corpus_name(path), options or ReadOptions())


def _read(place: Place, task: str, options: ReadOptions) -> Corpus:
    if is_single_part(place):
        folder = place if place.is_dir() else parent(place)
        found: dict[str, list[Place]] = {part_of(place) or "train": [place]}
        unused: list[Unused] = []
    else:
        place = folder = _with_parts(place)
        found, unused = find_parts(folder)
    if not found:
        raise DataError(_no_corpus(unused), str(place))
    options = options.beside(folder)
    parts: Parts = {}
    readings: list[Reading] = []
    for part, paths in found.items():
        for path in paths:
            examples, reading = read_part(path, task, options, part=part)
            parts[part] = parts.get(part, ()) + examples
            readings.append(reading)
    if not is_single_part(place):
        parts = _apply_indices(parts, place / VALIDATION_INDICES)
    return Corpus(task, parts, tuple(readings), tuple(unused))


def _no_corpus(unused: Sequence[Unused]) -> str:
    wanted = f"files named train, valid, test with an extension of {' '.join(extensions())}"
    lying = ", ".join(file.path for file in unused[:5])
    there = f"; not read: {lying} (rename it, or give the file itself)" if lying else ""
    return (
        f"no corpus: looked for {wanted}, or folders with seq.in and seq.out, .ann or .arrow "
        f"files{there}"
    )


def _with_parts(folder: Place) -> Place:
    """The folder of the parts: ``data`` inside a folder that has none itself, as on the Hub."""
    inner = folder / "data"
    return inner if not find_parts(folder)[0] and inner.is_dir() else folder


def is_single_part(path: Place) -> bool:
    """Whether ``path`` is one part (a file, a folder with ``seq.in``), not a corpus folder."""
    return path.is_file() or is_part_folder(path)


def corpus_name(path: Path) -> str:
    """The folder's name; of a file that is named after its part, the folder it lies in."""
    path = path.resolve()
    if path.suffix.lower() == ".zip" and path.is_file():
        return path.stem
    if is_single_part(path):
        if part_of(path):
            return path.parent.name
        return Path(plain_name(path)).stem if path.is_file() else path.name
    return path.name


def load_corpus(
    path: Path,
    name: str | None = None,
    *,
    seed: int = 42,
    require: Sequence[str] = ("train",),
    options: ReadOptions | None = None,
) -> Corpus:
    """The corpus in a folder or a single file, its format recognised.

    If there is no validation part, the training sentences that ``valid_indices_sz128.txt`` numbers
    become it; without that file, a tenth of them drawn by ``seed``. A part that is absent is
    empty. Raises DataError for what cannot be read and when a part of ``require`` is absent.
    """
    return _complete(read_corpus(Path(path), name, options), path, seed, require)


def _complete(corpus: Corpus, path: Path | Place, seed: int, require: Sequence[str]) -> Corpus:
    parts = dict(corpus.splits)
    for part in require:
        if part not in parts:
            found = ", ".join(parts)
            raise DataError(f"no {part} part (found: {found}); name a file {part}", str(path))
    if "train" in parts and "validation" not in parts:
        indices = draw_validation(len(parts["train"]), seed)
        parts["train"], parts["validation"] = hold_out(parts["train"], indices)
    return replace(corpus, splits={part: parts.get(part, ()) for part in SPLITS})


def load_corpora(
    root: Path,
    tasks: Sequence[str] | None = None,
    *,
    seed: int = 42,
    require: Sequence[str] = ("train",),
    options: ReadOptions | None = None,
) -> dict[str, Corpus]:
    """The corpora below ``root``, sorted by name: one folder per task, or ``root`` itself.

    ``tasks`` picks some by folder name (none named: all); a root that is one corpus takes the one
    name given. Raises DataError for a missing folder, a folder without a task, an unknown task and
    whatever ``load_corpus`` raises.
    """
    root = Path(root)
    place = open_place(root)
    if _is_corpus(place):
        named = tasks[0] if tasks and len(tasks) == 1 else corpus_name(root)
        folders = {named: place}
    else:
        folders = {
            folder.name: folder
            for folder in children(place)
            if folder.is_dir() and not folder.name.startswith((".", "_"))
        }
    if not folders:
        unused = find_parts(place)[1]
        lying = ", ".join(file.path for file in unused[:5])
        there = f"; not read: {lying} (rename it, or give the file itself)" if lying else ""
        raise DataError(f"no task: looked for one folder per task{there}", root)
    for task in tasks or ():
        if task not in folders:
            raise DataError(unknown("task", task, folders), root)
    options = (options or ReadOptions()).beside(place) if place.is_dir() else options
    return {
        name: _complete(
            _read(folders[name], name, options or ReadOptions()), folders[name], seed, require
        )
        for name in sorted(set(tasks or folders))
    }


def _is_corpus(place: Place) -> bool:
    return is_single_part(place) or bool(find_parts(_with_parts(place))[0])


def _apply_indices(parts: Parts, path: Place) -> Parts:
    """``parts`` with the training sentences that an index file numbers (from 0) as validation."""
    if not path.exists():
        return parts
    if "train" not in parts or "validation" in parts:
        raise DataError(
            "needs a training part and no other validation part beside it; keep one of the two",
            str(path),
        )
    size = len(parts["train"])
    indices: set[int] = set()
    source = Source(path, "")
    for line, row in enumerate(source.lines, start=1):
        if not row.strip().isdecimal() or int(row) >= size:
            raise source.error(f"{row!r} is not the number of one of {size} sentences", line)
        if int(row) in indices:
            raise source.error(f"number {int(row)} occurs twice", line)
        indices.add(int(row))
    parts["train"], parts["validation"] = hold_out(parts["train"], sorted(indices))
    return {part: parts[part] for part in SPLITS if part in parts}
