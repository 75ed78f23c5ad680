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

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}
WRITERS = {name: found for name, found in FORMATS.items() if found.write}
EXTENSIONS = tuple(dict.fromkeys(e for found in FORMATS.values() for e in found.extensions))

__all__ = ["EXTENSIONS", "FORMATS", "WRITERS", "Files", "Format", "Guess"]
