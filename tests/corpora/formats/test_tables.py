"""Tables and binary files: CSV, Parquet, folders of Hugging Face datasets, spaCy's DocBin."""

import builtins
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from corpus_files import read, surfaces, write
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError

NAMES = ["O", "B-CITY", "I-CITY"]
ROWS = {
    "id": ["0", "1"],
    "tokens": [["to", "New", "York"], ["stop"]],
    "ner_tags": [[0, 1, 2], [0]],
}


def features(names: list[str]) -> dict[str, Any]:
    return {
        "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
        "ner_tags": {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"},
    }


def table(names: list[str] | None = NAMES) -> pa.Table:
    found = pa.table(ROWS)
    if names is None:
        return found
    stored = json.dumps({"info": {"features": features(names)}})
    return found.replace_schema_metadata({"huggingface": stored})


def save_to_disk(folder: Path, part: str) -> None:
    """One part as ``DatasetDict.save_to_disk`` lays it down."""
    (folder / part).mkdir(parents=True)
    file = pa.BufferOutputStream()
    with pa.ipc.new_stream(file, table(None).schema) as writer:
        writer.write_table(table(None))
    write(folder / part, "data-00000-of-00001.arrow", file.getvalue().to_pybytes())
    write(folder / part, "dataset_info.json", json.dumps({"features": features(NAMES)}))
    write(folder / part, "state.json", json.dumps({"_split": part}))


def test_a_dataset_folder(tmp_path: Path) -> None:
    for part in ("train", "validation", "test"):
        save_to_disk(tmp_path / "cities", part)
    write(tmp_path / "cities", "dataset_dict.json", '{"splits": ["train", "validation", "test"]}')
    corpus = load_corpora(tmp_path / "cities")["cities"]
    assert {len(examples) for examples in corpus.splits.values()} == {2}
    assert surfaces(corpus.splits["train"][0]) == [("New York", "CITY")]
    assert {reading.format for reading in corpus.readings} == {"hf"}
    assert [file.path for file in corpus.unused] == ["dataset_dict.json"]


def test_a_repository_of_parquet_shards(tmp_path: Path) -> None:
    data = tmp_path / "cities" / "data"
    data.mkdir(parents=True)
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        parquet.write_table(table(), data / f"{name}.parquet")
    write(tmp_path / "cities", "README.md", "# Cities\n")
    corpus = load_corpora(tmp_path / "cities")["cities"]
    assert [len(examples) for examples in corpus.splits.values()] == [3, 1, 2]
    assert surfaces(corpus.splits["test"][0]) == [("New York", "CITY")]


def test_parquet_without_names_and_with_text(tmp_path: Path) -> None:
    parquet.write_table(table(None), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="numbers without names"):
        read(tmp_path / "x.parquet")
    (first, _), _ = read(tmp_path / "x.parquet", labels="O,B-CITY,I-CITY")
    assert surfaces(first) == [("New York", "CITY")]
    spans = [[{"start": 3, "end": 7, "label": "CITY"}]]
    parquet.write_table(pa.table({"text": ["to Oslo."], "spans": spans}), tmp_path / "y.parquet")
    (only,), _ = read(tmp_path / "y.parquet")
    assert surfaces(only) == [("Oslo", "CITY")]
    write(tmp_path, "z.parquet", b"PAR1 and then nothing")
    for options in ({}, {"format": "hf"}):
        with pytest.raises(DataError, match=r"z\.parquet: not a table that can be read"):
            read(tmp_path / "z.parquet", **options)
    with pytest.raises(DataError, match=r"x\.csv:2: not CSV"):
        read(write(tmp_path, "x.csv", 'text,label\n"a"b",c\n'))


@pytest.mark.parametrize(
    "content",
    [
        'text,start,end,label\n"to Oslo, Norway",3,7,city\n"to Oslo, Norway",9,15,country\n',
        "id;Text;Begin;End;Entity\n1;to Oslo, Norway;3;7;city\n1;to Oslo, Norway;9;15;country\n",
        'text,entities\n"to Oslo, Norway","[[3, 7, \'city\'], [9, 15, \'country\']]"\n',
        'text,label\n"to Oslo, Norway","[{""start"": 3, ""end"": 7, ""label"": ""city""}, '
        '{""start"": 9, ""end"": 15, ""text"": ""Norway"", ""label"": ""country""}]"\n',
        "Sentence #,Word,POS,Tag\nSentence: 1,to,TO,O\n,Oslo,NNP,B-city\n,\",\",\",\",O\n"
        ",Norway,NNP,B-country\n",
        "tokens,ner_tags\n"
        "\"['to', 'Oslo', ',', 'Norway']\",\"['O', 'B-city', 'O', 'B-country']\"\n",
    ],
)  # fmt: skip
def test_csv(tmp_path: Path, content: str) -> None:
    (only,), _ = read(write(tmp_path, "x.csv", content))
    assert only.words == ("to", "Oslo", ",", "Norway")
    assert surfaces(only) == [("Oslo", "city"), ("Norway", "country")]


def test_rows_of_one_text_that_stand_apart_are_said(tmp_path: Path) -> None:
    rows = "to Oslo now,3,7,city\nstop,,,\nto Oslo now,8,11,time\n"
    examples, reading = read(write(tmp_path, "x.csv", f"text,start,end,label\n{rows}"))
    assert [len(e.spans) for e in examples] == [1, 0, 1]
    (said,) = reading.notes
    assert said == (
        "texts that came before, read as sentences with these spans alone: 1 (the first in line 4)"
    )


def test_csv_rows_without_a_span_and_bad_rows(tmp_path: Path) -> None:
    header = "text\tstart\tend\tlabel\n"
    examples, _ = read(write(tmp_path, "x.tsv", header + "stop\t\t\t\nto Ely\t3\t6\tcity\n"))
    assert [surfaces(example) for example in examples] == [[], [("Ely", "city")]]
    with pytest.raises(DataError, match=r"x\.tsv:3: span 3:9 'city' does not fit a text of 6"):
        read(write(tmp_path, "x.tsv", header + "stop\t\t\t\nto Ely\t3\t9\tcity\n"))
    with pytest.raises(DataError, match=r"x\.tsv:2: 'start' is 'c', not a whole number"):
        read(write(tmp_path, "x.tsv", header + "to Ely\tc\t6\tcity\n"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text,start,end,label\nto Oslo,3,7,city, big\n", "more cells than the header has"),
        (
            "tokens,ner_tags\n\"['to' 'Oslo']\",\"['B-x' 'I-x']\"\n",
            "has no commas, as numpy writes",
        ),
    ],
)
def test_no_cell_of_a_csv_row_is_lost_or_joined(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(DataError, match=rf"x\.csv:2: not CSV .*{message}"):
        read(write(tmp_path, "x.csv", content))
    (only,), _ = read(write(tmp_path, "x.csv", "text,start,end,label\nto Oslo,3,7,city,,\n"))
    assert surfaces(only) == [("Oslo", "city")]


def docbin(*docs: Doc) -> bytes:
    return DocBin(docs=docs, store_user_data=True).to_bytes()


def test_docbin(tmp_path: Path) -> None:
    vocab = spacy.blank("en").vocab
    words, spaces = ["to", "Oslo", ".", "\n", "Now"], [True, False, False, False, False]
    doc = Doc(vocab, words=words, spaces=spaces)
    doc.set_ents([Span(doc, 1, 2, "city")])
    (only,), reading = read(write(tmp_path, "x.spacy", docbin(doc)))
    assert (only.text, only.words) == ("to Oslo.\nNow", ("to", "Oslo", ".", "Now"))
    assert (surfaces(only), reading.notes) == ([("Oslo", "city")], ())


def test_docbin_with_spans_under_keys(tmp_path: Path) -> None:
    doc = Doc(spacy.blank("en").vocab, words=["to", "New", "York", "now"])
    nested = [Span(doc, 2, 3, "word"), Span(doc, 1, 3, "city")]
    doc.spans["sc"] = SpanGroup(doc, spans=nested)
    path = write(tmp_path, "x.spacy", docbin(doc))
    (only,), reading = read(path)
    assert surfaces(only) == [("New York", "city")]
    assert reading.notes[0] == "the spans under the key 'sc' are read, not the entities"
    (only,), _ = read(path, overlap="innermost")
    assert surfaces(only) == [("York", "word")]
    doc.spans["other"] = SpanGroup(doc, spans=nested[:1])
    path = write(tmp_path, "x.spacy", docbin(doc))
    with pytest.raises(DataError, match=r"choose with spans_key \(keys: other, sc\)"):
        read(path)
    assert surfaces(read(path, spans_key="other")[0][0]) == [("York", "word")]
    with pytest.raises(DataError, match=r"y\.spacy: not a DocBin that spaCy can read"):
        read(write(tmp_path, "y.spacy", b"nothing"))


@pytest.mark.parametrize(
    ("package", "name", "advice"),
    [
        ("spacy", "x.spacy", r"hyperloader\[spacy\]"),
        ("pyarrow", "x.parquet", r"hyperloader\[arrow"),
    ],
)
def test_an_optional_library_that_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, name: str, advice: str
) -> None:
    real = builtins.__import__

    def without(wanted: str, *args: Any, **more: Any) -> Any:
        if wanted.partition(".")[0] == package:
            raise ImportError(wanted)
        return real(wanted, *args, **more)

    path = write(tmp_path, name, b"x")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=advice):
        read(path)
