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
from hyperloader.registry import Registry

FORMATS: Registry[Format] = Registry(
    "format",
    (
        module.FORMAT
        for module in (
            bio, conll, conllu, seq, mtop, mtod,
            jsonl, prodigy, label_studio, doccano, spacy_json, docbin, gliner, gliner2, hf,
            csv_spans, brat, inline,
        )
    ),
)  # fmt: skip


def written() -> dict[str, Format]:
    """The formats that are written, too."""
    return {name: found for name, found in FORMATS.items() if found.write}


def extensions() -> list[str]:
    """The extensions of all formats, each once."""
    return list(dict.fromkeys(each for found in FORMATS.values() for each in found.extensions))


__all__ = ["FORMATS", "Files", "Format", "Guess", "extensions", "written"]
