"""Labelled data from a program: the same corpora as from files."""

from pathlib import Path
from typing import Any

import pytest

from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.given import corpora_of
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError
from hyperloader.types import Example, Span
from training_helpers import corpora, write_data

CITY = Example(("fly", "to", "oslo"), (Span(2, 3, "city"),), "trips")
SAME = {
    "example": CITY,
    "example of another task": Example(CITY.words, CITY.spans, "flights"),
    "words": {"words": ["fly", "to", "oslo"], "spans": [{"start": 2, "end": 3, "label": "city"}]},
    "characters": {"text": "fly to oslo", "spans": [{"start": 7, "end": 11, "label": "city"}]},
}


@pytest.mark.parametrize("form", SAME)
def test_a_sentence_may_be_an_example_or_a_record(form: str) -> None:
    (corpus,) = corpora_of({"trips": {"test": [SAME[form]]}}, require=()).values()
    (example,) = corpus.splits["test"]
    assert (example.words, example.spans, example.task) == (CITY.words, CITY.spans, "trips")
    assert corpus.splits["train"] == corpus.splits["validation"] == ()


def test_a_path_a_mapping_of_parts_and_corpora_are_the_same(tmp_path: Path) -> None:
    from_files = load_corpora(write_data(tmp_path / "data"))
    assert corpora_of(str(tmp_path / "data")) == from_files
    assert corpora_of(corpora()) == from_files
    parts = {name: corpus.splits for name, corpus in corpora().items()}
    assert corpora_of(parts) == from_files
    assert list(corpora_of(parts, ["home"])) == ["home"]


@pytest.mark.parametrize("as_corpus", [True, False])
def test_a_tenth_of_train_is_held_out_as_from_files(tmp_path: Path, as_corpus: bool) -> None:
    train = corpora()["home"].splits["train"]
    parts: dict[str, Any] = {"train": train}
    (given,) = corpora_of({"home": Corpus("home", parts) if as_corpus else parts}).values()
    folder = write_data(tmp_path) / "home"
    (folder / "validation.conll").unlink()
    (from_files,) = load_corpora(folder).values()
    assert given.splits["train"] == from_files.splits["train"]
    assert given.splits["validation"] == from_files.splits["validation"]
    assert len(given.splits["validation"]) == 3  # of 24


@pytest.mark.parametrize(
    ("data", "tasks", "said"),
    [
        ({}, None, "the data have no task"),
        ([CITY], None, "the data are a list; give a path, or a mapping from each task"),
        ({"trips": {"train": [CITY]}}, ["trip"], "unknown task 'trip'; did you mean 'trips'"),
        ({"trips": [CITY]}, None, "task 'trips' has a list for its parts"),
        ({"trips": {"dev": [CITY]}}, None, "task 'trips': unknown part 'dev'"),
        ({"trips": {"test": [CITY]}}, None, "task 'trips' has no train sentences"),
        ({"trips": {"train": "train.conll"}}, None, "has a path for its train part"),
        ({"trips": {"train": [CITY, "fly"]}}, None, "trips/train:2: a sentence is a str"),
        ({"trips": {"train": [CITY, {"text": "a"}]}}, None, "trips/train:2: "),
        (
            {"trips": {"train": [CITY, Example(("New York",), (), "")]}},
            None,
            "train:2: 'New York' is",
        ),
        (
            {"trips": {"train": [Example(("\ud83d",), (), "")]}},
            None,
            "train:1: .*surrogates not all",
        ),
        ({"trips": {"train": [{"text": object()}]}}, None, "trips/train:1: .*not JSON"),
    ],
)
def test_what_cannot_be_understood_is_said(data: Any, tasks: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        corpora_of(data, tasks)
    assert "\n" not in str(caught.value)
