"""The formats that are read and written: one module each, listed here, and nowhere else.

A file has the format that is surest of it; of equally sure ones the first in the list.
"""

from hyperloader.corpora.formats import (
    bio,
    brat,
    conll,
    conllu,
    csv_spans,
    docbin,
    doccano,
    gliner,
    gliner2,
    hf,
    inline,
    jsonl,
    label_studio,
    mtod,
    mtop,
    prodigy,
    seq,
    spacy_json,
)
from hyperloader.corpora.formats.format import Files, Format, Guess

_MODULES = (
    bio, conll, conllu, seq, mtop, mtod,
    jsonl, prodigy, label_studio, doccano, spacy_json, docbin, gliner, gliner2, hf, csv_spans,
    brat, inline,
)  # fmt: skip

FORMATS: dict[str, Format] = {}
WRITERS: dict[str, Format] = {}
EXTENSIONS: list[str] = []


def register(found: Format) -> None:
    """Make a format known: it is recognised, read, listed and, if it can be, written."""
    FORMATS[found.name] = found
    if found.write:
        WRITERS[found.name] = found
    EXTENSIONS.extend(e for e in found.extensions if e not in EXTENSIONS)


for _module in _MODULES:
    register(_module.FORMAT)

__all__ = ["EXTENSIONS", "FORMATS", "WRITERS", "Files", "Format", "Guess", "register"]
