"""The form of the MIT corpora: tag TAB word."""

from collections.abc import Sequence

from hyperloader.corpora.formats.conll import outer_tags, write_columns
from hyperloader.corpora.formats.format import Format, Guess
from hyperloader.corpora.reading.columns import read_columns, read_table
from hyperloader.corpora.reading.source import Source
from hyperloader.types import Example


def _sniff(source: Source) -> Guess | None:
    if not source.is_text or source.suffix in (".conll", ".json", ".jsonl", ".ndjson"):
        return None
    first, last = outer_tags(source)
    if first > last or (first and first == last and source.suffix == ".bio"):
        return Guess(0.3 + 0.6 * first, f"the first column is a tag in {first:.0%} of the lines")
    return Guess(0.1, "the extension .bio says so") if source.suffix == ".bio" else None


def _read(source: Source) -> Sequence[Example]:
    return [*read_columns(source, read_table(source, width=2, comments=False), word=1, tag=0)]


FORMAT = Format(
    name="bio",
    description="MIT form: tag TAB word, a blank line after each sentence",
    extensions=(".bio", ".txt", ".tsv"),
    example="O\tplay\nB-artist\tabba",
    sniff=_sniff,
    read=_read,
    write=lambda examples: write_columns(examples, ".bio", tag_first=True),
    holds=frozenset({"words"}),
)
