"""From what people's tools write to a trained tagger, with one command and one path."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from hyperloader.corpora.registry import load_corpus
from hyperloader.corpora.writing import write_part
from hyperloader.evaluation.calibration import calibration_data
from hyperloader.tagger import Tagger
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example
from training_helpers import cli, corpora, refused, settings


def _content(example: Example) -> tuple[str, list[tuple[str, str]]]:
    """The words and spans of a sentence, however it was read."""
    return " ".join(example.words), [
        (" ".join(example.words[s.word_start : s.word_end]), s.label) for s in example.spans
    ]


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


def label_studio_export(examples: tuple[Example, ...], path: Path) -> None:
    """What its export "JSON" holds: annotations, a relation, and a task nobody has done."""
    write_part(examples, path, "label-studio")
    tasks = json.loads(path.read_text())
    for number, task in enumerate(tasks, start=1):
        (prediction,) = task.pop("predictions")
        done = {"id": 90 + number, "completed_by": 1, "was_cancelled": False}
        task |= {"id": number, "annotations": [{**done, "result": prediction["result"]}]}
    tasks[0]["annotations"][0]["result"].append({"type": "relation", "from_id": "a", "to_id": "b"})
    tasks.append({"id": 0, "data": {"text": "to do"}, "annotations": [], "predictions": []})
    path.write_text(json.dumps(tasks))


def conll_2003(examples: tuple[Example, ...], folder: Path) -> None:
    """``eng.train``, ``eng.testa`` and ``eng.testb``: four columns, IOB1, documents."""
    folder.mkdir(parents=True)
    for name, some in (("train", examples[4:]), ("testa", examples[:2]), ("testb", examples[2:4])):
        rows = ["-DOCSTART- -X- -X- O", ""]
        for example in some:
            tags = spans_to_bio(example.spans, len(example.words))
            iob1 = [tag.replace("B-", "I-") for tag in tags]
            for i, tag in enumerate(tags[1:], start=1):
                if tag.startswith("B-") and iob1[i - 1] == iob1[i]:
                    iob1[i] = tag  # right after another span of the same label
            rows += [f"{w} NN I-NP {t}" for w, t in zip(example.words, iob1, strict=True)] + [""]
        (folder / f"eng.{name}").write_text("\n".join(rows))


@pytest.mark.parametrize(
    ("form", "name", "task"),
    [
        ("label-studio", "project-1.json", "project-1"),
        ("doccano", "dining.jsonl", "dining"),
        ("brat", "dining", "dining"),
        ("conll", "conll2003", "conll2003"),
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
        conll_2003(examples, path)
    elif form == "label-studio":
        label_studio_export(examples, path)
    else:
        write_part(examples, path, form)
    done = cli("train", "--data", path, "--out", tmp_path / "run", *settings())
    assert done.code == 0, done
    assert f" read as {form} because " in done.err
    split = "test" if form == "conll" else "validation"
    assert done.out.splitlines()[-1].endswith(f" evaluate {tmp_path / 'run'} --split {split}")
    trained = load_corpus(path)
    found = [example for part in trained.splits.values() for example in part]
    assert sorted(map(_content, found)) == sorted(map(_content, examples))
    scored = cli("evaluate", tmp_path / "run", "--split", split, "--json")
    assert scored.code == 0, scored
    sentences = json.loads(scored.out)["tasks"][task]["sentences"]
    assert sentences == 2, "held out, or the test file: never a sentence that it was trained on"
    own = calibration_data(tmp_path / "run", None, [task])[task].splits
    assert len(own["validation"]) == 2
    assert len(own["train"]) == len(examples) - (4 if form == "conll" else 2)
    if split == "validation":
        again = cli("evaluate", tmp_path / "run", "--split", split, "--data", path, "--json")
        assert json.loads(again.out)["tasks"][task]["sentences"] == sentences
        said = refused("evaluate", tmp_path / "run")
        assert f"there are no test sentences for {task} in the data; take another part" in said
    tagger = Tagger.from_pretrained(tmp_path / "run")
    assert list(tagger.tasks) == [task]
    assert tagger.tag("a table for two", task).words == ("a", "table", "for", "two")
