"""What all readers share: text from a file, lines from text, a checked example from a line."""

from collections.abc import Sequence
from pathlib import Path

from hyperloader.errors import DataError
from hyperloader.types import Example, Span


class WordError(ValueError):
    """A word that is empty or has white space; ``index`` is its place in the sentence."""

    def __init__(self, index: int, word: str):
        super().__init__(f"{word!r} is not one word: a word is not empty and has no white space")
        self.index = index


def read_text(path: Path) -> str:
    """The UTF-8 text of a file, a leading byte order mark removed.

    Raises DataError with the line of the first broken byte, or when the file cannot be opened.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8"
        raise DataError(message, path, line) from error


def split_lines(text: str) -> list[str]:
    """Lines without their ends. Only line feeds end a line: other separators can be text."""
    lines = text.replace("\r\n", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def example(
    words: Sequence[str],
    spans: Sequence[Span],
    task: str,
    *,
    text: str | None = None,
    offsets: Sequence[tuple[int, int]] | None = None,
    intent: str | None = None,
) -> Example:
    """An Example whose parts are checked. Raises ValueError: the caller knows file and line."""
    if not words:
        raise ValueError("a sentence without words")
    if " ".join(words).split() != list(words):
        raise next(WordError(i, word) for i, word in enumerate(words) if word.split() != [word])
    places = None if offsets is None else tuple(offsets)
    ordered = tuple(sorted(spans))
    return Example(tuple(words), ordered, task, text=text, offsets=places, intent=intent or None)
