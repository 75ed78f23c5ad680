"""The object that is called like transformers' pipeline, and the function for datasets."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

import hyperloader
from bert_helpers import bert_tagger
from helpers import tiny_codec, tiny_model
from hyperloader.errors import HyperloaderError
from hyperloader.tagger import Tagger

TEXT = "any good thai place near the harbour open after ten"


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger.from_pretrained("builtin-t5")


@pytest.mark.parametrize("strategy", ["simple", "first", "average", "max"])
def test_spans_are_entity_groups(tagger: Tagger, strategy: str) -> None:
    found = hyperloader.pipeline("restaurant", tagger, aggregation_strategy=strategy)(TEXT)
    spans = tagger.tag(TEXT, "restaurant").spans
    assert found == [
        {"entity_group": s.label, "score": s.score, "word": s.text, "start": s.start, "end": s.end}
        for s in spans
    ]
    assert len(found) > 2


@pytest.mark.parametrize("kind", ["head", "written"])
def test_every_word_has_its_tag_and_the_tags_probability(tagger: Tagger, kind: str) -> None:
    if kind == "head":
        tagger = bert_tagger()
    task = "home" if kind == "head" else "restaurant"
    words = hyperloader.pipeline(task, tagger, ignore_labels=[])(TEXT)
    assert [entry["index"] for entry in words] == list(range(1, 11))
    assert [TEXT[entry["start"] : entry["end"]] for entry in words] == TEXT.split()
    inside = [entry for entry in words if entry["entity"] != "O"]
    assert hyperloader.pipeline(task, tagger)(TEXT) == inside
    spans = tagger.tag(TEXT, task).spans
    assert [e["entity"][2:] for e in inside] == [
        s.label for s in spans for _ in range(s.word_start, s.word_end)
    ]
    assert [e["start"] for e in inside if e["entity"][0] == "B"] == [s.start for s in spans]
    assert all(0 < entry["score"] <= 1 for entry in words)
    if kind == "written":  # surely a good tagger's tags are likely ones
        assert min(entry["score"] for entry in words) > 0.2


def test_lists_streams_and_strategies_per_call(tagger: Tagger) -> None:
    tag = hyperloader.pipeline("restaurant", tagger, aggregation_strategy="simple", batch_size=2)
    texts = [TEXT, "", "cheap pizza"]
    expected = tag(texts)
    assert list(map(len, expected)) == [len(tag(text)) for text in texts]
    assert len(expected[0]) > 2
    stream = tag(text for text in texts)
    assert not isinstance(stream, list)
    assert [list(map(len, found)) for found in stream] == [list(map(len, f)) for f in expected]
    assert "entity" in tag(TEXT, aggregation_strategy="none")[0]
    assert tag([]) == []


def test_mistakes_are_told(tagger: Tagger) -> None:
    with pytest.raises(HyperloaderError, match="unknown aggregation strategy 'simpel'; did you"):
        hyperloader.pipeline("movie", tagger, aggregation_strategy="simpel")
    with pytest.raises(HyperloaderError, match="unknown task 'ner'"):
        hyperloader.pipeline("ner", tagger)
    with pytest.raises(HyperloaderError, match="does not exist"):
        hyperloader.pipeline("movie", model="./nowhere")


def place(span: dict[str, Any]) -> tuple[Any, ...]:
    """A span without its score, which differs in its last digits from batch to batch."""
    return span["start"], span["end"], span["text"], span["label"]


def test_datasets_maps_rows(tmp_path: Path) -> None:
    codec = tiny_codec()
    tagger = Tagger(tiny_model(codec, random=True, seed=8), codec)
    texts = ["play little robin", "", "show me flights from boston"] * 3
    rows = Dataset.from_dict({"id": list(range(9)), "question": texts})
    function = tagger.map_function("music", "question", column="found")
    many = rows.map(function, batched=True, batch_size=4, load_from_cache_file=False)
    one = rows.map(function, load_from_cache_file=False)
    assert many.column_names == ["id", "question", "found"]
    assert [list(map(place, row["found"])) for row in one] == [
        list(map(place, row["found"])) for row in many
    ]
    expected: list[Any] = [
        [(s.start, s.end, s.text, s.label) for s in tagged.spans]
        for tagged in tagger.tag(texts, "music")
    ]
    assert [list(map(place, row["found"])) for row in many] == expected
    assert any(expected)
    with pytest.raises(HyperloaderError, match="unknown column 'txt'"):
        tagger.map_function("music", "txt")({"text": ["a"]})
    with pytest.raises(HyperloaderError, match="unknown task"):
        tagger.map_function("nothing")
