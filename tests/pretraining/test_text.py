"""Reading, preparing and drawing the text of a pre-training run, and finding leaks in it."""

import lzma
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hyperloader.codec.pieces import WordPieces
from hyperloader.errors import CheckpointError, ConfigError, DataError
from hyperloader.pretraining.batches import Corruption, Sequences, cut, held_out_pairs
from hyperloader.pretraining.objectives import Symbols
from hyperloader.pretraining.prepared import HELD_OUT, Prepared, open_prepared, prepare
from hyperloader.pretraining.recipe import PretrainRecipe
from hyperloader.pretraining.text import factors, find_files, is_held_out, read_lines, scan
from hyperloader.pretraining.tokenizer import make_tokenizer, sample

RECIPE = PretrainRecipe(
    text={"held_out": 10, "weights": {"big": 1, "small": 3}},
    tokenizer={"vocab_size": 500, "sentinels": 64, "labels": ["fromloc", "quux label"]},
    objectives={"source_tokens": 32, "mix": {"spans": 1, "words": 1}},
)


def lines_of(name: str, count: int) -> list[str]:
    """Lines that all differ."""
    things = ("lamp", "song", "flight", "soup", "café")
    return [f"{name} line {i} has a {things[i % 5]} at place {i * 7 % 101}." for i in range(count)]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    (folder / "big.txt").write_text("\n\n".join(lines_of("big", 300)) + "\n", encoding="utf-8")
    with lzma.open(folder / "small.txt.xz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines_of("small", 40)))
    (folder / "notes.md").write_text("not text")
    return folder


@pytest.fixture(scope="module")
def prepared(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(text, tmp_path_factory.mktemp("prepared") / "here", RECIPE)


def sequences(prepared: Prepared, seed: int = 1, **weights: float) -> Sequences:
    corruption = Corruption(Symbols.of(prepared.tokenizer), RECIPE.objectives)
    return Sequences(prepared, corruption, weights, batch_size=8, seed=seed)


def test_files_and_lines(text: Path) -> None:
    assert list(find_files(text)) == ["big", "small"]
    assert [line for _, line in read_lines(text / "small.txt.xz")] == lines_of("small", 40)
    # Blank lines are no text, but they count as lines.
    assert [number for number, _ in read_lines(text / "big.txt")] == list(range(1, 600, 2))
    big, small = scan(text)
    assert (big.lines, small.lines) == (300, 40)
    assert small.characters == sum(map(len, lines_of("small", 40)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"good\nb\xffd\n", r"a.txt:2: broken UTF-8 at byte 1 of the line"),
        ("a.txt", b"", r"a.txt: holds no text; fill it or take it away"),
        ("a.txt", b" \n\n", r"a.txt: holds no text"),
        ("a.txt.xz", b"no xz", r"a.txt.xz:1: a damaged .xz file"),
        ("a.txt.xz", lzma.compress(b"words here\n" * 9)[:-9], r"a.txt.xz:\d+: a damaged .xz"),
        ("a.txt", b"x" * (2 << 20), r"a.txt:1: a line of more than a megabyte"),
        ("a.md", b"words", r"holds no text \(looked for .txt and .txt.xz files\)"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        scan(tmp_path)


def test_bad_folders_are_named(tmp_path: Path, text: Path) -> None:
    with pytest.raises(DataError, match=r"absent: no such folder"):
        scan(tmp_path / "absent")
    shutil.copy(text / "big.txt", tmp_path / "small.txt")
    shutil.copy(text / "small.txt.xz", tmp_path)
    with pytest.raises(DataError, match=r"small.txt.xz: small.txt has the same name"):
        scan(tmp_path)


def test_reading_takes_no_memory(tmp_path: Path) -> None:
    with lzma.open(tmp_path / "a.txt.xz", "wb", preset=0) as file:
        for _ in range(200):
            file.write(b"a line of some words that is read and forgotten again\n" * 1000)
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_lines(tmp_path / "a.txt.xz"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 200_000  # 11 MB of text
    assert peak < 2 << 20


def test_held_out_lines_are_a_property_of_the_line() -> None:
    lines = lines_of("x", 20_000)
    held = [line for line in lines if is_held_out(line, 100)]
    assert 140 < len(held) < 260
    assert all(is_held_out(line.upper(), 100) for line in held)


def test_weights_are_patterns() -> None:
    found = factors(["sgd", "wiki_a", "wiki_b"], {"wiki_a": 0, "wiki_*": 2.5})
    assert found == {"sgd": 1.0, "wiki_a": 0, "wiki_b": 2.5}
    with pytest.raises(DataError, match="leaves out every file"):
        factors(["sgd"], {"*": 0})


def test_the_sample_follows_the_weights(text: Path) -> None:
    sources = scan(text)
    whole = sum(source.characters for source in sources)
    drawn = Counter(
        line.split()[0] for line in sample(sources, {"big": 1, "small": 3}, 10 * whole, 10)
    )
    held = {
        source.name: sum(not is_held_out(line, 10) for _, line in read_lines(source.path))
        for source in sources
    }
    assert drawn == {"big": held["big"], "small": 3 * held["small"]}
    half = list(sample(sources, {"big": 1, "small": 0}, whole // 3, 10))
    assert 0.2 < len(half) / held["big"] < 0.6
    assert not any(is_held_out(line, 10) for line in half)
    assert half == list(sample(sources, {"big": 1, "small": 0}, whole // 3, 10))


def test_label_words_are_single_pieces(text: Path, prepared: Prepared) -> None:
    words = ["fromloc", "quux", "label", "O", "I"]
    pieces = WordPieces(prepared.tokenizer)
    assert [len(ids) for ids in pieces(words)] == [1] * 5
    assert len(pieces.sentinels) == 64
    plain = RECIPE.tokenizer.model_copy(update={"labels": ()})
    without = WordPieces(make_tokenizer(scan(text), {"big": 1, "small": 3}, plain, 10))
    assert min(len(ids) for ids in without(words[:3])) > 1


# Without the word mark itself, which this kind of tokenizer reads as a space, and surrogates,
# which no text has.
characters = st.characters(exclude_categories=["Cs", "Z", "Cc"], exclude_characters="▁")


@given(st.text(characters, min_size=1))
@example("\U0001f600")
@example("\U000e0100")
@example("\U0010fffd")
def test_no_character_is_lost(prepared: Prepared, word: str) -> None:
    import unicodedata

    word = unicodedata.normalize("NFC", word)
    pieces = WordPieces(prepared.tokenizer)
    ids = pieces([word])[0]
    assert pieces.unk not in ids
    assert prepared.tokenizer.decode(list(ids)).lstrip(" ") == word


def test_every_line_is_prepared_once(text: Path, prepared: Prepared) -> None:
    kept: dict[str, list[str]] = {"big": [], "small": [], HELD_OUT: []}
    for name, path in find_files(text).items():
        for _, line in read_lines(path):
            kept[HELD_OUT if is_held_out(line, 10) else name].append(line)
    assert all(kept.values())
    for name, lines in kept.items():
        assert prepared.tokenizer.decode(prepared.tokens(name)) == " ".join(lines)


def test_prepared_text_is_reused(text: Path, prepared: Prepared, tmp_path: Path) -> None:
    assert prepare(text, prepared.folder, RECIPE) == prepared
    assert prepare(None, prepared.folder, RECIPE) == prepared
    other = RECIPE.model_copy(
        update={"tokenizer": RECIPE.tokenizer.model_copy(update={"vocab_size": 600})}
    )
    with pytest.raises(ConfigError, match="was prepared with vocab_size 500, the recipe says 600"):
        prepare(text, prepared.folder, other)
    changed = tmp_path / "text"
    shutil.copytree(text, changed)
    (changed / "big.txt").write_text("something else\n")
    with pytest.raises(DataError, match=r"big.txt is not what .* was made from"):
        prepare(changed, prepared.folder, RECIPE)
    with pytest.raises(DataError, match="give --text DIR"):
        prepare(None, tmp_path / "nothing", RECIPE)


def test_damaged_prepared_text_is_refused(prepared: Prepared, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(prepared.folder, copy)
    content = (copy / "big.ids").read_bytes()
    (copy / "big.ids").write_bytes(content[:-2])
    with pytest.raises(CheckpointError, match=r"big.ids has \d+ bytes instead of"):
        open_prepared(copy)


def test_text_without_held_out_lines_is_refused(text: Path, tmp_path: Path) -> None:
    rare = RECIPE.model_copy(update={"text": RECIPE.text.model_copy(update={"held_out": 10**9})})
    with pytest.raises(DataError, match="none of its lines is held out"):
        prepare(text, tmp_path / "prepared", rare)
    assert not (tmp_path / "prepared").exists()


def test_a_tokenizer_can_be_given(text: Path, prepared: Prepared, tmp_path: Path) -> None:
    section = RECIPE.tokenizer.model_copy(update={"folder": str(prepared.folder / "tokenizer")})
    made = make_tokenizer(scan(text), {"big": 1, "small": 1}, section, 10)
    assert made.get_vocab() == prepared.tokenizer.get_vocab()
    section = section.model_copy(update={"folder": str(tmp_path)})
    with pytest.raises(ConfigError, match="cannot be loaded"):
        make_tokenizer(scan(text), {"big": 1, "small": 1}, section, 10)


def test_segments_cover_the_text() -> None:
    whole = np.arange(103, dtype=np.uint16)
    segments = [cut(whole, i, 10) for i in range(11)]
    assert {len(s) for s in segments} == {10}
    assert {int(i) for s in segments for i in s} == set(range(103))
    assert cut(whole[:4], 0, 10).tolist() == [0, 1, 2, 3]


def test_all_segments_come_before_any_comes_again(prepared: Prepared) -> None:
    found = sequences(prepared)
    drawn: dict[str, list[int]] = {name: [] for name in found.texts}
    for step in range(1, 400):
        for name, segment in found.sampler.step(step):
            drawn[name].append(segment)
    for name, order in drawn.items():
        size = found.sampler.sizes[name]
        assert size == -(-prepared.counts[name] // found.corruption.segment)
        for start in range(0, len(order) - size, size):
            assert sorted(order[start : start + size]) == list(range(size))


def test_steps_are_a_function_of_seed_and_number(prepared: Prepared) -> None:
    one, other = sequences(prepared), sequences(prepared)
    first = [one.step(n) for n in range(1, 9)]
    state = one.sampler.state()
    rest = [one.step(n) for n in range(9, 14)]
    for step in range(1, 9):
        other.step(step)
    resumed = sequences(prepared)
    resumed.sampler.restore(state)
    for number, batch in enumerate(rest, start=9):
        again, back = other.step(number), resumed.step(number)
        assert batch.objective == again.objective == back.objective
        assert (batch.source == again.source).all()
        assert (batch.source == back.source).all()
        assert (batch.target == back.target).all()
    assert {batch.objective for batch in first + rest} == {"spans", "words"}
    differing = sequences(prepared, seed=2).step(1)
    assert differing.source.tolist() != first[0].source.tolist()


def test_processes_share_a_step(prepared: Prepared) -> None:
    whole, one, two = (sequences(prepared) for _ in range(3))
    for step in range(1, 4):
        rows = whole.step(step).source
        assert (one.step(step, 0, 2).source == rows[0::2]).all()
        assert (two.step(step, 1, 2).source == rows[1::2]).all()


def test_weights_decide_how_often_a_source_is_drawn(prepared: Prepared) -> None:
    def share(**weights: float) -> float:
        found = sequences(prepared, **weights)
        drawn = Counter(name for step in range(1, 301) for name, _ in found.sampler.step(step))
        return drawn["small"] / drawn.total()

    natural = prepared.counts["small"] / (prepared.counts["small"] + prepared.counts["big"])
    assert share() == pytest.approx(natural, abs=0.03)
    assert share(small=3.0) == pytest.approx(3 * natural / (1 + 2 * natural), abs=0.03)
    assert share(small=0.0) == 0


def test_held_out_pairs_are_held_out_and_fixed(prepared: Prepared) -> None:
    corruption = sequences(prepared).corruption
    one, other = (held_out_pairs(prepared, corruption, "spans", 4) for _ in range(2))
    assert [p.source.tolist() for p in one] == [p.source.tolist() for p in other]
    assert len(one) == 4
    everything = held_out_pairs(prepared, corruption, "spans", 10**6)
    assert len(everything) == -(-prepared.counts[HELD_OUT] // corruption.segment)


def test_no_file_takes_the_name_of_what_is_held_out(tmp_path: Path) -> None:
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "Held-Out.txt").write_text("a sentence\n" * 20)
    with pytest.raises(DataError, match=r"may not be named held-out\.txt"):
        prepare(tmp_path / "text", tmp_path / "prepared", PretrainRecipe())
