"""How cost grows: each axis grows what it names, and nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hyperloader.benchmarks.growth import (
    AXES,
    VALUES,
    made_up_labels,
    measure_growth,
    stretched,
)
from hyperloader.cli.benchmark import app
from hyperloader.codec.labels import verbalise
from hyperloader.corpora.sample import sample_corpora
from hyperloader.errors import ConfigError
from hyperloader.types import Example

SENTENCES = sample_corpora(train=0, validation=0, test=20)["travel"].splits["test"]


@given(st.integers(1, 600))
@settings(max_examples=40)
def test_a_sentence_is_stretched_to_exactly_so_many_words(words: int) -> None:
    long = stretched(SENTENCES, words)
    assert len(long.words) == words
    every = [word for e in SENTENCES for word in e.words]
    assert long.words == tuple((every * (words // len(every) + 1))[:words])
    gold = {e.words[s.word_start : s.word_end] for e in SENTENCES for s in e.spans}
    assert all(long.words[s.word_start : s.word_end] in gold for s in long.spans)
    if words >= len(SENTENCES[0].words):
        assert len(long.spans) >= len(SENTENCES[0].spans)


def test_labels_are_distinct_and_readable() -> None:
    labels = made_up_labels(1000)
    assert len(set(labels)) == 1000
    assert set(made_up_labels(1000)) >= set(labels)
    texts = verbalise(labels, "readable")
    assert len(set(texts.values())) == 1000
    with pytest.raises(ConfigError, match="at most 1024 labels"):
        made_up_labels(1025)


def test_values_reach_as_far_as_is_promised() -> None:
    assert {axis: (VALUES[axis][0], VALUES[axis][-1]) for axis in AXES} == {
        "words": (8, 512),
        "labels": (2, 1000),
        "tasks": (1, 1000),
        "batch": (1, 256),
    }


@pytest.mark.usefixtures("few_repeats")
@pytest.mark.parametrize(
    ("axis", "values"), [("words", (8, 16)), ("batch", (1, 3)), ("tasks", (1, 4))]
)
def test_every_value_has_a_row_and_the_first_is_what_others_are_compared_with(
    axis: str, values: tuple[int, int]
) -> None:
    rows = measure_growth(axis, shape="tiny", values=values, repeats=1).rows
    assert [row.value for row in rows] == list(values)
    first, other = (row.seconds["decoder"] for row in rows)
    assert [row.ratios["growth"] for row in rows] == pytest.approx([1, other / first])
    assert ("making a decoder" in rows[0].seconds) == (axis == "tasks")


@pytest.mark.usefixtures("few_repeats")
def test_the_command_shows_each_value(tmp_path: Path) -> None:
    numbers, picture = tmp_path / "labels.json", tmp_path / "labels.svg"
    command = ["decode", "--grow", "labels", "--shape", "tiny", "--value", "2", "--value", "50"]
    done = CliRunner().invoke(
        app, [*command, "--repeats", "1", "--json", str(numbers), "--plot", str(picture)]
    )
    assert done.exit_code == 0, done.output
    document = json.loads(numbers.read_text())
    assert [row["value"] for row in document["rows"]] == [2, 50]
    assert document["environment"]["commit"]
    assert "<svg" in picture.read_text()


def test_an_example_keeps_its_task() -> None:
    assert stretched((Example(("a", "b"), (), "x"),), 5) == Example(tuple("ababa"), (), "x")
