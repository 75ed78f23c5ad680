"""Labelled sentences out of plain text: of what kind names and nouns are, as the text says itself.

Text defines things: "Tunja is a city on the Eastern Ranges" in an encyclopedia, "jet, jet plane:
an airplane powered by jet engines" in a dictionary. The last noun of such a phrase is a kind. Where
the text mentions such a thing again, it is a span with its kind as label: more than a thousand
labels that nobody has annotated, for a tagger that is to be asked for new ones by their names. What
is labelled is right most of the time, and many nouns are not labelled at all.
"""

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import DataError
from hyperloader.pretraining.text import find_files, read_lines
from hyperloader.types import Example, Span
from hyperloader.words import split_words
from hyperloader.yamls import load_yaml

KINDS, CLASSES = "kinds", "classes"
RULE = "text"
# A kind must have so many members, and a member's definitions must agree to this share.
FEWEST_MEMBERS, AGREEMENT = 10, 0.8
# About so many lines, spread over all of the text, are looked through for mentions.
LINES = 800_000
SHORTEST, LONGEST, LONGEST_TERM = 4, 48, 8  # words
HELD_OUT = 20  # one sentence in this many is for validation

_ARTICLE = r"(?:an?|the|any|any of (?:various|several|numerous)|one of the|various|several)"
_ENTRY = re.compile(r"(?P<terms>[^:.!?]{2,80}): (?P<said>.{5,400})")
_SMALL = "(?:of|the|and|de|la|von|van|in|for|on|at|to|a|an|&)"
_NAME = rf"[A-Z][\w'.&-]*(?: (?:{_SMALL} )*[A-Z\d][\w'.&-]*){{0,6}}"
_STATEMENT = re.compile(
    rf"(?:The )?(?P<term>{_NAME})(?: \([^()]*\))? (?:is|was|are|were) {_ARTICLE} (?P<said>[^.;?!]+)"
    r"(?![^.]*\?)"
)
_NOUN_PHRASE = re.compile(rf"(?:\([^)]*\) )?{_ARTICLE} (?P<said>.+)")
_TOKEN = re.compile(r"[\w'-]+|[,;.()]")
_KIND = re.compile(r"[a-z][a-z-]{2,}")
_PARTICIPLE = re.compile(r".{3,}(?:ed|ing)")
_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_LISTS: dict[str, Any] = load_yaml(Path(__file__).with_suffix(".yaml").read_bytes())
_NO_NAME, _ENDS, _GROUPS, _EMPTY = (
    frozenset(_LISTS[name]) for name in ("no_name", "ends", "groups", "empty")
)
_CLASS_OF = {kind: name for name, kinds in _LISTS["classes"].items() for kind in kinds}
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
# Seen in the writing alone, in this order.
_SHAPES = {
    "date": rf"(?:\d{{1,2}} )?{_MONTH}(?: \d{{1,2}}\b(?:st|nd|rd|th)?)?(?:,? \d{{4}}\b)?",
    "price": r"[$£€] ?\d(?:[\d,.]*\d)?(?: (?:million|billion|thousand))?",
    "percentage": r"\d[\d.,]* ?(?:%|percent\b|per cent\b)",
    "year": r"\b(?:1[5-9]|20)\d\d\b",
    "number": r"\b\d+(?:[.,]\d+)*\b",
}
_SHAPE = re.compile("|".join(f"(?P<{name}>{shape})" for name, shape in _SHAPES.items()))


@dataclass(frozen=True, slots=True)
class Definition:
    """What a line says: of which ``kind`` the ``terms`` are; None: nothing that helps.

    ``name``: the terms are names in a sentence, not entries of a dictionary.
    """

    terms: tuple[str, ...]
    kind: str | None
    name: bool


def definition(line: str) -> Definition | None:
    """What ``line`` defines, or None.

    Examples:
        >>> definition("Tunja (population 172,548) is a small city on the Eastern Ranges.")
        Definition(terms=('Tunja',), kind='city', name=True)
        >>> definition("jet, jet plane: an airplane powered by one or more jet engines")
        Definition(terms=('jet', 'jet plane'), kind='airplane', name=False)
    """
    if (found := _STATEMENT.match(line)) and found["term"].split(" ")[0] not in _NO_NAME:
        return Definition((found["term"],), _head(found["said"]), name=True)
    if found := _ENTRY.fullmatch(line):
        phrase = _NOUN_PHRASE.fullmatch(found["said"])
        kind = _head(phrase["said"]) if phrase else None
        return Definition(tuple(found["terms"].split(", ")), kind, name=False)
    return None


def read_kinds(lines: Iterable[str]) -> dict[str, str]:
    """The kind of every term that ``lines`` define, by the term's words.

    A term that is defined as several kinds is left out, and so are kinds with few members.
    """
    said: dict[str, Counter[str | None]] = defaultdict(Counter)
    for line in lines:
        if (found := definition(line)) is None:
            continue
        for term in found.terms:
            words = _words(term)
            # A name of one word may be another's, and a word of three letters almost anything.
            short = max(map(len, words), default=0) < 3
            short |= len(words) < 2 and (found.name or len(term) < 4)
            if len(words) <= LONGEST_TERM and not short:
                said[" ".join(words)][found.kind] += 1
    kinds = {}
    for term, counts in said.items():
        kind, count = counts.most_common(1)[0]
        if kind and count >= AGREEMENT * counts.total():
            kinds[term] = kind
    members = Counter(kinds.values())
    return {term: kind for term, kind in kinds.items() if members[kind] >= FEWEST_MEMBERS}


def labelled_sentences(
    text: Path, most: int = 30, console: Console | None = None
) -> dict[str, Corpus]:
    """Two corpora out of the files in ``text``.

    ``kinds`` has a label for each kind of thing, ``classes`` five for what many of these are
    (person, location, …) and dates, prices, percentages, years and numbers. Sentences in which a
    name has no label are left out, or it would be learnt that it is none. Others are taken as long
    as one of their labels has been met fewer than ``most`` times; of the classes, twenty times as
    often.

    Args:
        console: where it is shown how far this has come; None: nowhere.

    Raises:
        DataError: as :func:`~hyperloader.pretraining.text.find_files`, or nothing was found.
    """
    console = console or Console(quiet=True)
    lines = sum(1 for _ in _lines(text))
    one_in = max(1, lines // LINES)
    console.print(f"text: {lines:,} lines; reading definitions …")
    kinds = read_kinds(_lines(text))
    console.print(f"{len(kinds):,} terms of {len(set(kinds.values())):,} kinds; reading mentions …")
    taken: dict[str, list[Example]] = {KINDS: [], CLASSES: []}
    met: dict[str, Counter[str]] = {name: Counter() for name in taken}
    chosen = (line for line in _lines(text) if zlib.crc32(line.encode()) % one_in == 0)
    for words, by_kind, by_class in _sentences(chosen, kinds):
        for name, found, known, limit in (
            (KINDS, by_kind, [*by_kind, *by_class], most),
            (CLASSES, by_class, by_class, 20 * most),
        ):
            labels = {span.label for span in found}
            rare = any(met[name][label] < limit for label in labels)
            if rare and _names_known(words, known):
                met[name].update(labels)
                taken[name].append(Example(words, tuple(found), name))
    if not all(taken.values()):
        raise DataError(
            "defines too little (as in 'Tunja is a city'); give more text, of an encyclopedia "
            "or a dictionary",
            text,
        )
    return {name: _corpus(name, examples) for name, examples in taken.items()}


def mentions(
    words: Sequence[str], kinds: Mapping[str, str], longest: Mapping[str, int]
) -> list[Span]:
    """The longest terms among ``words``, from the left, written as they are defined.

    Args:
        longest: words of the longest term by its first word.
    """
    spans, at = [], 0
    while at < len(words):
        most = longest.get(words[at], 0)
        for end in range(min(at + most, len(words)), at, -1):
            kind = kinds.get(" ".join(words[at:end]))
            if kind and not _is_cut(words, at, end):
                spans.append(Span(at, end, kind))
                at = end - 1
                break
        at += 1
    return spans


def _sentences(
    lines: Iterable[str], kinds: Mapping[str, str]
) -> Iterator[tuple[tuple[str, ...], list[Span], list[Span]]]:
    """The words of every sentence that mentions a term, its spans by kind, and by class."""
    members, longest = set(kinds.values()), _longest(kinds)
    for line in lines:
        own = definition(line)
        for number, sentence in enumerate(_SENTENCES.split(line)):
            places = split_words(sentence, RULE)
            if not SHORTEST <= len(places) <= LONGEST:
                continue
            words = tuple(sentence[a:b] for a, b in places)
            spans = mentions(words, kinds, longest)
            if number == 0 and own and own.name and own.kind in members and not spans:
                spans = _own(words, own)
            if spans:
                yield words, spans, _classes(spans, sentence, places)


def _is_cut(words: Sequence[str], start: int, end: int) -> bool:
    """Whether ``words[start:end]`` is but a part of a longer name."""
    if not words[start][0].isupper():
        return False
    before = words[start - 1][0] if start > 1 else ""  # the first word has a capital anyway
    after = words[end][0] if end < len(words) else ""
    return before.isupper() or after.isupper()


def _names_known(words: Sequence[str], spans: Iterable[Span]) -> bool:
    """Whether every word with a capital but the first is in one of ``spans``."""
    known = {0, *(i for span in spans for i in range(span.word_start, span.word_end))}
    return all(i in known or word == "I" or not word[0].isupper() for i, word in enumerate(words))


def _head(said: str) -> str | None:
    """The last noun of the phrase that ``said`` begins with."""
    tokens = _TOKEN.findall(said)
    phrase: list[str] = []
    for token, coming in pairwise([*tokens, ""]):
        lower = token.lower()
        if lower == "of" and phrase and phrase[-1].lower() in _GROUPS:
            phrase = []
        elif not token[0].isalnum() or lower in _ENDS:
            break
        elif phrase and _PARTICIPLE.fullmatch(lower) and coming.lower() in _ENDS:
            break  # "a lamp consisting of"
        else:
            phrase.append(token)
    kind = phrase[-1] if phrase else ""
    return kind if _KIND.fullmatch(kind) and kind not in _EMPTY else None


def _own(words: Sequence[str], own: Definition) -> list[Span]:
    """The name that a sentence defines, where it stands at its beginning."""
    term = _words(own.terms[0])
    at = next((i for i in (0, 1) if list(words[i : i + len(term)]) == term), None)
    return [] if at is None or own.kind is None else [Span(at, at + len(term), own.kind)]


def _classes(spans: Iterable[Span], sentence: str, places: Sequence[tuple[int, int]]) -> list[Span]:
    """Spans of names by their classes, and what is seen in the writing, where nothing else is."""
    found = [
        Span(span.word_start, span.word_end, _CLASS_OF[span.label])
        for span in spans
        if span.label in _CLASS_OF and sentence[places[span.word_start][0]].isupper()
    ]
    starts = {start: i for i, (start, _) in enumerate(places)}
    ends = {end: i + 1 for i, (_, end) in enumerate(places)}
    taken = {i for span in spans for i in range(span.word_start, span.word_end)}
    for shape in _SHAPE.finditer(sentence):
        first, end = starts.get(shape.start()), ends.get(shape.end())
        if first is not None and end is not None and taken.isdisjoint(range(first, end)):
            found.append(Span(first, end, shape.lastgroup or ""))
    return sorted(found)


def _corpus(name: str, examples: Sequence[Example]) -> Corpus:
    parts: dict[str, list[Example]] = {"train": [], "validation": []}
    for example in examples:
        digest = zlib.crc32(" ".join(example.words).encode())
        parts["train" if digest % HELD_OUT else "validation"].append(example)
    return Corpus(name, {part: tuple(found) for part, found in parts.items() if found})


def _longest(kinds: Iterable[str]) -> dict[str, int]:
    longest: dict[str, int] = {}
    for term in kinds:
        words = term.split(" ")
        longest[words[0]] = max(len(words), longest.get(words[0], 0))
    return longest


def _lines(text: Path) -> Iterator[str]:
    for path in find_files(text).values():
        yield from (line for _, line in read_lines(path))


def _words(term: str) -> list[str]:
    return [term[a:b] for a, b in split_words(term, RULE)]
