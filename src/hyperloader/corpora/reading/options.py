"""What a user may say about a corpus that its files do not say themselves."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal

import yaml

from hyperloader.corpora.reading.place import Place, read_bytes
from hyperloader.errors import DataError, unknown
from hyperloader.words import WORD_RULES, WordRule
from hyperloader.yamls import load_yaml

OPTIONS_FILE = "reading.yaml"

_CHOICES = {
    "units": ("characters", "utf-16"),
    "words": WORD_RULES,
    "misaligned": ("snap", "split", "skip"),
    "overlap": ("outermost", "innermost", "longest"),
}


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How files are read. Everything has a default; a ``reading.yaml`` beside the data sets some.

    ``format``: the format's name, instead of recognising it.
    ``word``, ``tag``: the columns of words and of tags, by name or by number from 1 (-1: the last).
    ``labels``: names of tags that are written as numbers, in order of the numbers.
    ``text``: the key of the text where a record has several strings.
    ``annotator``: whose annotation counts where several differ: an id, an e-mail address, ``first``
    or ``last``.
    ``spans_key``: the key of the spans in spaCy's ``doc.spans``, instead of its entities.
    ``units``: what offsets count, ``characters`` or ``utf-16``, where no copy of a span's text
    says it.
    ``words``: how raw text is split into words: see :func:`~hyperloader.words.split_words`.
    ``misaligned``: what happens to a span that cuts through a word: ``snap``, ``split``, ``skip``.
    ``overlap``: which of spans over one word stays: ``outermost``, ``innermost``, ``longest``.
    ``strict``: whether a span or record that would be repaired or skipped is an error.
    """

    format: str | None = None
    word: str | int | None = None
    tag: str | int | None = None
    labels: tuple[str, ...] = ()
    text: str | None = None
    annotator: str | int | None = None
    spans_key: str | None = None
    units: Literal["characters", "utf-16"] | None = None
    words: WordRule = "text"
    misaligned: Literal["snap", "split", "skip"] = "snap"
    overlap: Literal["outermost", "innermost", "longest"] = "outermost"
    strict: bool = False

    def updated(self, values: dict[str, Any]) -> "ReadOptions":
        """These options with some replaced. Raises DataError for an unknown name or value."""
        known = [field.name for field in fields(self)]
        for name, value in values.items():
            if name not in known:
                raise DataError(unknown("reading option", str(name), known))
            if name in _CHOICES and value not in _CHOICES[name]:
                raise DataError(unknown(f"value of {name}", str(value), _CHOICES[name]))
        if isinstance(labels := values.get("labels"), str):
            values = {**values, "labels": [name.strip() for name in labels.split(",")]}
        if "labels" in values:
            values = {**values, "labels": tuple(map(str, values["labels"] or ()))}
        return replace(self, **values)

    def beside(self, folder: Place) -> "ReadOptions":
        """These options with those of ``folder/reading.yaml`` underneath, where there is one."""
        path = folder / OPTIONS_FILE
        if not path.is_file():
            return self
        try:
            values = load_yaml(read_bytes(path))
            if not isinstance(values, dict):
                raise DataError("not a list of 'name: value'")
            stored = ReadOptions().updated(values)
        except (yaml.YAMLError, DataError) as error:
            raise DataError(" ".join(str(error).split()), str(path)) from error
        default = ReadOptions()
        given = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != getattr(default, field.name)
        }
        return replace(stored, **given)


def parse_options(settings: list[str] | None) -> ReadOptions:
    """Options from ``name=value`` strings, values read as YAML (``tag=4``, ``strict=true``)."""
    values: dict[str, Any] = {}
    for setting in settings or ():
        name, equals, value = setting.partition("=")
        if not equals:
            raise DataError(f"a reading option is NAME=VALUE, not {setting!r}")
        try:
            values[name.strip()] = load_yaml(value)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{setting!r}: the value is not YAML ({reason})") from error
    return ReadOptions().updated(values)
