"""The plain values that flow between the parts: examples in, tagged text out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

# What the representation of a tagged text shows of it: characters and spans.
LONG, MANY = 60, 8


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A labelled run of words: ``word_start`` and ``word_end`` are word indices, end exclusive."""

    word_start: int
    word_end: int
    label: str
    score: float | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.word_start < self.word_end:
            raise ValueError(
                f"a span needs 0 <= word_start < word_end, not {self.word_start}:{self.word_end}"
            )


@dataclass(frozen=True, slots=True)
class Example:
    """One sentence with its gold spans.

    ``spans`` are sorted and do not overlap. ``text`` and ``offsets`` are given when the source
    has character offsets (``text[a:b]`` is word i for ``offsets[i] == (a, b)``, except where the
    source lower-cased its tokens); otherwise the text is the words joined by single spaces.
    """

    words: tuple[str, ...]
    spans: tuple[Span, ...]
    task: str
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    intent: str | None = None

    def __post_init__(self) -> None:
        check_spans(self.spans, len(self.words))


class Alternative(NamedTuple):
    """Tags that a word might have and their probability, given the tags decided before it.

    Usually one tag. Several where their texts begin alike and another tag was chosen before they
    part: the model was not asked which of them, and ``probability`` is that of all together.
    """

    tags: tuple[str, ...]
    probability: float


@dataclass(frozen=True, slots=True, repr=False)
class TaggedSpan:
    """A predicted span: ``text[start:end]`` is its surface, in characters of the text as given;
    ``word_start`` and ``word_end`` are its words, end exclusive."""

    start: int
    end: int
    text: str
    label: str
    score: float
    word_start: int
    word_end: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, as in the JSON of ``hyperloader tag --json``."""
        return asdict(self)

    def __repr__(self) -> str:
        return f"<{self.label} {_short(self.text)!r} {self.start}:{self.end} {self.score:.2f}>"


@dataclass(frozen=True, slots=True)
class TaggedSequence:
    """One of the likeliest answers to a whole text: its spans, and how likely it is that they, and
    no others, are there. A span's score is its own probability, whatever the others are."""

    spans: tuple[TaggedSpan, ...]
    probability: float


@dataclass(frozen=True, slots=True, repr=False)
class TaggedText:
    """One tagged text: the text as given, its words and the spans found in it.

    ``alternatives``, where asked for, has the likeliest tags of every word, best first, in the
    form in which the model writes them (``O``, ``I`` and labels, or BIO for a tagging head).
    ``sequences``, where asked for, has the likeliest answers to the whole text, best first.
    ``zero_shot``: its labels are known by their names alone; the tagger was not trained on them.
    """

    text: str
    words: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    spans: tuple[TaggedSpan, ...]
    task: str
    alternatives: tuple[tuple[Alternative, ...], ...] | None = None
    sequences: tuple[TaggedSequence, ...] | None = None
    zero_shot: bool = False

    def to_dict(self) -> dict[str, Any]:
        """What ``hyperloader tag --json`` prints, of lists, dictionaries, strings and numbers.

        ``alternatives`` and ``sequences`` are there only if they were asked for, ``zero_shot`` only
        if it is true.
        """
        document: dict[str, Any] = {
            "text": self.text,
            "words": list(self.words),
            "offsets": [list(place) for place in self.offsets],
            "spans": [span.to_dict() for span in self.spans],
            "task": self.task,
        }
        if self.alternatives is not None:
            document["alternatives"] = [
                [{"tags": list(tags), "probability": probability} for tags, probability in choices]
                for choices in self.alternatives
            ]
        if self.sequences is not None:
            document["sequences"] = [
                {"spans": [span.to_dict() for span in one.spans], "probability": one.probability}
                for one in self.sequences
            ]
        if self.zero_shot:
            document["zero_shot"] = True
        return document

    def __repr__(self) -> str:
        spans = [repr(span) for span in self.spans[:MANY]]
        if len(self.spans) > MANY:
            spans.append(f"and {len(self.spans) - MANY:,} more")
        return f"<TaggedText {_short(self.text)!r}, task {self.task!r}: [{', '.join(spans)}]>"


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[: LONG - 1]}…"


def check_spans(spans: Sequence[Span], length: int) -> None:
    """Raise ValueError unless ``spans`` are sorted, disjoint and inside ``length`` words."""
    for before, after in pairwise(spans):
        if after.word_start < before.word_end:
            raise ValueError(f"spans overlap or are not sorted: {before}, {after}")
    if spans and spans[-1].word_end > length:
        raise ValueError(f"span {spans[-1]} ends after the last of {length} words")
