"""Corpora as files. What is written reads back as the same examples, or nothing is written."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hyperloader.corpora.corpus import SPLITS
from hyperloader.corpora.readers import FORMATS, detect_format
from hyperloader.corpora.readers.offsets import split_words
from hyperloader.corpora.readers.seq import INTENT, TAGS, WORDS, parse_seq
from hyperloader.errors import DataError, unknown
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example

Files = dict[str, str]
"""Texts by what follows the part's name: ``.bio``, or ``/seq.in``, ``/seq.out``, ``/label``."""


@dataclass(frozen=True, slots=True)
class Writer:
    """``render`` makes the files of one part, ``parse`` reads them back."""

    render: Callable[[Sequence[Example]], Files]
    parse: Callable[[Files, str], tuple[Example, ...]]


def _seq(examples: Sequence[Example]) -> Files:
    lines: dict[str, list[str]] = {WORDS: [], TAGS: [], INTENT: []}
    for example in examples:
        lines[WORDS].append(" ".join(example.words))
        lines[TAGS].append(" ".join(spans_to_bio(example.spans, len(example.words))))
        lines[INTENT].append(example.intent or "")
    if not any(lines[INTENT]):
        del lines[INTENT]
    return {f"/{name}": "".join(f"{row}\n" for row in rows) for name, rows in lines.items()}


def _columns(tag_first: bool) -> Callable[[Sequence[Example]], Files]:
    def render(examples: Sequence[Example]) -> Files:
        rows = []
        for example in examples:
            tags = spans_to_bio(example.spans, len(example.words))
            for pair in zip(example.words, tags, strict=True):
                rows.append("\t".join(reversed(pair) if tag_first else pair))
            rows.append("")
        return {".bio" if tag_first else ".conll": "".join(f"{row}\n" for row in rows)}

    return render


def _own(example: Example) -> dict[str, Any]:
    spans = [{"start": s.word_start, "end": s.word_end, "label": s.label} for s in example.spans]
    return {
        "words": example.words,
        "spans": spans,
        "text": example.text,
        "offsets": example.offsets,
    }


def _prodigy(example: Example) -> dict[str, Any]:
    text, places = _surface(example)
    spans = [
        {
            "start": places[s.word_start][0],
            "end": places[s.word_end - 1][1],
            "token_start": s.word_start,
            "token_end": s.word_end - 1,  # inclusive in Prodigy
            "label": s.label,
        }
        for s in example.spans
    ]
    tokens = [
        {"text": word, "start": start, "end": end, "id": i, "ws": text[end : end + 1] == " "}
        for i, (word, (start, end)) in enumerate(zip(example.words, places, strict=True))
    ]
    return {"text": text, "tokens": tokens, "spans": spans, "answer": "accept"}


def _jsonl(record: Callable[[Example], dict[str, Any]]) -> Callable[[Sequence[Example]], Files]:
    def render(examples: Sequence[Example]) -> Files:
        rows = [{**record(example), "intent": example.intent} for example in examples]
        kept = [{key: value for key, value in row.items() if value is not None} for row in rows]
        return {".jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept)}

    return render


def _one_file(name: str) -> Callable[[Files, str], tuple[Example, ...]]:
    parse = FORMATS[name].parse
    return lambda files, task: parse(next(iter(files.values())), Path("written"), task)


def _parse_seq(files: Files, task: str) -> tuple[Example, ...]:
    return parse_seq({name[1:]: text for name, text in files.items()}, Path("written"), task)


WRITERS = {
    "seq": Writer(_seq, _parse_seq),
    "bio": Writer(_columns(tag_first=True), _one_file("bio")),
    "conll": Writer(_columns(tag_first=False), _one_file("conll")),
    "jsonl": Writer(_jsonl(_own), _one_file("jsonl")),
    "prodigy": Writer(_jsonl(_prodigy), _one_file("prodigy")),
}


def render_part(examples: Sequence[Example], to: str, where: str) -> Files:
    """The files of one part in format ``to``.

    Raises DataError that names the first example, ``where`` and its number from 1, that would
    not read back the same.
    """
    if to not in WRITERS:
        raise DataError(unknown("format to write", to, WRITERS))
    writer = WRITERS[to]
    for number, example in enumerate(examples, start=1):
        lost = _loss(example, writer)
        if lost:
            start = " ".join(example.words)[:40]
            message = f"{where} sentence {number} ({start!r}) does not fit {to}: {lost}"
            raise DataError(f"{message}; write jsonl, which holds everything")
    return writer.render(examples)


def write_corpus(
    parts: Mapping[str, Sequence[Example]], target: Path, to: str, *, force: bool = False
) -> None:
    """Write each part below the folder ``target``, all or nothing.

    Raises DataError when an example does not fit the format, when ``target`` exists without
    ``force``, and when it holds anything but corpus files with it.
    """
    files: Files = {}
    for part in parts:
        for suffix, text in render_part(parts[part], to, part).items():
            files[part + suffix] = text
    _replace(files, target, force)


def write_part(examples: Sequence[Example], target: Path, to: str, *, force: bool = False) -> None:
    """Write one part as the file ``target`` (for ``seq`` a folder). Raises as write_corpus."""
    files = render_part(examples, to, target.name)
    if to == "seq":
        _replace({name[1:]: text for name, text in files.items()}, target, force)
        return
    (extension, text) = next(iter(files.items()))
    if FORMATS[detect_format(text, target)].parse is not FORMATS[to].parse:
        raise DataError(
            f"would not be read as {to}; name the file {target.stem}{extension}", target
        )
    _replace({"": text}, target, force)


def _plain(example: Example) -> Example:
    """The example without text and offsets when the words say them."""
    joined = " ".join(example.words)
    if example.text == joined and example.offsets == tuple(split_words(joined)[1]):
        return replace(example, text=None, offsets=None)
    return example


def _surface(example: Example) -> tuple[str, tuple[tuple[int, int], ...]]:
    if example.text is not None and example.offsets is not None:
        return example.text, example.offsets
    joined = " ".join(example.words)
    return joined, tuple(split_words(joined)[1])


def _loss(example: Example, writer: Writer) -> str | None:
    """What of an example a format would lose, or None."""
    try:
        # Through bytes, as a file would: lone surrogates and a leading byte order mark show here.
        files = {
            name: text.encode().decode("utf-8-sig")
            for name, text in writer.render([example]).items()
        }
        back = writer.parse(files, example.task)
    except (DataError, ValueError) as error:
        return f"it would not read back ({error})"
    if len(back) != 1:
        return f"it would read back as {len(back)} sentences"
    wanted, found = _plain(example), _plain(back[0])
    fields = ("words", "spans", "intent", "text", "offsets")
    lost = [name for name in fields if getattr(wanted, name) != getattr(found, name)]
    return f"it would change its {' and '.join(lost)}" if lost else None


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
            for name, text in files.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text.encode())
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
    names = {WORDS, TAGS, INTENT}
    suffixes = (".bio", ".conll", ".jsonl")
    for path in sorted(folder.rglob("*")):
        known = path.name in names or (path.stem in SPLITS and path.suffix in suffixes)
        if not (known or (path.is_dir() and path.name in SPLITS)):
            raise DataError("not a corpus file; remove it, or name another place", path)
