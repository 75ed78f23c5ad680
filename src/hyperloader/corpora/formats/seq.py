"""The three parallel files of ATIS, SNIPS and mTOD: ``seq.in``, ``seq.out`` and ``label``.

Line i of ``seq.in`` holds the words, of ``seq.out`` their tags, of ``label`` the intent. Words
and tags are split on any white space (SNIPS has double and trailing spaces). ``label`` may be
absent or have empty lines: no intent. Blank lines at the end are ignored; a blank sentence
before the end is refused, since the files might have slipped against each other there.
"""

from collections.abc import Sequence

from hyperloader.corpora.formats.format import Files, Format, Guess
from hyperloader.corpora.reading.sentences import sentence
from hyperloader.corpora.reading.source import Source, split_lines
from hyperloader.corpora.reading.tagging import Tagging
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example

WORDS, TAGS, INTENT = "seq.in", "seq.out", "label"


def _sniff(source: Source) -> Guess | None:
    if not source.folder:
        return None
    found = [name for name in (WORDS, TAGS) if (source.path / name).is_file()]
    return Guess(1.0, f"it has {' and '.join(found)}") if found else None


def _read(source: Source) -> Sequence[Example]:
    files = [source.child(name) for name in (WORDS, TAGS, INTENT)]
    size = len(split_lines(files[0].text.rstrip()))
    has_intents = (source.path / INTENT).exists()
    words, tags = (_column(file, size) for file in files[:2])
    intents = _column(files[2], size) if has_intents else [""] * size
    tagging = Tagging(source, [line.split() for line in tags])
    examples = []
    for line, row in enumerate(zip(words, tags, intents, strict=True), start=1):
        examples.append(_sentence(files, line, row, tagging))
    return examples


def _column(source: Source, size: int) -> list[str]:
    lines = split_lines(source.text)
    if len(lines) < size:
        raise source.error(f"{len(lines)} lines, but {WORDS} has {size} sentences")
    for line, extra in enumerate(lines[size:], start=size + 1):
        if extra.strip():
            raise source.error(f"a line too many: {WORDS} has {size} sentences", line)
    return lines[:size]


def _sentence(
    files: Sequence[Source], line: int, row: tuple[str, str, str], tagging: Tagging
) -> Example:
    words, tags, intent = row[0].split(), row[1].split(), row[2].strip()
    if not words:
        raise files[0].error("an empty sentence; remove the line in all files", line)
    if len(words) != len(tags):
        raise files[1].error(f"{len(tags)} tags for the {len(words)} words of {WORDS}", line)
    try:
        return sentence(words, tagging.spans(tags, line), files[0].task, intent=intent)
    except ValueError as error:
        raise files[1].error(error, line) from error


def _write(examples: Sequence[Example]) -> Files:
    lines: dict[str, list[str]] = {WORDS: [], TAGS: [], INTENT: []}
    for example in examples:
        lines[WORDS].append(" ".join(example.words))
        lines[TAGS].append(" ".join(spans_to_bio(example.spans, len(example.words))))
        lines[INTENT].append(example.intent or "")
    if not any(lines[INTENT]):
        del lines[INTENT]
    return {
        f"/{name}": "".join(f"{row}\n" for row in rows).encode() for name, rows in lines.items()
    }


FORMAT = Format(
    name="seq",
    description="folders train, valid, test with seq.in, seq.out and, for intents, label",
    extensions=(),
    example="seq.in:  play abba\nseq.out: O B-artist",
    sniff=_sniff,
    read=_read,
    write=_write,
    holds=frozenset({"words", "intent"}),
    folder=True,
)
