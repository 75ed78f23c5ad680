"""Tags of a whole file: how they are spelt, and the spans that they say.

Besides the schemes of ``hyperloader.tags`` some spellings are understood where all tags of a file
have them: ``b-per``, ``B_PER``, ``PER-B``, BMES (``M-`` for inside), and bare labels, where
neighbours with the same label are one span; ``_`` may stand for ``O``, as in CoNLL-U Plus.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hyperloader.corpora.reading.source import Source
from hyperloader.tags import OUTSIDE, detect_scheme, is_tag, parse_tags
from hyperloader.types import Span

MOST_BARE_LABELS = 100


@dataclass(frozen=True, slots=True)
class Spelling:
    """A way of writing tags: its name, and each tag as ``B-label`` (None: not of this spelling)."""

    name: str
    standard: Callable[[str], str | None]


def _by(pattern: str, *, label_first: bool = False) -> Callable[[str], str | None]:
    compiled = re.compile(pattern, re.DOTALL)

    def standard(tag: str) -> str | None:
        if tag in (OUTSIDE, OUTSIDE.lower()):
            return OUTSIDE
        match = compiled.fullmatch(tag)
        if not match:
            return None
        prefix, label = match.groups()[::-1] if label_first else match.groups()
        return f"{prefix.upper().replace('M', 'I')}-{label}"

    return standard


STANDARD = Spelling("standard", lambda tag: tag if is_tag(tag) else None)
SPELLINGS = (
    STANDARD,
    Spelling("_ outside of spans", lambda tag: OUTSIDE if tag == "_" else STANDARD.standard(tag)),
    Spelling("BMES (M for inside)", _by(r"([BMES])-(.+)")),
    Spelling("lower-case prefixes (b-label)", _by(r"([bilues])-(.+)")),
    Spelling("an underscore behind the prefix (B_label)", _by(r"([BILUES])_(.+)")),
    Spelling("prefixes behind the label (label-B)", _by(r"(.+)[-_]([BILUEMS])", label_first=True)),
)
BARE = Spelling(
    "labels without a prefix (neighbours with the same label are one span)",
    lambda tag: tag if tag == OUTSIDE else f"I-{tag}",
)


def spelling_of(tags: Iterable[str]) -> Spelling | None:
    """The spelling that all tags have; None when there is none.

    Bare labels need an ``O`` among them and no tag with a prefix. Some odd tags among standard
    ones leave the spelling standard, so that their lines are named when they are read.
    """
    distinct = set(tags)
    for spelling in SPELLINGS:
        if distinct and all(spelling.standard(tag) for tag in distinct):
            return spelling
    if any(tag[1:2] == "-" for tag in distinct):
        return STANDARD
    if OUTSIDE in distinct and 1 < len(distinct) <= MOST_BARE_LABELS and "" not in distinct:
        return BARE
    return None


class Tagging:
    """The spelling and scheme of all tags of a file, then the spans of each sentence."""

    def __init__(self, source: Source, sentences: Sequence[Sequence[str]]):
        self._source = source
        self.spelling = spelling_of(tag for tags in sentences for tag in tags) or STANDARD
        self._scheme = detect_scheme(map(self._standard, sentences))
        if self.spelling is not STANDARD:
            source.notes.say(f"the tags have another spelling: {self.spelling.name}")

    def spans(self, tags: Sequence[str], line: int | None = None) -> tuple[Span, ...]:
        """The spans of one sentence, repaired tags noted. Raises TagError."""
        standard = self._standard(tags)
        spans = parse_tags(standard, scheme=self._scheme)
        if self._scheme != "iob1" and self.spelling is not BARE:
            starts = {span.word_start for span in spans}
            stray = sum(standard[i][:1] in "ILE" for i in starts)
            self._source.notes.repair(
                "tags that go on with no open span, read as the start of one", line, stray
            )
        return spans

    def _standard(self, tags: Sequence[str]) -> list[str]:
        if self.spelling is STANDARD:
            return list(tags)
        return [self.spelling.standard(tag) or tag for tag in tags]
