"""Registry, splits, statistics and writers, on the real corpora and on small folders."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.registry import find_parts, load_corpora, load_corpus, part_of, read_parts
from hyperloader.corpora.splits import draw, subsample
from hyperloader.corpora.stats import TABLE2, absent_corpora, corpus_stats
from hyperloader.corpora.writing import WRITERS, render_part, write_corpus, write_part
from hyperloader.errors import DataError
from hyperloader.types import Example, Span

MIT = ("movie", "movie_trivia", "restaurant")
PRESENT = sorted(TABLE2)


@pytest.fixture(scope="module")
def corpora(shared: Path) -> dict[str, Corpus]:
    return load_corpora(shared / "data" / "labelled")


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
        "restaurant": "0.00%", "snips": "3.71%",
    }  # fmt: skip
    assert max(row.longest for row in stats.values()) == 76
    frequent = [r for r in stats["mtod"].spans_by_label.values() if r["train"] >= 100]
    assert len(frequent) == TABLE2["mtod"].labels
    assert any("16 slot types; Table 2 has 9 (9 types" in note for note in stats["mtod"].notes)
    assert any("stoploc.airport_code" in note for note in stats["atis"].notes)
    assert stats["snips"].notes == stats["movie"].notes == []
    assert absent_corpora(corpora) == ["mtop"]
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
    whole = read_parts(tmp_path)["train"]
    assert len(drawn["validation"]) == size
    assert sorted(e.words for e in drawn["train"] + drawn["validation"]) == sorted(
        e.words for e in whole
    )
    # Sampled, not sliced: both halves of the file are in it, about evenly.
    half = {e.words for e in whole[: len(whole) // 2]}
    assert 0.4 < sum(e.words in half for e in drawn["validation"]) / size < 0.6


@pytest.mark.parametrize("to", list(WRITERS))
@pytest.mark.parametrize("name", PRESENT)
def test_round_trip_of_published_corpora(
    corpora: dict[str, Corpus], tmp_path: Path, name: str, to: str
) -> None:
    parts = {part: corpora[name].splits[part][:300] for part in SPLITS}
    if name not in MIT and to in ("bio", "conll"):
        with pytest.raises(DataError, match=r"train sentence 1 .* would change its intent"):
            write_corpus(parts, tmp_path / "out", to)
        assert list(tmp_path.iterdir()) == []
        return
    write_corpus(parts, tmp_path / "out", to)
    back = load_corpus(tmp_path / "out", name).splits
    bare = {p: [(e.words, e.spans, e.intent, e.task) for e in back[p]] for p in SPLITS}
    assert bare == {p: [(e.words, e.spans, e.intent, e.task) for e in parts[p]] for p in SPLITS}
    if to != "prodigy":
        assert back == parts


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


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        load_corpora(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no task: looked for one folder a task"):
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


WORD = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=4).filter(
    lambda word: word.split() == [word]
)


@st.composite
def examples(draw: st.DrawFn) -> Example:
    words = draw(st.lists(st.one_of(WORD, st.sampled_from(["#", "O", "-DOCSTART-"])), min_size=1))
    borders = sorted(draw(st.sets(st.integers(0, len(words)), max_size=4)))
    spans = tuple(
        Span(a, b, draw(st.sampled_from(("x", "a-b", "ü/y"))))
        for a, b in zip(borders[::2], borders[1::2], strict=False)
    )
    gaps = draw(st.lists(st.sampled_from((" ", "  ", "\t", "\u2028")), min_size=len(words)))
    text, offsets = "", []
    for word, gap in zip(words, gaps, strict=False):
        offsets.append((len(text), len(text) + len(word)))
        text += word + gap
    intent = draw(st.sampled_from((None, "play", "a b")))
    if draw(st.booleans()):
        return Example(tuple(words), spans, "task", intent=intent)
    return Example(tuple(words), spans, "task", text=text, offsets=tuple(offsets), intent=intent)


@settings(max_examples=60)
@given(st.lists(examples(), min_size=1, max_size=3), st.sampled_from(list(WRITERS)))
def test_written_reads_back_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, sentences: list[Example], to: str
) -> None:
    folder = tmp_path_factory.mktemp("written") / "c"
    try:
        write_corpus({"train": sentences}, folder, to)
    except DataError:
        assert to not in ("jsonl", "prodigy"), "these hold every such sentence"
        return
    back = read_parts(folder, "task")["train"]
    assert [(e.words, e.spans, e.intent) for e in back] == [
        (e.words, e.spans, e.intent) for e in sentences
    ]
    if to == "jsonl":
        assert list(back) == sentences
    for ours, theirs in zip(sentences, back, strict=True):
        joined = " ".join(ours.words)
        assert (ours.text or joined) == (theirs.text or joined)


@pytest.mark.parametrize(
    ("example", "to", "message"),
    [
        (Example(("a", "b"), (), "t", text="a  b", offsets=((0, 1), (3, 4))), "conll",
         "change its text and offsets"),
        (Example(("a",), (Span(0, 1, "x y"),), "t"), "seq", "2 tags for the 1 words"),
        (Example(("-DOCSTART-",), (), "t"), "conll", "read back as 0 sentences"),
        (Example(("\ufeffa",), (), "t"), "conll", "change its words"),
        (Example(("ann",), (), "t", text="Ann", offsets=((0, 3),)), "prodigy",
         "token 'ann' is not the text"),
        (Example(("\ud800",), (), "t"), "conll", "would not read back"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused(example: Example, to: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        render_part([sentence(1), example], to, "test")
    assert "test sentence 2" in str(caught.value)


def test_regular_text_is_no_loss() -> None:
    whole = Example(("a", "b"), (), "t", text="a b", offsets=((0, 1), (2, 3)))
    assert render_part([whole], "conll", "test") == {".conll": "a\tO\nb\tO\n\n"}
