"""Corpora as files. What is written reads back as the same sentences, or nothing is written."""

import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from hyperloader.corpora.corpus import SPLITS
from hyperloader.corpora.formats import FORMATS, Files, Format, written
from hyperloader.corpora.formats.format import character_spans, surface
from hyperloader.corpora.formats.seq import INTENT, TAGS, WORDS
from hyperloader.corpora.parts import read_part
from hyperloader.errors import DataError, unknown
from hyperloader.types import Example

SEQ_FILES = (WORDS, TAGS, INTENT)

Losses = Counter[str]
"""How many sentences lost what: ``text``, ``offsets``, ``intent``, ``words``."""


def write_corpus(
    parts: Mapping[str, Sequence[Example]],
    target: Path,
    to: str,
    *,
    force: bool = False,
    lossy: bool = False,
) -> Losses:
    """Write each part below the folder ``target``, all or nothing; what was lost, if ``lossy``.

    Raises DataError when a sentence does not fit the format, when ``target`` exists without
    ``force``, and when it holds anything but corpus files with it.
    """
    files: Files = {}
    losses: Losses = Counter()
    for part in parts:
        rendered, lost = render_part(parts[part], to, part, lossy=lossy)
        losses += lost
        for suffix, data in rendered.items():
            files[part + suffix] = data
    _replace(files, target, force)
    return losses


def write_part(
    examples: Sequence[Example],
    target: Path,
    to: str,
    *,
    force: bool = False,
    lossy: bool = False,
) -> Losses:
    """Write one part as the file ``target`` (for some formats a folder). As write_corpus."""
    files, losses = render_part(examples, to, target.name, lossy=lossy)
    if FORMATS[to].folder and "" not in files and len(files) > 1:
        _replace({name[1:]: data for name, data in files.items()}, target, force)
        return losses
    ((extension, data),) = files.items()
    if target.suffix.lower() != extension and not _reads_as(data, target, examples, to):
        raise DataError(
            f"would not be read as {to}; name the file {target.stem}{extension}", target
        )
    _replace({"": data}, target, force)
    return losses


def render_part(
    examples: Sequence[Example], to: str, where: str, *, lossy: bool = False
) -> tuple[Files, Losses]:
    """The files of one part in format ``to``, and what sentences lose by it (if ``lossy``).

    The files are read back. Raises DataError that names the first sentence, ``where`` and its
    number from 1, whose spans would not come back, or, unless ``lossy``, anything else of it.
    """
    form = written().get(to)
    if form is None:
        raise DataError(unknown("format to write", to, written()))
    try:
        files = _rendered(form, examples)
        found: list[list[str]] | None = _read_back(form, files, examples)
    except (ValueError, DataError):
        found = None
    if found is None:  # some sentence does not come back: each by itself, to name the first
        found = [_lost_alone(form, example, where, i) for i, example in enumerate(examples, 1)]
        raise DataError(f"{where}: its sentences would not read back from one {to} file")
    losses: Losses = Counter()
    for number, (example, lost) in enumerate(zip(examples, found, strict=True), start=1):
        fatal = [field for field in lost if field == "spans" or field in form.holds]
        if fatal or (lost and not lossy):
            advice = "write jsonl, which holds everything"
            advice += "" if fatal else ", or accept the loss with --lossy"
            what = f"it would change its {' and '.join(lost)}"
            raise DataError(f"{_named(example, where, number, to)}: {what}; {advice}")
        losses.update(lost)
    return files, losses


def _rendered(form: Format, examples: Sequence[Example]) -> Files:
    assert form.write is not None, form.name
    return form.write(examples)


def _named(example: Example, where: str, number: int, to: str) -> str:
    start = " ".join(example.words)[:40]
    return f"{where} sentence {number} ({start!r}) does not fit {to}"


def _lost_alone(form: Format, example: Example, where: str, number: int) -> list[str]:
    """What one sentence loses by itself. Raises DataError when it does not read back."""
    try:
        found = _read_back(form, _rendered(form, [example]), [example])
        reason = "it would not read back as one sentence"
    except (ValueError, DataError) as error:
        found, reason = None, f"it would not read back ({error})"
    if found is None:
        advice = "write jsonl, which holds everything"
        raise DataError(f"{_named(example, where, number, form.name)}: {reason}; {advice}")
    return found[0]


def _read_back(form: Format, files: Files, examples: Sequence[Example]) -> list[list[str]] | None:
    """What each sentence would lose, by reading files back; None when their number differs."""
    if not examples:
        return []
    with tempfile.TemporaryDirectory(prefix="hyperloader.") as work:
        for name, data in files.items():
            path = Path(work, "train" + name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        place = Path(work, "train" + next(iter(files))) if "" not in files else Path(work, "train")
        place = Path(work, "train") if Path(work, "train").is_dir() else place
        back, reading = read_part(place, examples[0].task)
    if reading.format != form.name:
        raise ValueError(f"it would be read as {reading.format}")
    if len(back) != len(examples):
        return None
    return [_lost(wanted, found) for wanted, found in zip(examples, back, strict=True)]


def _reads_as(data: bytes, target: Path, examples: Sequence[Example], to: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="hyperloader.") as work:
        path = Path(work, target.name)
        path.write_bytes(data)
        try:
            back, reading = read_part(path, examples[0].task)
        except DataError:
            return False
    return reading.format == to and len(back) == len(examples)


def _lost(wanted: Example, found: Example) -> list[str]:
    """What differs between a sentence and what was read back: words, spans, intent, text, offsets.

    Where other words were read, the spans are compared by their characters.
    """
    lost = []
    (text, offsets), (text_found, offsets_found) = surface(wanted), surface(found)
    if wanted.words != found.words:
        lost.append("words")
        same = text == text_found and character_spans(wanted) == character_spans(found)
    else:
        same = wanted.spans == found.spans
    if not same:
        lost.append("spans")
    if wanted.intent != found.intent:
        lost.append("intent")
    if text != text_found:
        lost.append("text")
    if wanted.words == found.words and offsets != offsets_found:
        lost.append("offsets")
    return lost


def _replace(files: Files, target: Path, force: bool) -> None:
    """Write files by their names below ``target`` ("": target itself) and move them in place."""
    if target.exists() and not force:
        raise DataError("exists already; name another place or add --force", target)
    if target.exists() and target.is_file() != ("" in files):
        raise DataError(f"is a {'file' if target.is_file() else 'folder'}; name another", target)
    if target.is_dir():
        _check_only_corpus(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as work:
            fresh, old = Path(work, "new"), Path(work, "old")
            for name, data in files.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            _swap(fresh, target, old)
    except OSError as error:
        raise DataError(f"cannot be written ({error.strerror or error})", target) from error


def _swap(fresh: Path, target: Path, old: Path) -> None:
    if not target.exists():
        os.replace(fresh, target)
        return
    # A folder that is not empty cannot be replaced in one step: aside first, back on failure.
    os.replace(target, old)
    try:
        os.replace(fresh, target)
    except OSError:
        os.replace(old, target)
        raise


def _check_only_corpus(folder: Path) -> None:
    """Refuse to replace a folder that holds anything this module does not write."""
    suffixes = {suffix for found in written().values() for suffix in found.extensions}
    for path in sorted(folder.rglob("*")):
        inside = path.parent.name in SPLITS or folder.name in SPLITS
        known = (path.stem in SPLITS and path.suffix in suffixes) or (
            inside and (path.name in SEQ_FILES or _is_brat(path))
        )
        if not (known or (path.is_dir() and path.name in SPLITS)):
            raise DataError("not a corpus file; remove it, or name another place", path)


def _is_brat(path: Path) -> bool:
    """Whether a file is a text or its annotations, with the other one beside it."""
    both = (".ann", ".txt")
    return path.suffix in both and all(path.with_suffix(each).is_file() for each in both)
