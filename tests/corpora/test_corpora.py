"""Registry, splits and statistics, on the real corpora and on small folders."""

import bz2
import gzip
import lzma
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.reading.options import ReadOptions, parse_options
from hyperloader.corpora.registry import (
    find_parts,
    load_corpora,
    load_corpus,
    part_of,
    read_corpus,
)
from hyperloader.corpora.splits import draw, subsample
from hyperloader.corpora.stats import TABLE2, absent_corpora, corpus_stats
from hyperloader.corpora.writing import write_part
from hyperloader.errors import DataError
from hyperloader.types import Example, Span

MIT = ("movie", "movie_trivia", "restaurant")
PRESENT = sorted(TABLE2)


def sentence(number: int, **more: object) -> Example:
    return Example(("word", str(number)), (Span(1, 2, "n"),), "task", **more)  # type: ignore[arg-type]


def conll(folder: Path, name: str, size: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(f"word\tO\n{i}\tB-n\n\n" for i in range(size)), "utf-8")


def test_sizes_and_labels_are_those_of_table_2(corpora: dict[str, Corpus]) -> None:
    assert list(corpora) == PRESENT
    for name, corpus in corpora.items():
        row = TABLE2[name]
        assert [len(corpus.splits[part]) for part in SPLITS] == [
            row.train,
            row.validation,
            row.test,
        ]
        assert all(e.task == name for examples in corpus.splits.values() for e in examples)
        assert len(corpus.labels()) == {"mtod": 16}.get(name, row.labels)
    assert {n: len(c.labels("train")) for n, c in corpora.items()} == {
        "atis": 79, "movie": 12, "movie_trivia": 12, "mtod": 15, "mtop": 74, "restaurant": 8,
        "snips": 39,
    }  # fmt: skip


def test_statistics(corpora: dict[str, Corpus]) -> None:
    stats = {name: corpus_stats(corpus) for name, corpus in corpora.items()}
    seen = {name: f"{row.test_in_train:.2%}" for name, row in stats.items()}
    assert seen == {
        "atis": "1.46%", "movie": "0.98%", "movie_trivia": "0.00%", "mtod": "32.61%",
        "mtop": "0.34%", "restaurant": "0.00%", "snips": "3.71%",
    }  # fmt: skip
    assert max(row.longest for row in stats.values()) == 76
    frequent = [r for r in stats["mtod"].spans_by_label.values() if r["train"] >= 100]
    assert len(frequent) == TABLE2["mtod"].labels
    assert any("16 slot types; Table 2 has 9 (9 types" in note for note in stats["mtod"].notes)
    assert any("stoploc.airport_code" in note for note in stats["atis"].notes)
    assert stats["snips"].notes == stats["movie"].notes == []
    assert absent_corpora(corpora) == []
    assert absent_corpora(["atis", "mine"]) == sorted(set(TABLE2) - {"atis"})
    assert absent_corpora(["mine"]) == []


def test_intents_are_kept(corpora: dict[str, Corpus]) -> None:
    assert corpora["snips"].splits["train"][0].intent == "PlayMusic"
    assert {e.intent for e in corpora["movie"].splits["test"]} == {None}


def test_published_validation_indices_are_used(shared: Path, corpora: dict[str, Corpus]) -> None:
    folder = shared / "data" / "labelled" / "restaurant"
    indices = [int(row) for row in (folder / "valid_indices_sz128.txt").read_text().split()]
    blocks = (folder / "restauranttrain.bio").read_text("utf-8").strip("\n").split("\n\n")
    expected = [[row.split("\t")[1] for row in blocks[i].split("\n")] for i in indices]
    assert [list(e.words) for e in corpora["restaurant"].splits["validation"]] == expected


@pytest.mark.parametrize(("name", "size"), [*zip(MIT, (978, 782, 766), strict=True)])
def test_drawn_validation_has_the_size_of_table_2(
    shared: Path, tmp_path: Path, name: str, size: int
) -> None:
    (path,) = (shared / "data" / "labelled" / name).glob("*train.bio")
    (tmp_path / path.name).symlink_to(path)
    drawn = load_corpus(tmp_path, name).splits
    whole = read_corpus(tmp_path).splits["train"]
    assert len(drawn["validation"]) == size
    assert sorted(e.words for e in drawn["train"] + drawn["validation"]) == sorted(
        e.words for e in whole
    )
    # Sampled, not sliced: both halves of the file are in it, about evenly.
    half = {e.words for e in whole[: len(whole) // 2]}
    assert 0.4 < sum(e.words in half for e in drawn["validation"]) / size < 0.6


def blank(sizes: dict[str, int]) -> Corpus:
    return Corpus("task", {p: tuple(sentence(i) for i in range(n)) for p, n in sizes.items()})


def test_low_resource_sizes_sum_as_published() -> None:
    whole = [Corpus(name, {"train": (sentence(0),) * row.train}) for name, row in TABLE2.items()]
    sums = {
        fraction: sum(len(subsample(corpus, fraction).splits["train"]) for corpus in whole)
        for fraction in (0.1, 0.2, 0.5, 1.0)
    }
    assert sums == {0.1: 8_644, 0.2: 17_291, 0.5: 43_236, 1.0: 86_475}


@settings(max_examples=40)
@given(st.integers(1, 60), st.sampled_from((0.1, 0.2, 0.29, 0.5, 0.99)), st.integers(0, 5))
def test_subsamples_are_nested_and_ordered(size: int, fraction: float, seed: int) -> None:
    corpus = blank({"train": size, "validation": size // 2, "test": 7})
    small, large = (subsample(corpus, f, seed).splits for f in (fraction, min(1, 2 * fraction)))
    for part in ("train", "validation"):
        whole = corpus.splits[part]
        assert set(small[part]) <= set(large[part]) <= set(whole)
        places = [whole.index(example) for example in small[part]]
        assert places == sorted(places)
        assert len(places) == min(len(whole), max(1, round(fraction * 100) * len(whole) // 100))
    assert small["test"] == corpus.splits["test"]


def test_draws_stay_what_they_are() -> None:
    assert draw(10, 3, 42, "train") == [0, 5, 9]
    assert draw(10, 3, 42, "validation") != draw(10, 3, 42, "train") != draw(10, 3, 43, "train")
    for fraction in (0, -0.1, 1.1):
        with pytest.raises(ValueError, match="fraction"):
            subsample(blank({"train": 5}), fraction)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train.conll", "train"), ("engtrain.bio", "train"), ("trivia10k13test.bio", "test"),
        ("my_train.jsonl", "train"), ("train-en.tsv", "train"), ("eval-de_DE.tsv", "validation"),
        ("dev.txt", "validation"), ("Validation.json", "validation"), ("contest.txt", None),
        ("test_results.txt", None), ("valid_indices_sz128.txt", None), ("latest.conll", None),
        ("eng.train", "train"), ("eng.testa", "validation"), ("eng.testb", "test"),
        ("testa.txt", "validation"), ("testb.txt", "test"), ("devel.conll", "validation"),
        ("emerging.test.annotated", "test"), ("wnut17train.conll", "train"),
        ("NER-de-dev.tsv", "validation"), ("dev", "validation"), ("extra", None),
        ("train.conll.xz", "train"), ("test.json.gz", "test"), ("eng.train.gz", "train"),
        ("train-00003-of-00010.parquet", "train"),
        ("validation-00000-of-00001-0123456789abcdef.parquet", "validation"),
    ],
)  # fmt: skip
def test_part_of_a_name(name: str, part: str | None) -> None:
    assert part_of(Path(name)) == part


def test_own_folders_in_mixed_formats(tmp_path: Path) -> None:
    conll(tmp_path / "one", "train.conll", 11)
    conll(tmp_path / "two", "train.txt", 3)
    write_part([sentence(0, intent="i")], tmp_path / "two" / "dev.jsonl", "jsonl")
    (tmp_path / "two" / "README.txt").write_text("not data", "utf-8")
    corpora = load_corpora(tmp_path)
    sizes = {n: [len(c.splits[part]) for part in SPLITS] for n, c in corpora.items()}
    assert sizes == {"one": [9, 2, 0], "two": [3, 1, 0]}
    assert list(load_corpora(tmp_path, ["two"])) == ["two"]
    assert list(load_corpora(tmp_path / "one")) == ["one"]
    assert load_corpus(tmp_path / "one", "one").splits == corpora["one"].splits
    assert load_corpus(tmp_path / "one", seed=1).splits != corpora["one"].splits


def test_one_file_is_a_corpus(tmp_path: Path) -> None:
    conll(tmp_path / "mine", "all.conll", 10)
    corpus = load_corpus(tmp_path / "mine" / "all.conll")
    assert (corpus.name, [len(corpus.splits[p]) for p in SPLITS]) == ("all", [9, 1, 0])
    conll(tmp_path / "mine", "test.conll", 10)
    with pytest.raises(DataError, match="no train part"):
        load_corpus(tmp_path / "mine" / "test.conll")
    corpus = load_corpus(tmp_path / "mine" / "test.conll", require=("test",))
    assert (corpus.name, [len(corpus.splits[p]) for p in SPLITS]) == ("mine", [0, 0, 10])


def test_a_single_sentence_stays_in_train(tmp_path: Path) -> None:
    conll(tmp_path / "t", "train.conll", 1)
    assert [len(load_corpus(tmp_path / "t").splits[p]) for p in SPLITS] == [1, 0, 0]


def test_a_device_is_no_corpus() -> None:
    with pytest.raises(DataError, match="neither a folder nor a regular file"):
        load_corpora(Path(os.devnull))


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        load_corpora(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no task: looked for one folder per task"):
        load_corpora(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no corpus: looked for files named train.*seq\.in"):
        load_corpora(tmp_path)
    conll(tmp_path / "empty", "test.conll", 1)
    with pytest.raises(DataError, match=r"empty: no train part \(found: test\)"):
        load_corpora(tmp_path)
    with pytest.raises(DataError, match="unknown task 'emty'; did you mean 'empty'"):
        load_corpora(tmp_path, ["emty"])
    conll(tmp_path / "empty", "test.bio", 1)
    with pytest.raises(DataError, match=r"test\.conll: test\.bio is the test part too"):
        find_parts(tmp_path / "empty")
    conll(tmp_path / "typo", "trian.conll", 1)
    with pytest.raises(DataError, match=r"trian\.conll: the name says neither"):
        load_corpus(tmp_path / "typo")


@pytest.mark.parametrize(
    ("rows", "message"), [("0\n9\n", ":2: '9' is not"), ("1\n1\n", ":2: number 1 occurs twice")]
)
def test_bad_validation_indices(tmp_path: Path, rows: str, message: str) -> None:
    conll(tmp_path, "train.conll", 5)
    (tmp_path / "valid_indices_sz128.txt").write_text(rows)
    with pytest.raises(DataError, match=message):
        load_corpus(tmp_path)


def test_a_single_corpus_takes_the_name_that_is_asked_for(tmp_path: Path) -> None:
    conll(tmp_path / "meals", "test.conll", 2)
    for path in (tmp_path / "meals", tmp_path / "meals" / "test.conll"):
        corpora = load_corpora(path, ["food"], require=())
        assert [(name, corpus.name) for name, corpus in corpora.items()] == [("food", "food")]
        assert {e.task for e in corpora["food"].splits["test"]} == {"food"}


def test_files_that_are_not_used_are_named(tmp_path: Path) -> None:
    conll(tmp_path / "a", "train.conll", 3)
    conll(tmp_path / "a", "extra.txt", 3)
    (tmp_path / "a" / "notes.docx").write_text("x")
    (tmp_path / "a" / "images").mkdir()
    corpus = load_corpus(tmp_path / "a")
    assert {file.path: file.reason for file in corpus.unused} == {
        "extra.txt": "its name says no part",
        "notes.docx": "files with the extension .docx are not read",
        "images": "a folder without files of a known format",
    }
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "project-3.json").write_text("[]")
    with pytest.raises(DataError, match=r"not read: project-3\.json \(rename it, or give the file"):
        load_corpora(tmp_path / "b")


def test_packed_files_and_archives(tmp_path: Path) -> None:
    text = "".join(f"word\tO\n{i}\tB-n\n\n" for i in range(4)).encode()
    plain = tmp_path / "plain"
    plain.mkdir()
    packed = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    (plain / "train.conll").write_bytes(text)
    wanted = load_corpus(plain, "x").splits
    for extension, pack in packed.items():
        folder = tmp_path / extension[1:]
        folder.mkdir()
        (folder / f"train.conll{extension}").write_bytes(pack(text))
        assert load_corpus(folder, "x").splits == wanted
        (folder / f"train.conll{extension}").write_bytes(pack(text)[:-9])
        with pytest.raises(DataError, match=rf"train\.conll\{extension}: cannot be read"):
            load_corpus(folder, "x")
    archives = {
        "file.zip": ["all.conll"],
        "parts.zip": ["train.conll", "__MACOSX/._train.conll"],
        "folder.zip": ["mine/train.conll", "mine/README.md"],
        "corpora.zip": ["one/train.conll", "two/train.conll"],
    }
    for name, files in archives.items():
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for file in files:
                archive.writestr(file, text)
    for name in ("file", "parts", "folder"):
        corpora = load_corpora(tmp_path / f"{name}.zip")
        assert list(corpora) == [name]
        assert [e.words for e in corpora[name].splits["train"]] == [
            e.words for e in wanted["train"]
        ]
    assert list(load_corpora(tmp_path / "corpora.zip")) == ["one", "two"]
    (tmp_path / "broken.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"broken\.zip: not a zip archive that can be read"):
        load_corpora(tmp_path / "broken.zip")


def test_reading_options_beside_the_data(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "train.conll").write_text("a B-x O\nb O O\n\nc O O\n")
    (folder / "reading.yaml").write_text("tag: 2\n")
    for path in (tmp_path, folder, folder / "train.conll"):
        (corpus,) = load_corpora(path).values()
        assert corpus.labels() == ("x",)
        (corpus,) = load_corpora(path, options=ReadOptions(tag=3)).values()
        assert corpus.labels() == ()
    for text, message in (
        ("tags: 2\n", "unknown reading option 'tags'; did you mean 'tag'"),
        ("words: spaces\n", "unknown value of words 'spaces'"),
        ("- a\n", "not a list of 'name: value'"),
        ("a: [\n", "reading.yaml"),
    ):
        (folder / "reading.yaml").write_text(text)
        with pytest.raises(DataError, match=message):
            load_corpora(tmp_path)
    with pytest.raises(DataError, match="a reading option is NAME=VALUE, not 'tag'"):
        parse_options(["tag"])
    assert parse_options(["tag=-1", "labels=O, B-x", "strict=true"]) == ReadOptions(
        tag=-1, labels=("O", "B-x"), strict=True
    )
