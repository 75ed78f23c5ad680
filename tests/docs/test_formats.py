"""The files that docs/data.md shows are read as it says, by the command that it gives."""

import re
from pathlib import Path

import pytest

from hyperloader.corpora.formats import FORMATS
from hyperloader.corpora.registry import load_corpora

DOCS = Path(__file__).parents[2] / "docs" / "data.md"
SECTION = DOCS.read_text(encoding="utf-8").partition("\n## Each format by example\n")[2]
SECTION = SECTION.partition("\n## ")[0]
FILES = dict(re.findall(r"^`([\w./-]+)`\n```\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE))

# What the documentation shows: the path, its format, and the labels of its spans in order.
SHOWN = [
    ("conll2003", "conll", "PER LOC"),
    ("tweets", "conll", "location"),
    ("germeval", "conll", "ORG"),
    ("wikiann/en", "conll", "PER LOC"),
    ("movie", "bio", "DIRECTOR"),
    ("de.conllu", "conllu", "PER"),
    ("snips", "seq", "artist"),
    ("project-1.json", "label-studio", "city"),
    ("all.jsonl", "doccano", "person city"),
    ("ner.jsonl", "prodigy", "city"),
    ("letters", "brat", "person city"),
    ("train_data.json", "spacy-json", "person city"),
    ("wnut_17", "hf", "person city"),
    ("gliner.json", "gliner", "person city"),
    ("gliner2.jsonl", "gliner2", "person city"),
    ("spans.csv", "csv", "person city"),
    ("texts.csv", "csv", "person city"),
    ("words.csv", "csv", "person city"),
    ("nlu.yml", "inline", "city day"),
    ("mine.jsonl", "jsonl", "city"),
]
NOT_SHOWN = {"mtop", "mtod", "docbin"}  # said to be read, but too wide or not text


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("path", "form", "labels"), SHOWN)
def test_a_file_of_the_documentation(data: Path, path: str, form: str, labels: str) -> None:
    (corpus,) = load_corpora(data / path).values()
    assert {reading.format for reading in corpus.readings} == {form}
    examples = [example for part in corpus.splits.values() for example in part]
    assert [span.label for example in examples for span in example.spans] == labels.split()
    if path not in ("texts.csv", "words.csv"):  # "Or …", by the command above them
        assert f"`hyperloader train --data {path}`" in SECTION


def test_every_format_and_file_is_shown() -> None:
    assert {form for _, form, _ in SHOWN} | NOT_SHOWN == set(FORMATS)
    for name in FILES:
        assert any(name == path or name.startswith(f"{path}/") for path, _, _ in SHOWN), name
