"""The published scorer's conventions, against numbers that it computed."""

import json
import warnings
from pathlib import Path

import pytest

from hyperloader.errors import DataError
from hyperloader.reproduction.reference_scoring import reference_f1, sbio_to_bio


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
