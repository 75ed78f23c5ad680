"""Tagging schemes. Inside the project spans are the truth; tags are read and written here only.

All schemes are read by one rule, the CoNLL convention (seqeval's default mode): ``B-x``, ``U-x``
and ``S-x`` start a span; ``I-x``, ``L-x`` and ``E-x`` go on with an open span of the same label
and start one otherwise; ``U-``, ``S-``, ``L-`` and ``E-`` close the span they are in. An ``I-x``
without its ``B-x`` therefore starts a span. This reads IOB1 and IOB2 (BIO) alike, so a scheme
decides only which prefixes may occur, never where a span lies.
"""

from collections.abc import Iterable, Sequence

from hyperloader.types import Span

OUTSIDE = "O"
INSIDE = "I"

SCHEMES = {"bio": "BI", "iob1": "BI", "bilou": "BILU", "bioes": "BIES", "auto": "BILUES"}
_STARTS, _ENDS = "BUS", "LUES"


class TagError(ValueError):
    """A tag that cannot be read; ``index`` is its place in the sequence."""

    def __init__(self, message: str, index: int):
        super().__init__(message)
        self.index = index


def is_tag(text: str) -> bool:
    """Whether ``text`` has the form of a tag of some scheme: ``O`` or a prefix and a label."""
    return text == OUTSIDE or (len(text) > 2 and text[1] == "-" and text[0] in SCHEMES["auto"])


def parse_tags(tags: Sequence[str], *, scheme: str = "auto") -> tuple[Span, ...]:
    """Spans of one tag sequence, by the rule above.

    ``scheme`` is one of ``SCHEMES`` (``auto`` takes the prefixes of all). Raises TagError, a
    ValueError with the place, for a tag without a label or with a prefix the scheme has not.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown tagging scheme {scheme!r} (known: {', '.join(SCHEMES)})")
    prefixes = SCHEMES[scheme]
    spans: list[Span] = []
    start, label = 0, ""  # the open span; no label: none is open
    for i, tag in enumerate(tags):
        prefix, name = (OUTSIDE, "") if tag == OUTSIDE else (tag[:1], tag[2:])
        if tag != OUTSIDE and not (name and tag[1] == "-" and prefix in prefixes):
            forms = ", ".join(f"{letter}-label" for letter in prefixes)
            raise TagError(f"{tag!r} is not a tag of the {scheme} scheme (O, {forms})", i)
        if label and (name != label or prefix in _STARTS):
            spans.append(Span(start, i, label))
            label = ""
        if name and not label:
            start, label = i, name
        if prefix in _ENDS:
            spans.append(Span(start, i + 1, label))
            label = ""
    if label:
        spans.append(Span(start, len(tags), label))
    return tuple(spans)


def detect_scheme(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme of a whole file: ``bilou``, ``bioes``, ``iob1`` or ``bio``.

    ``L-`` or ``U-`` anywhere means BILOU, ``E-`` or ``S-`` BIOES. IOB1 writes ``B-x`` only right
    after another x, so a file is IOB1 when some span starts with ``I-`` and no ``B-x`` stands
    anywhere else: a few stray ``I-`` among ordinary ``B-`` leave a file BIO.
    """
    letters: set[str] = set()
    stray_inside = free_begin = False
    for tags in sentences:
        before = ""
        for tag in tags:
            letter, name = ("", "") if tag == OUTSIDE else (tag[:1], tag[2:])
            letters.add(letter)
            if not name or name != before:
                stray_inside |= letter == "I"
                free_begin |= letter == "B"
            before = name
    if letters & set("LU"):
        return "bilou"
    if letters & set("ES"):
        return "bioes"
    return "iob1" if stray_inside and not free_begin else "bio"


def spans_to_bio(spans: Sequence[Span], length: int) -> list[str]:
    """BIO tags (``B-x``, ``I-x``, ``O``) of ``length`` words."""
    tags = [OUTSIDE] * length
    for span in spans:
        tags[span.word_start] = f"B-{span.label}"
        for i in range(span.word_start + 1, span.word_end):
            tags[i] = f"I-{span.label}"
    return tags


def spans_to_sbio(spans: Sequence[Span], length: int) -> list[str]:
    """Simplified BIO (paper, section 3.6): the label itself at a span's first word, then ``I``.

    Raises ValueError for a label that could not be told from ``O`` or ``I``.
    """
    tags = [OUTSIDE] * length
    for span in spans:
        if span.label in (OUTSIDE, INSIDE, ""):
            raise ValueError(f"a label may not be named {span.label!r}: simplified BIO needs it")
        tags[span.word_start] = span.label
        for i in range(span.word_start + 1, span.word_end):
            tags[i] = INSIDE
    return tags


def sbio_to_spans(tags: Sequence[str]) -> tuple[Span, ...]:
    """Spans of simplified BIO tags, the reverse of ``spans_to_sbio``.

    Raises TagError (a ValueError) for an ``I`` with no open span and for an empty tag.
    """
    spans: list[Span] = []
    for i, tag in enumerate(tags):
        if tag == INSIDE:
            if not spans or spans[-1].word_end != i:
                raise TagError(f"tag {i} is I but no span is open before it", i)
            spans[-1] = Span(spans[-1].word_start, i + 1, spans[-1].label)
        elif not tag:
            raise TagError(f"tag {i} is empty", i)
        elif tag != OUTSIDE:
            spans.append(Span(i, i + 1, tag))
    return tuple(spans)


def strict_spans(tags: Sequence[str], *, scheme: str) -> tuple[Span, ...]:
    """Only the spans that are written out as ``scheme`` demands (seqeval's strict mode).

    In BIO ``B-x`` and every ``I-x`` right after it; in BIOES and BILOU one word with ``S-`` or
    ``U-``, or ``B-`` to ``E-`` or ``L-`` with nothing but ``I-`` between, all of one label. What
    else ``parse_tags`` makes of ill-formed tags is no span here. A file is only taken for IOB1
    where it is well-formed (``detect_scheme``), so its spans are those of ``parse_tags``.

    Raises:
        TagError: as ``parse_tags``.
    """
    everything = parse_tags(tags, scheme=scheme)
    if scheme not in _STRICT:
        return everything
    starts, goes_on, closes = _STRICT[scheme]
    spans: list[Span] = []
    start, label, before = 0, "", OUTSIDE
    for i, tag in enumerate((*tags, OUTSIDE)):
        prefix, name = (OUTSIDE, "") if tag == OUTSIDE else (tag[0], tag[2:])
        if label and not (before in "BI" and prefix in goes_on and name == label):
            if before in closes:
                spans.append(Span(start, i, label))
            label = ""
        if not label and prefix in starts:
            start, label = i, name
        before = prefix
    return tuple(spans)


# What starts a span, what goes on with it, and what it may end with.
_STRICT = {"bio": ("B", "I", "BI"), "bioes": ("BS", "IE", "ES"), "bilou": ("BU", "IL", "LU")}
