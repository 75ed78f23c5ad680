"""What looks like a mistake in a corpus, as sentences for its owner."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.types import Example

SHOWN = 5

_ODD = {
    "\u00ad": "soft hyphen",
    "\u200b": "zero width space",
    "\u200c": "zero width non-joiner",
    "\u200d": "zero width joiner",
    "\u200e": "left-to-right mark",
    "\u200f": "right-to-left mark",
    "\u2060": "word joiner",
    "\ufeff": "byte order mark",
    "\ufffd": "replacement character",
}
# Between these, joiners are spelling (Persian, Indic scripts, emoji), no leftovers.
_JOINERS = "\u200c\u200d"


def oddities(corpus: Corpus) -> list[str]:
    """One sentence per kind of oddity; none for a corpus without."""
    return [
        *_alike_labels(corpus),
        *_labels_of_one_part(corpus),
        *_shared_sentences(corpus),
        *_without_spans(corpus),
        *_odd_characters(corpus),
        *_several_formats(corpus),
    ]


def _alike_labels(corpus: Corpus) -> Iterator[str]:
    """Labels that differ in case, in separators or in how Unicode composes their letters."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for label in corpus.labels():
        bare = unicodedata.normalize("NFKC", label).casefold()
        spellings[re.sub(r"[\s_\-./:]+", "", bare)].append(label)
    for labels in spellings.values():
        if len(labels) > 1:
            shown = ", ".join(label if label.isascii() else ascii(label) for label in labels)
            yield f"labels whose spellings look alike: {shown}"


def _labels_of_one_part(corpus: Corpus) -> Iterator[str]:
    """Labels that only one of several parts has; those never in train are noted elsewhere."""
    parts = [part for part in SPLITS if corpus.splits.get(part)]
    if len(parts) < 2 or "train" not in parts:
        return
    others = {label for part in parts if part != "train" for label in corpus.labels(part)}
    only = [label for label in corpus.labels("train") if label not in others]
    if only:
        yield f"labels that occur in train only: {_list(only)}"


def _shared_sentences(corpus: Corpus) -> Iterator[str]:
    words = {
        part: Counter(example.words for example in examples)
        for part, examples in corpus.splits.items()
    }
    for first, second in combinations(SPLITS, 2):
        known = words.get(first, Counter())
        both = sum(count for text, count in words.get(second, Counter()).items() if text in known)
        if both:
            yield f"{both:,} sentences of {second} are in {first} too"


def _without_spans(corpus: Corpus) -> Iterator[str]:
    for part, examples in corpus.splits.items():
        if examples and not any(example.spans for example in examples):
            yield f"no sentence of {part} has a labelled span"


def _odd_characters(corpus: Corpus) -> Iterator[str]:
    counts: Counter[str] = Counter()
    where: dict[str, tuple[str, int]] = {}
    for part, examples in corpus.splits.items():
        for number, example in enumerate(examples, start=1):
            for char in _odd(example):
                counts[char] += 1
                where.setdefault(char, (part, number))
    for char, count in counts.most_common():
        part, number = where[char]
        name = f"{_ODD[char]} (U+{ord(char):04X})"
        yield f"{count:,} sentences with a {name}, the first in {part} sentence {number:,}"


def _odd(example: Example) -> set[str]:
    text = " ".join(example.words)
    if text.isascii():
        return set()
    found = set(text) & _ODD.keys()
    if found & set(_JOINERS):
        ascii_joined = {
            char
            for before, char, after in zip(text, text[1:], text[2:], strict=False)
            if char in _JOINERS and before.isascii() and after.isascii()
        }
        found = (found - set(_JOINERS)) | ascii_joined
    return found


def _several_formats(corpus: Corpus) -> Iterator[str]:
    formats: Mapping[str, str] = {reading.part: reading.format for reading in corpus.readings}
    if len(set(formats.values())) > 1:
        listed = ", ".join(f"{part} {name}" for part, name in formats.items())
        yield f"parts in different formats: {listed}"


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
