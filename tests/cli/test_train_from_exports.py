"""From what people's tools write to a trained tagger, with one command and one path."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from hyperloader.corpora.writing import write_part
from hyperloader.tagger import Tagger
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example
from training_helpers import cli, corpora, settings


def dataset_folder(examples: tuple[Example, ...], folder: Path) -> None:
    """A folder as the ``datasets`` library saves one, tags numbered."""
    tags = [spans_to_bio(example.spans, len(example.words)) for example in examples]
    names = sorted({tag for row in tags for tag in row})
    rows = pa.table(
        {
            "tokens": [list(example.words) for example in examples],
            "ner_tags": [[names.index(tag) for tag in row] for row in tags],
        }
    )
    part = folder / "train"
    part.mkdir(parents=True)
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows)
    (part / "data-00000-of-00001.arrow").write_bytes(stream.getvalue().to_pybytes())
    feature = {"feature": {"names": names, "_type": "ClassLabel"}, "_type": "Sequence"}
    (part / "dataset_info.json").write_text(json.dumps({"features": {"ner_tags": feature}}))
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')


@pytest.mark.parametrize(
    ("form", "name", "task"),
    [
        ("label-studio", "project-1.json", "project-1"),
        ("doccano", "dining.jsonl", "dining"),
        ("brat", "dining", "dining"),
        ("conll", "dining/eng.train", "dining"),
        ("hf", "dining", "dining"),
    ],
)
def test_one_command_trains_on_it(tmp_path: Path, form: str, name: str, task: str) -> None:
    examples = corpora()["dining"].splits["train"]
    path = tmp_path / "data" / name
    path.parent.mkdir(parents=True)
    if form == "hf":
        dataset_folder(examples, path)
    elif form == "conll":
        write_part(examples, path.with_name("train.conll"), form)
        path = path.with_name("train.conll").rename(path).parent
    else:
        write_part(examples, path, form)
    done = cli("train", "--data", path, "--out", tmp_path / "run", *settings())
    assert done.code == 0, done
    tagger = Tagger.from_pretrained(tmp_path / "run")
    assert list(tagger.tasks) == [task]
    assert tagger.tag("a table for two", task).words == ("a", "table", "for", "two")
