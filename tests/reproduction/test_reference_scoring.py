"""The published scorer's conventions, against numbers that it computed."""

import json
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from hyperloader.errors import DataError
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.reproduction.reference_scoring import (
    reference_f1,
    reference_task_f1,
    sbio_to_bio,
)
from training_helpers import corpora, make_trainer


@pytest.fixture(scope="module")
def batches(shared: Path) -> list[dict]:
    path = shared / "reference/golden/golden_scoring.json"
    return json.loads(path.read_text("utf-8"))["scoring"]


def test_every_published_number(batches: list[dict]) -> None:
    assert len(batches) == 60
    for batch in batches:
        assert [sbio_to_bio(text) for text in batch["gold"]] == batch["gold_bio"]
        assert [sbio_to_bio(text) for text in batch["predicted"]] == batch["predicted_bio"]
        f1 = reference_f1(batch["gold"], batch["predicted"])
        assert f1 == pytest.approx(batch["f1"], abs=1e-12)


def test_the_published_batches_cover_the_odd_cases(batches: list[dict]) -> None:
    texts = [(g, p) for b in batches for g, p in zip(b["gold"], b["predicted"], strict=True)]
    lengths = [(len(g.split()), len(p.split())) for g, p in texts]
    assert any(g < p for g, p in lengths)
    assert any(g > p > 0 for g, p in lengths)
    assert any(p == 0 for _, p in lengths)
    assert any(p.startswith("I") for _, p in texts)
    assert any("O I" in p for _, p in texts)


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("", []),
        ("I I city I O I", ["O", "O", "B-city", "I-city", "O", "O"]),
        ("city city\tI\n O", ["B-city", "B-city", "I-city", "O"]),
    ],
)
def test_conversion(text: str, tags: list[str]) -> None:
    assert sbio_to_bio(text) == tags


def test_one_missing_tag_shifts_the_rest() -> None:
    assert reference_f1(["O city I O day"], ["O city I O day"]) == 1.0
    assert reference_f1(["O city I O day"], ["city I O day"]) == 0.0


def test_no_span_anywhere_is_zero_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reference_f1(["O O", ""], ["I", "O"]) == 0.0


@pytest.mark.parametrize(("gold", "predicted"), [(["O"], []), (["O"], ["O", "O"]), ([], [])])
def test_unequal_or_no_sentences_are_refused(gold: list[str], predicted: list[str]) -> None:
    with pytest.raises(DataError, match=f"{len(gold)} gold and {len(predicted)} predicted"):
        reference_f1(gold, predicted)


@pytest.mark.parametrize("wrong", [0, 1])
def test_reference_scoring_of_a_model_that_writes_the_gold_is_one(
    tmp_path: Path, wrong: int
) -> None:
    """Through generation, cutting, text and alignment by order; one wrong span is seen."""
    examples = list(corpora()["home"].splits["test"])
    made = make_trainer(tmp_path / "r", codec={"label_text": "raw"})
    codec = made.codec
    answers = {tuple(codec.encode_source(e.words)): e for e in examples}

    def generate(self: TaggingModel, ids: torch.Tensor, *, task: str, **_: Any) -> torch.Tensor:
        assert task == "home"
        rows = []
        for row in ids.tolist():
            example = answers[tuple(i for i in row if i != codec.pieces.pad)]
            spans = () if example is examples[0] and wrong else example.spans
            rows.append([codec.pieces.pad, *codec.encode_target(spans, len(example.words), task)])
        width = max(map(len, rows))
        return torch.tensor([r + [codec.pieces.pad] * (width - len(r)) for r in rows])

    with mock.patch.object(TaggingModel, "generate", generate):
        f1 = reference_task_f1(made.model, codec, examples, batch_size=3)
    spans = sum(len(e.spans) for e in examples)
    missed = len(examples[0].spans) * wrong
    assert f1 == pytest.approx(2 * (spans - missed) / (2 * spans - missed))
    assert (f1 == 1.0) == (wrong == 0)
