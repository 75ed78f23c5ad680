"""A task is added to models whose heads are made of label texts, or generated."""

from pathlib import Path
from typing import Any

import pytest
import torch

import hyperloader
from bert_helpers import bert_tagger
from hyperloader.codec.batch import encode_example
from hyperloader.config import TrainingSection
from hyperloader.corpora.given import corpora_of
from hyperloader.errors import ConfigError
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.label_vectors import label_vectors
from hyperloader.tagger import Tagger

WHAT = ("name", "city", "day")
# More labels than any old task has, so that all heads are padded to more rows than before.
LABELS = [f"{order} {what}" for order in ("first", "second", "last") for what in WHAT]
WORDS = ["song", "year", "table", "noon", "two", "film", "day", "man", "sea"]
TEXTS = ["play the song of the year", "a table for two at noon", "one two three"]
OPTIONS: dict[str, Any] = {
    "progress": False,
    "calibrate": False,
    "settings": {"training.learning_rate": 0.01, "training.batch_size": 8},
}


def span(word: int, label: str) -> dict[str, Any]:
    return {"start": word, "end": word + 1, "label": label}


def sentences() -> list[dict[str, Any]]:
    return [
        {"words": ["the", word, "of", other], "spans": [span(1, label), span(3, LABELS[0])]}
        for label, word in zip(
            LABELS,
            ["song", "year", "table", "noon", "two", "film", "day", "man", "sea"],
            strict=True,
        )
        for other in ("music", "play")
    ]


def answers(tagger: Tagger, tasks: tuple[str, ...]) -> list[Any]:
    return [tagger.tag(TEXTS, task, alternatives=3) for task in tasks]


@pytest.mark.parametrize(
    ("head", "embeddings"),
    [
        *(("text", "per_task"), ("generated", "per_task"), ("generated+text", "per_task")),
        ("text+free", "shared"),
    ],
)
def test_old_tasks_keep_every_bit(head: str, embeddings: str, tmp_path: Path) -> None:
    before = bert_tagger(head=head, task_embeddings=embeddings)
    assert all(len(before.labels(task)) < len(LABELS) for task in before.tasks)
    old = answers(before, before.tasks)
    first = hyperloader.add_task(before, {"new": {"train": sentences()}}, steps=1, **OPTIONS)
    after = hyperloader.add_task(
        before, {"new": {"train": sentences()}}, steps=15, out=tmp_path / "new", **OPTIONS
    )
    assert set(after.labels("new")) == set(LABELS)
    assert answers(after, before.tasks) == old
    assert answers(Tagger.from_pretrained(tmp_path / "new"), before.tasks) == old
    assert loss(after) < loss(first)

    after.save_task("new", tmp_path / "task")
    before.add(tmp_path / "task")
    assert answers(before, ("new",)) == answers(after, ("new",))
    before.remove("new")
    assert answers(before, before.tasks) == old


def loss(tagger: Tagger) -> float:
    """What the tagger's own loss says of the sentences of the new task."""
    (corpus,) = corpora_of({"new": {"train": sentences()}}).values()
    windows = [w for e in corpus.splits["train"] for w in encode_example(tagger.codec, e)]
    objective = output_of(tagger.model).loss(tagger.model, tagger.codec, TrainingSection())
    return float(objective.eval().mean_of_each(windows).mean())


def test_a_new_head_reads_the_texts_of_its_labels() -> None:
    before = bert_tagger(head="text+free")
    after = hyperloader.add_task(before, {"new": {"train": sentences()}}, steps=1, **OPTIONS)
    (source,) = after.model.label_texts
    number = after.tasks.index("new")
    labels = after.labels("new")
    pieces = after.codec.pieces
    expected = label_vectors(before.model.backbone, pieces, labels)
    assert torch.equal(source.vectors[number, : len(labels)], expected)


def test_labels_that_read_the_same_are_refused_where_the_text_is_all() -> None:
    rows = [{"words": ["a", "b"], "spans": [span(0, "name_x"), span(1, "name x")]}] * 4
    with pytest.raises(ConfigError, match="'name x' and 'name_x' have the same text"):
        hyperloader.add_task(bert_tagger(head="text"), {"new": {"train": rows}}, **OPTIONS)
