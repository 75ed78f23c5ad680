"""From a file or folder to the sentences of one part: which format it has, and what it holds."""

from hyperloader.corpora.corpus import Reading
from hyperloader.corpora.formats import FORMATS, Format, Guess, extensions
from hyperloader.corpora.reading.options import ReadOptions
from hyperloader.corpora.reading.place import Place
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.reading.tables import ARROW, arrow_files
from hyperloader.errors import unknown
from hyperloader.types import Example

_RECORDS = (".json", ".jsonl", ".ndjson", ".csv", *ARROW)


def recognise(source: Source) -> tuple[Format, str]:
    """The format of a file or folder, and why. Raises DataError when it has none that is known."""
    if source.options.format is not None:
        if source.options.format not in FORMATS:
            raise source.error(unknown("format", source.options.format, FORMATS))
        return FORMATS[source.options.format], "the reading option says so"
    guesses = [(name, guess) for name, guess in _guesses(source) if guess is not None]
    if not guesses:
        raise source.error(_not_recognised(source))
    name, guess = max(guesses, key=lambda pair: pair[1].confidence)  # the first of equal ones
    return FORMATS[name], guess.reason


def _guesses(source: Source) -> list[tuple[str, Guess | None]]:
    fitting = [found for found in FORMATS.values() if found.folder or not source.folder]
    return [(found.name, found.sniff(source)) for found in fitting]


def is_part_folder(path: Place) -> bool:
    """Whether a folder is one part, such as one with ``seq.in``, and not a folder of parts."""
    return path.is_dir() and any(guess for _, guess in _guesses(Source(path, "")))


def read_part(
    path: Place, task: str, options: ReadOptions | None = None, *, part: str = "train"
) -> tuple[tuple[Example, ...], Reading]:
    """All examples of one file, or of one folder such as one with ``seq.in``, and how it was read.

    Raises DataError with the path, and the line where there is one, for what cannot be read and
    for a file without a sentence.
    """
    return read_source(Source(path, task, options), part=part)


def read_source(source: Source, *, part: str) -> tuple[tuple[Example, ...], Reading]:
    """As :func:`read_part`."""
    if not source.folder and not source.data.strip():
        raise source.error("the file is empty; fill it or take it away")
    form, reason = recognise(source)
    try:
        examples = tuple(form.read(source))
    except ValueError as error:
        raise source.error(error) from error
    notes = source.notes.lines()
    if not examples:
        why = f" ({'; '.join(notes)})" if notes else ""
        raise source.error(f"no sentence in it: read as {form.name}{why}")
    return examples, Reading(part, str(source.path), form.name, reason, notes)


def _not_recognised(source: Source) -> str:
    if source.folder and not arrow_files(source.path):
        return "no known format: looked for seq.in and seq.out, .ann or .arrow files"
    hint = "'hyperloader data formats' shows what is read"
    if source.folder or source.suffix in _RECORDS:
        for _ in source.records():  # the error of a file that cannot be read says more
            break
        if not source.sample:
            first = next((line for line in source.lines if line.strip()), "")[:40]
            named = f"named {source.suffix}, without such a record (it begins with {first!r})"
            return f"no known format: {named}; {hint}"
        keys = ", ".join(sorted(source.keys)[:8]) or "none"
        return f"no known format: its records have the keys {keys}; {hint}"
    if source.suffix and source.suffix not in extensions():
        return f"{unknown('extension', source.suffix, extensions())}, and no known format; {hint}"
    wanted = "tags like O and B-label in the first or last column, labels in the text, or a table"
    return f"no known format: looked for {wanted}; {hint}"
