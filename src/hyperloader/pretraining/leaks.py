"""Whether validation or test sentences of the corpora stand in a pre-training text."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hyperloader.corpora.corpus import Corpus
from hyperloader.pretraining.text import find_files, read_lines

PARTS = ("validation", "test")
_NEITHER = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Leak:
    """A line of the text that equals a sentence of ``task``'s ``part``."""

    path: Path
    line: int
    text: str
    task: str
    part: str


@dataclass(slots=True)
class LeakReport:
    """What was compared and what was found. ``first`` keeps the first few leaks for showing."""

    sentences: int
    files: int = 0
    lines: int = 0
    equal: Counter[str] = field(default_factory=Counter)
    similar: Counter[str] = field(default_factory=Counter)
    first: list[Leak] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Lines of the text that equal an evaluation sentence, one way or the other."""
        return self.equal.total() + self.similar.total()


def normalised(text: str) -> str:
    """``text`` case-folded, with single spaces."""
    return " ".join(text.casefold().split())


def letters_and_digits(text: str) -> str:
    """What is left of ``text``, case-folded, without white space, punctuation and symbols."""
    return _NEITHER.sub("", text.casefold())


def find_leaks(
    text: Path, corpora: Mapping[str, Corpus], *, parts: Iterable[str] = PARTS, show: int = 10
) -> LeakReport:
    """Compare every line of the files in ``text`` with every evaluation sentence.

    A line leaks when it equals a sentence case-folded with single spaces (counted in ``equal``),
    or else when only letters and digits are kept of both (``similar``), each by task.
    """
    same: dict[str, tuple[str, str]] = {}
    alike: dict[str, tuple[str, str]] = {}
    for name, corpus in corpora.items():
        for part in parts:
            for example in corpus.splits.get(part, ()):
                # Some sources give the words lower-cased beside the text as it was.
                for form in {" ".join(example.words), example.text or ""} - {""}:
                    same.setdefault(normalised(form), (name, part))
                    if key := letters_and_digits(form):
                        alike.setdefault(key, (name, part))
    report = LeakReport(sentences=len(same))
    for path in find_files(text).values():
        report.files += 1
        for number, line in read_lines(path):
            report.lines += 1
            if found := same.get(normalised(line)):
                report.equal[found[0]] += 1
            elif found := alike.get(letters_and_digits(line)):
                report.similar[found[0]] += 1
            else:
                continue
            if len(report.first) < show:
                report.first.append(Leak(path, number, line, *found))
    return report
