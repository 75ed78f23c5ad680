"""Scoring predictions of any tool: a file of gold sentences and a file of the same ones, tagged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hyperloader.corpora.corpus import Reading
from hyperloader.errors import DataError
from hyperloader.evaluation.evaluate import read_sentences
from hyperloader.evaluation.metrics import Sentences, TaskScores, score_task
from hyperloader.tags import detect_scheme, is_tag, parse_tags, strict_spans
from hyperloader.types import Example


@dataclass(frozen=True, slots=True)
class IllFormed:
    """Spans that the default rule reads from tags that are not written out as their scheme wants.

    Attributes:
        spans: how many there are; the strict mode has none of them.
        right: how many of them are spans of the other file too.
    """

    spans: int
    right: int


@dataclass(frozen=True, slots=True)
class FileScores:
    """The scores of one file against another.

    Attributes:
        ill_formed: of each file that has tags; a file with spans has no ill-formed ones.
        readings: how the two files were read, and what was noticed.
    """

    gold: Path
    predicted: Path
    scores: TaskScores
    ill_formed: dict[str, IllFormed]
    readings: tuple[Reading, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What one should know before one believes the scores, a line for each; usually none."""
        lines = []
        for side, found in self.ill_formed.items():
            if found.spans:
                lines.append(
                    f"spans of {side} from ill-formed tags, such as an I- without its B-: "
                    f"{found.spans:,}, of which {found.right:,} agree with the other file; the "
                    "default mode reads them, the strict mode drops them"
                )
        lines += [f"{reading.path}: {note}" for reading in self.readings for note in reading.notes]
        return [*lines, *self.scores.undefined]

    def to_dict(self) -> dict[str, Any]:
        """What ``hyperloader score --json`` prints."""
        return {
            "gold": str(self.gold),
            "predicted": str(self.predicted),
            **self.scores.to_json(),
            "ill_formed": {
                side: {"spans": found.spans, "right": found.right}
                for side, found in self.ill_formed.items()
            },
            "notes": self.notes,
        }


def score_files(gold: str | Path, predicted: str | Path) -> FileScores:
    """Score the spans of one file against those of another.

    Each is a file, or a folder with ``seq.in`` and ``seq.out``, in any format that is read. They
    hold the same sentences, word for word and in the same order.

    Raises:
        DataError: a file cannot be read, or the sentences differ; the first that does is named.
    """
    paths = (Path(gold), Path(predicted))
    sides, readings = zip(*map(read_sentences, paths), strict=True)
    _check_same(paths[0], paths[1], sides[0], sides[1])
    default: list[Sentences] = [[e.spans for e in examples] for examples in sides]
    strict: list[Sentences] = []
    written: list[str] = []
    for name, path, examples in zip(("gold", "predicted"), paths, sides, strict=True):
        tags = _written_tags(path, examples)
        if tags is None:
            strict.append([e.spans for e in examples])
        else:
            scheme = detect_scheme(tags)
            strict.append([strict_spans(row, scheme=scheme) for row in tags])
            written.append(name)
    scores = score_task(
        paths[1].name,
        default[0],
        default[1],
        [len(e.words) for e in sides[0]],
        strict=(strict[0], strict[1]) if written else None,
    )
    ill_formed = {}
    for i, name in enumerate(("gold", "predicted")):
        if name in written:
            odd = [set(a) - set(b) for a, b in zip(default[i], strict[i], strict=True)]
            right = sum(len(a & set(b)) for a, b in zip(odd, default[1 - i], strict=True))
            ill_formed[name] = IllFormed(sum(map(len, odd)), right)
    sides_read = zip(readings, ("gold", "predicted"), strict=True)
    readings = tuple(replace(reading, part=part) for reading, part in sides_read)
    return FileScores(paths[0], paths[1], scores, ill_formed, readings)


def _check_same(
    gold: Path, predicted: Path, truth: Sequence[Example], guess: Sequence[Example]
) -> None:
    """Raise DataError that names the first sentence that differs."""
    advice = "give files with the same sentences, split into the same words, in the same order"
    for number, (one, other) in enumerate(zip_longest(truth, guess), start=1):
        if one is None or other is None:
            shorter, longer = (gold, predicted) if one is None else (predicted, gold)
            raise DataError(
                f"{longer} has {max(len(truth), len(guess)):,} sentences and {shorter} only "
                f"{min(len(truth), len(guess)):,}, all of them alike so far; {advice}"
            )
        for place, (word, another) in enumerate(zip_longest(one.words, other.words), start=1):
            if word != another:
                said = ["ends" if w is None else f"has {w!r}" for w in (word, another)]
                raise DataError(
                    f"sentence {number:,} differs at word {place}, where {gold} {said[0]} and "
                    f"{predicted} {said[1]}; {advice}"
                )


def _written_tags(path: Path, examples: Sequence[Example]) -> list[list[str]] | None:
    """The tags of every word as they are written in a file; None where it has spans, not tags.

    Readers give spans, by the CoNLL rule. To tell which of them are ill-formed the lines are read
    once more, and believed only where their tags give the spans that the reader gave.
    """
    source = path / "seq.out" if path.is_dir() else path
    try:
        lines = source.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError):
        return None
    if path.is_dir():
        rows = [line.split() for line in lines]
        rows = rows[: len(examples)]
    else:
        rows = _column_of_tags(lines, examples)
    if [len(row) for row in rows] != [len(e.words) for e in examples]:
        return None
    if not all(is_tag(tag) for row in rows for tag in row):
        return None
    same = all(parse_tags(row) == e.spans for row, e in zip(rows, examples, strict=True))
    return rows if same else None


def _column_of_tags(lines: Sequence[str], examples: Sequence[Example]) -> list[list[str]]:
    """The tag beside each word, last or first in its line; fewer where a word is not found."""
    fields = (line.split("\t") if "\t" in line else line.split() for line in lines)
    columns = [[f.strip() for f in row] for row in fields if len(row) > 1]
    last = sum(is_tag(row[-1]) for row in columns) >= sum(is_tag(row[0]) for row in columns)
    waiting = (row for row in columns if is_tag(row[-1] if last else row[0]))
    rows: list[list[str]] = []
    for example in examples:
        rows.append([])
        for word in example.words:
            for row in waiting:
                tag, rest = (row[-1], row[:-1]) if last else (row[0], row[1:])
                if word in rest:
                    rows[-1].append(tag)
                    break
    return rows
