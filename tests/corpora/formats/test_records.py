"""JSON forms: the project's own, Prodigy, doccano, spaCy, GLiNER, GLiNER2, Hugging Face."""

import json
from pathlib import Path
from typing import Any

import pytest

from corpus_files import jsonl, read, surfaces, write
from hyperloader.errors import DataError
from hyperloader.types import Example, Span

TEXT = "Order ramen from Ichiban, please"
RAMEN = ("ramen", "dish")
ICHIBAN = ("Ichiban", "place")


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("prodigy", {"text": TEXT, "_input_hash": 7, "answer": "accept", "_view_id": "ner_manual",
                     "spans": [{"start": 6, "end": 11, "label": "dish"},
                               {"start": 17, "end": 24, "label": "place", "text": "Ichiban"}]}),
        ("doccano", {"id": 4, "text": TEXT, "label": [[6, 11, "dish"], [17, 24, "place"]]}),
        ("doccano", {"id": 4, "data": TEXT, "label": [[6, 11, "dish"], [17, 24, "place"]]}),
        ("doccano", {"id": 4, "text": TEXT, "Comments": [],
                     "labels": [[17, 24, "place"], [6, 11, "dish"]]}),
        ("doccano", {"id": 4, "text": TEXT, "Comments": [], "relations": [],
                     "entities": [{"id": 1, "label": "dish", "start_offset": 6, "end_offset": 11},
                                  {"id": 2, "label": "place", "start_offset": 17,
                                   "end_offset": 24}]}),
        ("spacy-json", [TEXT, {"entities": [[6, 11, "dish"], [17, 24, "place"]]}]),
        ("spacy-json", {"classes": ["DISH"], "annotations": [
            [TEXT, {"entities": [[6, 11, "dish"], [17, 24, "place"]]}], None]}),
        ("gliner2", {"input": TEXT, "output": {"entities": {"dish": ["ramen"],
                                                            "place": ["Ichiban"]}}}),
        ("label-studio", {"id": 1, "text": TEXT, "annotator": 3, "ner": [
            {"start": 6, "end": 11, "text": "ramen", "labels": ["dish"]},
            {"start": 17, "end": 24, "text": "Ichiban", "labels": ["place"]}]}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["list.json", "lines.jsonl", "indented.json"])
def test_raw_text_with_spans_of_characters(
    tmp_path: Path, name: str, record: Any, form: str
) -> None:
    content = {
        "list.json": json.dumps([record]),
        "lines.jsonl": jsonl([record]),
        "indented.json": json.dumps([record], indent=1),
    }[form]
    (only,), reading = read(write(tmp_path, form, content))
    assert reading.format == name
    assert surfaces(only) == [RAMEN, ICHIBAN]
    assert (only.text, reading.notes) == (TEXT, ())
    assert only.offsets is not None
    assert tuple(TEXT[a:b] for a, b in only.offsets) == only.words


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("hf", {"id": "9", "tokens": ["Order", "ramen", "now"], "ner_tags": ["O", "B-dish", "O"]}),
        ("hf", {"words": ["Order", "ramen", "now"], "labels": ["O", "B-dish", "O"]}),
        ("hf", {"tokens": ["Order", "ramen", "now"], "pos_tags": [1, 2, 3], "ner_tags":
                ["O", "dish", "O"]}),
        ("gliner", {"tokenized_text": ["Order", "ramen", "now"], "ner": [[1, 1, "dish"]]}),
        ("jsonl", {"words": ["Order", "ramen", "now"],
                   "spans": [{"start": 1, "end": 2, "label": "dish"}]}),
    ],
)  # fmt: skip
def test_words_with_spans_of_words(tmp_path: Path, name: str, record: Any) -> None:
    (only,), reading = read(write(tmp_path, "x.json", json.dumps([record])))
    assert (reading.format, only.words) == (name, ("Order", "ramen", "now"))
    assert surfaces(only) == [RAMEN]


def test_doccano_reads_the_key_that_has_spans(tmp_path: Path) -> None:
    record = {"text": TEXT, "entities": [], "label": [[6, 11, "dish"]]}
    (only,), _ = read(write(tmp_path, "x.jsonl", jsonl([record])))
    assert surfaces(only) == [RAMEN]


def test_relations_are_counted(tmp_path: Path) -> None:
    record = {"text": "Ann met Bo", "entities": [], "relations": [{"id": 1}, {"id": 2}]}
    _, reading = read(write(tmp_path, "x.jsonl", jsonl([record])))
    assert reading.notes == ("relations, which are not read: 2 (the first in line 1)",)


def test_prodigy(tmp_path: Path) -> None:
    spaces = {
        "text": "a  b.",
        "tokens": [
            {"text": "a", "start": 0, "end": 1}, {"text": " ", "start": 2, "end": 3},
            {"text": "b", "start": 3, "end": 4}, {"text": ".", "start": 4, "end": 5},
        ],
        "spans": [{"start": 3, "end": 4, "label": "x"}],
        "answer": "accept",
    }  # fmt: skip
    unmarked = {"text": "caf\u00e9 \U0001f600 b", "answer": "accept", "intent": "i"}
    rejected = {"text": "a", "spans": [{"start": 0, "end": 1, "label": "x"}], "answer": "reject"}
    path = write(tmp_path, "x.jsonl", jsonl([spaces, rejected, unmarked]))
    (first, second), reading = read(path)
    assert first == Example(
        ("a", "b", "."), (Span(1, 2, "x"),), "task", text="a  b.", offsets=((0, 1), (3, 4), (4, 5))
    )
    assert second.words == ("café", "\U0001f600", "b")
    assert (second.spans, second.intent) == ((), "i")
    assert reading.notes == (
        "records whose answer is 'reject', which are left out: 1 (the first in line 2)",
    )


WIDE = "\U0001f600\U0001f600 a b"  # two characters, four UTF-16 units, before the first space


def test_offsets_in_utf_16_units_are_recognised_by_the_copy(tmp_path: Path) -> None:
    span = {"start": 5, "end": 6, "label": "x"}
    path = write(tmp_path, "x.jsonl", jsonl([{"text": WIDE, "spans": [{**span, "text": "a"}]}]))
    (only,), reading = read(path)
    assert surfaces(only) == [("a", "x")]
    assert reading.notes[0].startswith("spans whose offsets count UTF-16 units, as their texts")
    path = write(tmp_path, "y.jsonl", jsonl([{"text": WIDE, "spans": [{**span, "text": "b"}]}]))
    (only,), reading = read(path)
    assert (surfaces(only), reading.notes) == ([("b", "x")], ())
    path = write(tmp_path, "z.jsonl", jsonl([{"text": WIDE, "spans": [span]}]))
    (only,), reading = read(path)
    assert surfaces(only) == [("b", "x")]
    assert "taken to count characters (reading option 'units'): 1" in reading.notes[0]
    (only,), _ = read(path, units="utf-16")
    assert surfaces(only) == [("a", "x")]


def test_gliner_keeps_one_of_nested_spans_and_says_so(tmp_path: Path) -> None:
    record = {"tokenized_text": ["Bank", "of", "Ely"], "ner": [[2, 2, "city"], [0, 2, "firm"]]}
    (only,), reading = read(write(tmp_path, "x.json", json.dumps([record])))
    assert surfaces(only) == [("Bank of Ely", "firm")]
    assert len(reading.notes) == 1


def test_gliner2_finds_its_entities_in_the_text(tmp_path: Path) -> None:
    record = {
        "input": "Bo knows Bob, bo.",
        "output": {
            "entities": {"person": ["Bo", "Zoe", "BOB"]},
            "entity_descriptions": {"person": "a name"},
            "classifications": [],
        },
    }
    (only,), reading = read(write(tmp_path, "x.jsonl", jsonl([record])))
    assert surfaces(only) == [("Bo", "person"), ("Bob", "person")]
    assert reading.notes == (
        "records with 'classifications', which is not read: 1 (the first in line 1)",
        "entities that are not in their text, left out: 1 (the first in line 1)",
    )


def test_numbered_tags_get_their_names(tmp_path: Path) -> None:
    path = write(tmp_path, "train.jsonl", jsonl([{"tokens": ["Acme", "said"], "ner_tags": [3, 0]}]))
    with pytest.raises(DataError, match="'ner_tags' are numbers without names; write the names in"):
        read(path)
    names = ["O", "B-PER", "I-PER", "B-ORG", "I-ORG"]
    (only,), _ = read(path, labels=",".join(names))
    assert surfaces(only) == [("Acme", "ORG")]
    with pytest.raises(DataError, match=r"train\.jsonl:1: tag 3 is not among the 2 named ones"):
        read(path, labels="O,B-PER")
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    info = write(tmp_path, "dataset_info.json", json.dumps({"features": {"ner_tags": feature}}))
    (only,), _ = read(path)
    assert surfaces(only) == [("Acme", "ORG")]
    info.unlink()
    card = "---\ndataset_info:\n  features:\n  - name: tokens\n    sequence: string\n"
    card += "  - name: ner_tags\n    sequence:\n      class_label:\n        names:\n"
    card += "".join(f"          '{i}': {name}\n" for i, name in enumerate(names))
    write(tmp_path, "README.md", card + "---\n# A corpus\n")
    (only,), _ = read(path)
    assert surfaces(only) == [("Acme", "ORG")]


def refuses_behind(good: str, record: str, message: str, folder: Path) -> None:
    """``record`` in line 2, behind a good one, is refused by its place and with ``message``."""
    path = write(folder, "x.jsonl", f"{good}\n{record}\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert "x.jsonl:2: " in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('{"text": "a", "spans": [{"start": 0, "end": 2, "label": "x"}]}', "does not fit a text"),
        ('{"text": "a", "spans": [{"start": -1, "end": 1, "label": "x"}]}', "does not fit a text"),
        ('{"text": "a", "spans": [{"start": 1, "end": 1, "label": "x"}]}', "is empty"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1, "label": ""}]}', "without a label"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1, "label": "O"}]}', "may not be named 'O'"),
        ('{"text": "a", "spans": [{"start": 0, "end": 1, "label": "I"}]}', "may not be named 'I'"),
        ('{"text": "ab c", "spans": [{"start": 0, "end": 2, "label": "x", "text": "bc"}]}',
         "the text at 0:2 is not 'bc'"),
        ('{"text": "a", "id": 7}', "id 7 occurs twice, first in line 1; remove one"),
        ('{"text": "a"}', "no 'spans'"),
        (
            '{"text": "ab", "spans": [], "tokens": [{"text": "b", "start": 0, "end": 1}]}',
            "token 'b' is not the text at 0:1",
        ),
        ('["a"]', "not a JSON object"),
        ('{"words": ', "not JSON"),
    ],
)  # fmt: skip
def test_bad_prodigy(tmp_path: Path, record: str, message: str) -> None:
    refuses_behind('{"text": "fine", "spans": [], "id": 7}', record, message, tmp_path)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ('{"words": ["a b"], "spans": []}', "'a b' is not one word"),
        ('{"words": [], "spans": [{"start": 0, "end": 1, "label": "x"}]}',
         "a sentence without words"),
        ('{"words": ["a"], "spans": [{"start": 0, "end": 2, "label": "x"}]}', "ends after"),
        ('{"words": ["a"], "spans": [{"start": 0, "end": true, "label": "x"}]}', "whole number"),
        ('{"words": ["a", "b"], "spans": [{"start": 0, "end": 2, "label": "x"}, '
         '{"start": 1, "end": 2, "label": "y"}]}', "overlap"),
        ('{"words": ["a"], "spans": [], "text": "a", "offsets": [[0, 2]]}', "do not ascend"),
        ('{"words": ["a"], "spans": [], "offsets": [[0, 1]]}', "need a 'text'"),
        ('{"words": "a", "spans": []}', "not a list"),
        ('{"text": "a", "spans": []}', "no 'words'"),
    ],
)  # fmt: skip
def test_bad_own_form(tmp_path: Path, record: str, message: str) -> None:
    refuses_behind('{"words": ["fine"], "spans": []}', record, message, tmp_path)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"tokens": ["a"], "other": 1}], "its records have the keys other, tokens"),
        ([{"tokens": ["a", "b"], "ner_tags": ["O"]}], "x.jsonl:1: 1 tags for 2 words"),
        ([{"tokens": ["a"], "ner_tags": ["O"]}, {"tokens": ["a"], "ner_tags": ["B-a", "O"]}],
         "x.jsonl:2: 2 tags for 1 words"),
        ([["a b", {"entities": [[0, 1, "x"]]}], ["a", {"entities": [{"s": 1}]}]],
         'x.jsonl:2: entity {"s": 1} is not [start, end, label]'),
        ([{"text": "a", "label": [[0, 1, "x"]]}, {"text": "b", "label": ["x"]}],
         "x.jsonl:2: a span is 'x', not an object"),
        ([{"tokenized_text": ["a"], "ner": [[0, 1, "x"]]}], "span 0:2 'x' does not fit 1 words"),
        ([{"text": "a", "label": "positive"}], "no known format"),
    ],
)  # fmt: skip
def test_bad_records(tmp_path: Path, records: list[Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, "x.jsonl", jsonl(records)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "records",
    [
        [{"text": text, "label": []} for text in (" ", "a")],
        [{"text": text, "words": text.split(), "spans": []} for text in (" ", "a")],
    ],
)
def test_a_text_without_a_word_is_left_out_and_counted(tmp_path: Path, records: list[Any]) -> None:
    (only,), reading = read(write(tmp_path, "x.jsonl", jsonl(records)))
    assert only.words == ("a",)
    assert reading.notes == ("records without a word, which are left out: 1 (the first in line 1)",)
