"""``hyperloader data``: what users type, what they see, what lies on disk afterwards."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from hyperloader.cli.data import app
from hyperloader.corpora.formats import FORMATS
from hyperloader.corpora.registry import load_corpus
from hyperloader.errors import DataError

BIO = "O\tplay\nB-artist\tabba\n\nO\tstop\n\n"


def call(*args: object) -> Result:
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    if isinstance(result.exception, DataError):
        raise result.exception
    return result


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for part in ("train", "dev", "test"):
        (folder / f"{part}.bio").write_text(BIO)
    return folder


def test_stats_table_on_the_real_corpora(shared: Path) -> None:
    output = call("stats", shared / "data" / "labelled").output
    table = output.partition("\natis\n")[0]
    rows = {line.split()[0]: line.split()[1:] for line in table.splitlines() if line.strip()}
    assert rows["snips"] == ["13,084", "700", "700", "39", "39", "130,438", "35", "3.71%"]
    assert "mtod: 16 slot types; Table 2 has 9" in output
    assert "mtod: 32.61% of the test sentences are training sentences too" in output
    assert max(map(len, table.splitlines())) <= 80
    read = "  train: {}/atis/train read as seq because it has seq.in and seq.out"
    assert read.format(shared / "data" / "labelled") in output
    assert "  not read: official (a folder without files of a known format)" in output
    assert (
        "    tags that go on with no open span, read as the start of one: 2 (the first in" in output
    )


def test_stats_json(corpus: Path) -> None:
    document = json.loads(call("stats", corpus.parent, "--task", "music", "--json").stdout)
    assert document["absent"] == []
    music = document["corpora"]["music"]
    assert music["parts"]["validation"] == {"sentences": 2, "words": 3, "spans": 1, "longest": 2}
    assert music["spans_by_label"] == {"artist": {"train": 1, "validation": 1, "test": 1}}
    assert (music["test_in_train"], music["labels"], music["intents"]) == (1.0, 1, 0)
    with pytest.raises(DataError, match="unknown task 'musik'; did you mean 'music'"):
        call("stats", corpus.parent, "--task", "musik")


@pytest.mark.parametrize(
    ("to", "files"),
    [
        ("seq", ["test/seq.in", "test/seq.out", "train/seq.in", "train/seq.out"]),
        ("brat", ["test/00001.txt", "test/00001.ann", "train/00001.txt", "train/00001.ann"]),
        ("label-studio", ["test.json", "train.json", "validation.json"]),
        ("hf", ["test.json", "train.json", "validation.json"]),
        ("docbin", ["test.spacy", "train.spacy", "validation.spacy"]),
        ("bio", ["test.bio", "train.bio", "validation.bio"]),
        ("conll", ["test.conll", "train.conll", "validation.conll"]),
        ("jsonl", ["test.jsonl", "train.jsonl", "validation.jsonl"]),
        ("prodigy", ["test.jsonl", "train.jsonl", "validation.jsonl"]),
    ],
)
def test_convert_a_folder(corpus: Path, tmp_path: Path, to: str, files: list[str]) -> None:
    target = tmp_path / "new" / "place"
    result = call("convert", corpus, target, "--to", to)
    assert "sentences: train 2, validation 2, test 2" in result.output
    written = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert set(files) <= written
    assert list(target.parent.iterdir()) == [target]
    back = call("convert", target, tmp_path / "back", "--to", "bio")
    assert back.exit_code == 0
    assert {(tmp_path / "back" / f"{part}.bio").read_text() for part in ("train", "test")} == {BIO}
    assert load_corpus(tmp_path / "back", "x") == load_corpus(corpus, "x")
    call("convert", corpus, target, "--to", to, "--force")


def test_convert_one_part(corpus: Path, tmp_path: Path) -> None:
    call("convert", corpus / "train.bio", tmp_path / "train.conll", "--to", "conll")
    assert (tmp_path / "train.conll").read_text() == "play\tO\nabba\tB-artist\n\nstop\tO\n\n"
    call("convert", tmp_path / "train.conll", tmp_path / "train", "--to", "seq")
    assert (tmp_path / "train" / "seq.out").read_text() == "O B-artist\nO\n"
    call("convert", tmp_path / "train", tmp_path / "again.bio", "--to", "bio")
    assert (tmp_path / "again.bio").read_text() == BIO
    with pytest.raises(
        DataError, match=r"x\.conll: would not be read as bio; name the file x\.bio"
    ):
        call("convert", corpus / "train.bio", tmp_path / "x.conll", "--to", "bio")
    call("convert", corpus / "train.bio", tmp_path / "brat", "--to", "brat")
    assert (tmp_path / "brat" / "00001.ann").read_text() == "T1\tartist 5 9\tabba\n"


def test_existing_places_are_safe(corpus: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    call("convert", corpus, target, "--to", "conll")
    with pytest.raises(
        DataError, match=r"out\.jsonl: exists already; name another place or add --force"
    ):
        call("convert", corpus, target, "--to", "jsonl")
    call("convert", corpus, target, "--to", "jsonl", "--force")
    assert sorted(path.suffix for path in target.iterdir()) == [".jsonl"] * 3
    (target / "thesis.docx").write_text("mine")
    with pytest.raises(DataError, match=r"thesis\.docx: not a corpus file"):
        call("convert", corpus, target, "--to", "bio", "--force")
    with pytest.raises(DataError, match=r"out\.jsonl: is a folder"):
        call("convert", corpus / "train.bio", target, "--to", "jsonl", "--force")
    assert (target / "thesis.docx").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["music", "out.jsonl"]


def test_convert_refuses_what_it_cannot_write(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown format to write 'conl'; did you mean 'conll'"):
        call("convert", corpus, tmp_path / "out", "--to", "conl")
    (corpus / "dev.bio").unlink()
    (corpus / "dev.jsonl").write_text('{"words": ["hi"], "spans": [], "intent": "greet"}\n')
    with pytest.raises(
        DataError, match=r"validation sentence 1 \('hi'\) does not fit conll: .*inte"
    ):
        call("convert", corpus, tmp_path / "out", "--to", "conll")
    assert not (tmp_path / "out").exists()


def test_formats_shows_every_example() -> None:
    output = call("formats").output
    for name, entry in FORMATS.items():
        assert f"{name}: {entry.description}" in output
        assert all(f"    {line}\n" in output for line in entry.example.split("\n"))
    assert "seq.out: O B-artist" in output


@pytest.mark.parametrize("command", ["stats", "convert", "formats"])
def test_help_teaches_with_an_example(command: str) -> None:
    assert f"hyperloader data {command}" in call(command, "--help").output


def test_convert_says_what_was_lost(tmp_path: Path) -> None:
    export = tmp_path / "export.json"
    result = {"type": "labels", "value": {"start": 10, "end": 14, "labels": ["city"]}}
    task = {"data": {"text": "Opened in Oslo."}, "annotations": [{"result": [result]}]}
    export.write_text(json.dumps([task]))
    with pytest.raises(DataError, match=r"change its text and offsets; .* the loss with --lossy"):
        call("convert", export, tmp_path / "train.conll", "--to", "conll")
    output = call("convert", export, tmp_path / "train.conll", "--to", "conll", "--lossy").output
    assert "read as label-studio because its tasks have 'data' and 'annotations'" in output
    assert "conll does not hold text: lost in 1 sentences" in output
    rows = (tmp_path / "train.conll").read_text().split("\n")
    assert rows[:4] == ["Opened\tO", "in\tO", "Oslo\tB-city", ".\tO"]


def test_reading_options(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.conll"
    path.write_text("play VB O B-verb\nabba NN B-artist O\n")
    call("convert", path, tmp_path / "y.conll", "--to", "conll", "--read", "tag=3")
    assert (tmp_path / "y.conll").read_text() == "play\tO\nabba\tB-artist\n\n"
    with pytest.raises(DataError, match="unknown reading option 'tg'; did you mean 'tag'"):
        call("convert", path, tmp_path / "z.conll", "--to", "conll", "--read", "tg=3")
    path.write_text("play O\nabba I-artist\nstop B-x\n")
    with pytest.raises(DataError, match=r"x\.conll:1: tags that go on with no open span"):
        call("stats", path, "--strict")


def test_stats_names_oddities(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    rows = "play\tO\nab\u00adba\tB-artist\n\nqueen\tB-Artist\n\n"
    (folder / "train.conll").write_text(rows)
    (folder / "dev.conll").write_text("later\tO\n")
    (folder / "test.conll").write_text(rows + "now\tB-time\n")
    (folder / "old.txt").write_text(rows)
    output = call("stats", folder).output
    for line in (
        "not read: old.txt (its name says no part)",
        "odd: labels whose spellings look alike: Artist, artist",
        "odd: 2 sentences of test are in train too",
        "odd: 2 sentences with a soft hyphen (U+00AD), the first in train sentence 1",
        "odd: no sentence of validation has a labelled span",
    ):
        assert f"  {line}\n" in output
    document = json.loads(call("stats", folder, "--json").output)["corpora"]["music"]
    assert document["unused"] == [{"path": "old.txt", "reason": "its name says no part"}]
    assert document["readings"][0]["format"] == "conll"
    assert any("look alike" in oddity for oddity in document["oddities"])
