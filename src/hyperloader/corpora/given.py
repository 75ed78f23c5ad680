"""Labelled data as a Python program gives them: a path, or the sentences of every task."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.parts import read_source
from hyperloader.corpora.reading.sentences import sentence as checked_sentence
from hyperloader.corpora.reading.source import Source
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.splits import draw_validation, hold_out
from hyperloader.errors import DataError, unknown
from hyperloader.types import Example

Sentences: TypeAlias = Sequence[Example | Mapping[str, Any]]
Labelled: TypeAlias = str | Path | Mapping[str, Corpus | Mapping[str, Sentences]]


def corpora_of(
    data: Labelled, tasks: Sequence[str] | None = None, *, require: Sequence[str] = ("train",)
) -> dict[str, Corpus]:
    """The corpora in ``data``, sorted by name.

    Args:
        data: a path, as for ``--data``; or a mapping from each task to a :class:`Corpus` or to
            its parts: ``{"train": sentences, "validation": …, "test": …}``. A sentence is an
            :class:`~hyperloader.types.Example` (whose ``task`` becomes that of the mapping) or a
            record as in JSONL files, with ``words`` and spans in words, or with ``text`` and
            spans in characters. If there is no validation part, 10 % of train is held out.
        tasks: only these.
        require: the parts that each corpus must have.

    Raises:
        DataError: an unknown task or part, a part that is missing, or a sentence that is neither
            an example nor a record.
    """
    if isinstance(data, str | Path):
        return load_corpora(Path(data), tasks, require=require)
    if not isinstance(data, Mapping):
        raise DataError(
            f"the data are a {type(data).__name__}; give a path, or a mapping from each task to "
            "its parts: {'task': {'train': sentences}}"
        )
    for name in tasks or ():
        if name not in data:
            raise DataError(unknown("task", name, data))
    chosen = sorted(set(data if tasks is None else tasks))
    if not chosen:
        raise DataError("the data have no task; give a mapping from each task to its parts")
    return {name: _corpus(name, data[name], require) for name in chosen}


def _corpus(name: str, given: Corpus | Mapping[str, Sentences], require: Sequence[str]) -> Corpus:
    readings, unused = (given.readings, given.unused) if isinstance(given, Corpus) else ((), ())
    given = given.splits if isinstance(given, Corpus) else given
    if not isinstance(given, Mapping):
        raise DataError(
            f"task {name!r} has a {type(given).__name__} for its parts; give a mapping such as "
            "{'train': sentences, 'test': sentences}"
        )
    for part in given:
        if part not in SPLITS:
            raise DataError(f"task {name!r}: {unknown('part', part, SPLITS)}")
    parts = {part: _examples(name, part, given.get(part, ())) for part in SPLITS}
    for part in require:
        if not parts[part]:
            raise DataError(f"task {name!r} has no {part} sentences; give some under {part!r}")
    if parts["train"] and not parts["validation"]:
        indices = draw_validation(len(parts["train"]), seed=42)
        parts["train"], parts["validation"] = hold_out(parts["train"], indices)
    return Corpus(name, parts, readings, unused)


def _examples(task: str, part: str, sentences: Sentences) -> tuple[Example, ...]:
    if isinstance(sentences, str | Path):
        raise DataError(
            f"task {task!r} has a path for its {part} part; give sentences, or one path to a "
            "folder with all tasks in place of the mapping"
        )
    where, sentences = Path(f"{task}/{part}"), list(sentences)
    if not sentences:
        return ()
    as_examples = isinstance(sentences[0], Example)
    for number, sentence in enumerate(sentences, start=1):
        if not isinstance(sentence, Example if as_examples else Mapping):
            kind = type(sentence).__name__
            raise DataError(
                f"a sentence is a {kind}; give all as Examples, or all as records", where, number
            )
    if as_examples:
        given = [sentence for sentence in sentences if isinstance(sentence, Example)]
        return tuple(_checked(e, task, where, number) for number, e in enumerate(given, start=1))
    rows = []
    records = (sentence for sentence in sentences if isinstance(sentence, Mapping))
    for number, record in enumerate(records, start=1):
        try:
            rows.append(json.dumps(dict(record)))
        except (TypeError, ValueError) as error:
            raise DataError(f"a record that is not JSON: {error}", where, number) from error
    return read_source(Source(where, task, data="\n".join(rows).encode()), part=part)[0]


def _checked(given: Example, task: str, where: Path, number: int) -> Example:
    """``given`` as a sentence of ``task``. Raises DataError for what no file could hold."""
    try:
        return checked_sentence(
            given.words,
            given.spans,
            task,
            text=given.text,
            offsets=given.offsets,
            intent=given.intent,
        )
    except ValueError as error:
        raise DataError(str(error), where, number) from error
