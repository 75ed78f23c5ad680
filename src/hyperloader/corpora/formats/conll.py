"""CoNLL columns: word first, tag last, and the layouts that differ from it.

Columns before the word that number the words or say the same in every row of a sentence (a
document's id) are passed over. GermEval has two columns of tags, outer and nested: the outer one
is read. WikiANN has a language before every word (``en:Paris``). Any other column is chosen with
the reading options ``word`` and ``tag``.
"""

from collections.abc import Sequence

from hyperloader.corpora.formats.format import Files, Format, Guess
from hyperloader.corpora.reading.columns import (
    DOCUMENT,
    TAG_NAMES,
    WORD_NAMES,
    Table,
    is_counter,
    read_columns,
    read_table,
)
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.tagging import BARE, STANDARD, Spelling, spelling_of
from hyperloader.errors import DataError
from hyperloader.tags import OUTSIDE, is_tag, spans_to_bio
from hyperloader.types import Example


def outer_tags(source: Source) -> tuple[float, float]:
    """The shares of lines whose first and whose last column is a tag."""
    rows = [row for row in source.rows if row[0] != DOCUMENT]
    first, last = (sum(is_tag(row[i]) for row in rows) for i in (0, -1))
    return first / max(1, len(rows)), last / max(1, len(rows))


def _sniff(source: Source) -> Guess | None:
    if not source.is_text or source.suffix in (".json", ".jsonl", ".ndjson"):
        return None
    first, last = outer_tags(source)
    if last > first or (last and last == first and source.suffix != ".bio"):
        spelling = spelling_of(row[-1] for row in source.rows if row[0] != DOCUMENT)
        reason = f"the last column is a tag in {last:.0%} of the lines"
        if spelling is not None and spelling is not STANDARD:
            reason = _in_other_spelling(spelling)
        return Guess(0.3 + 0.6 * last, reason)
    if source.suffix == ".conll":
        return Guess(0.9 if first > last else 0.2, "the extension .conll says so")
    if first:
        return None
    try:
        table = read_table(source, tag=source.options.tag)
        tag = _tag_column(source, table)
    except (DataError, ValueError):
        return None  # of another kind, or with a fault that another format will name
    spelling = spelling_of(row.fields[tag] for found in table.sentences for row in found.rows)
    if spelling is None:
        return None
    if spelling is STANDARD:
        return Guess(0.8, f"column {tag + 1} holds tags")
    sure = 0.25 if spelling is BARE else 0.5
    return Guess(sure, _in_other_spelling(spelling))


def _in_other_spelling(spelling: Spelling) -> str:
    return f"the last column has tags in another spelling: {spelling.name}"


def _read(source: Source) -> Sequence[Example]:
    table = read_table(source, tag=source.options.tag)
    if not table.sentences:
        return []
    try:
        tag = _tag_column(source, table)
        word = _word_column(source, table, tag)
    except ValueError as error:
        raise source.error(error) from error
    return [*read_columns(source, table, word, tag)]


def _tag_column(source: Source, table: Table) -> int:
    told = source.options.tag is not None or table.named(TAG_NAMES) is not None
    if not told and _is_germeval(table):
        nested = sum(row.fields[3] != OUTSIDE for found in table.sentences for row in found.rows)
        source.notes.add(
            "words with a nested tag in the last column, which is not read", count=nested
        )
        return 2
    return table.tags(source.options.tag)


def _word_column(source: Source, table: Table, tag: int) -> int:
    if source.options.word is not None:
        return table.index(source.options.word)
    named = table.named(WORD_NAMES)
    if named is not None:
        return named
    if table.width < 3:
        return 0
    passed: list[str] = []
    for column in range(table.width):
        why = None if column == tag else _no_words(table, column)
        if why is None:
            break
        passed.append(f"{column + 1} ({why})")
    if not passed or column == tag:
        return 0
    source.notes.say(f"words are column {column + 1}; passed over: column {', '.join(passed)}")
    return column


def _no_words(table: Table, column: int) -> str | None:
    """Why a column cannot be that of the words, or None."""
    values = [found.column(column) for found in table.sentences]
    if all(map(is_counter, values)):
        return "it numbers the words"
    longer = [column for column in values if len(column) > 1]
    if longer and all(len(set(column)) == 1 for column in longer):
        return "it is the same in all rows of a sentence"
    return None


def _is_germeval(table: Table) -> bool:
    """Whether the columns are number, word, outer tag and nested tag."""
    return table.width == 4 and all(
        is_counter(found.column(0)) and all(map(is_tag, (*found.column(2), *found.column(3))))
        for found in table.sentences
    )


def write_columns(examples: Sequence[Example], extension: str, *, tag_first: bool) -> Files:
    """Two columns separated by a tab, a blank line after each sentence."""
    rows = []
    for example in examples:
        tags = spans_to_bio(example.spans, len(example.words))
        for pair in zip(example.words, tags, strict=True):
            rows.append("\t".join(reversed(pair) if tag_first else pair))
        rows.append("")
    return {extension: "".join(f"{row}\n" for row in rows).encode()}


FORMAT = Format(
    name="conll",
    description="columns: word first, tag last, a blank line after each sentence",
    extensions=(".conll", ".iob", ".iob2", ".txt", ".tsv", ".annotated"),
    example="play VB O\nabba NNP B-artist",
    sniff=_sniff,
    read=_read,
    write=lambda examples: write_columns(examples, ".conll", tag_first=False),
    holds=frozenset({"words"}),
)
