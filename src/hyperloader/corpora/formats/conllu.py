"""CoNLL-U with entities in its last column, MISC: ``name=B-PER``, ``NER=...`` or ``NE=...``.

Words are the syntactic words; rows of multiword tokens (1-2) and empty nodes (2.1) are passed
over. The comment ``# text = ...`` becomes the sentence's text where the words are found in it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from hyperloader.corpora.formats.format import Format, Guess
from hyperloader.corpora.reading.columns import Sentence, read_table
from hyperloader.corpora.reading.sentences import sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.tagging import Tagging
from hyperloader.tags import OUTSIDE, TagError, is_tag
from hyperloader.types import Example

WIDTH = 10


def _sniff(source: Source) -> Guess | None:
    if not source.is_text:
        return None
    rows = [row for row in source.rows if not row[0].startswith("#")]
    if not rows or any(len(row) != WIDTH for row in rows[:50]) or is_tag(rows[0][-1]):
        return None
    if not all(re.fullmatch(r"\d+([-.]\d+)?", row[0]) for row in rows[:50]):
        return None
    key = _entity_key(row[-1] for row in rows)
    if key is None:
        return Guess(0.3, "it has ten columns, the first of which numbers the words")
    return Guess(0.95, f"it has ten columns, and tags at {key!r} in the last")


def _read(source: Source) -> Sequence[Example]:
    table = read_table(source, width=WIDTH)
    key = _entity_key(row.fields[-1] for found in table.sentences for row in found.rows)
    if key is None:
        raise source.error(
            "CoNLL-U without entities: looked for tags such as name=B-PER in the last column; "
            "if another column has them, set the reading options format=conll and tag"
        )
    for found in table.sentences:
        plain = [row for row in found.rows if row.fields[0].isdecimal()]
        source.notes.add(
            "rows of multiword tokens and empty nodes, which are passed over",
            found.rows[0].line,
            len(found.rows) - len(plain),
        )
        found.rows = plain
    sentences = [found for found in table.sentences if found.rows]
    tags = [[_misc(cell).get(key, OUTSIDE) for cell in found.column(-1)] for found in sentences]
    tagging = Tagging(source, tags)
    examples = []
    for found, marks in zip(sentences, tags, strict=True):
        words = found.column(1)
        text, offsets = _surface(found, words)
        try:
            spans = tagging.spans(marks, found.rows[0].line)
            examples.append(sentence(words, spans, source.task, text=text, offsets=offsets))
        except TagError as error:
            raise source.error(error, found.rows[error.index].line) from error
        except ValueError as error:
            raise source.error(error, found.rows[0].line) from error
    return examples


def _misc(cell: str) -> dict[str, str]:
    pairs = (pair.partition("=") for pair in cell.split("|"))
    return {key: value for key, equals, value in pairs if equals}


def _entity_key(cells: Iterable[str]) -> str | None:
    """The key whose values are all tags, of several the commonest."""
    values: dict[str, Counter[str]] = {}
    for cell in cells:
        for key, value in _misc(cell).items():
            values.setdefault(key, Counter())[value] += 1
    keys = [key for key, found in values.items() if all(map(is_tag, found))]
    return max(keys, key=lambda key: values[key].total(), default=None)


def _surface(
    found: Sentence, words: Sequence[str]
) -> tuple[str | None, list[tuple[int, int]] | None]:
    """The text of a sentence's comment and the places of its words in it, if they are there."""
    texts = [c.partition("=")[2].strip() for c in found.comments if c.startswith("# text =")]
    if not texts:
        return None, None
    offsets, place = [], 0
    for word in words:
        start = texts[-1].find(word, place)
        if start < 0 or texts[-1][place:start].strip():
            return None, None
        place = start + len(word)
        offsets.append((start, place))
    return (texts[-1], offsets) if place == len(texts[-1]) else (None, None)


FORMAT = Format(
    name="conllu",
    description="CoNLL-U with tags in the last column (name=B-PER, NER=B-PER or another key)",
    extensions=(".conllu", ".conll", ".txt", ".tsv"),
    example="1\tplay\tplay\tVERB\t_\t_\t0\troot\t_\tname=O\n"
    "2\tabba\tabba\tPROPN\t_\t_\t1\tobj\t_\tname=B-artist",
    sniff=_sniff,
    read=_read,
)
