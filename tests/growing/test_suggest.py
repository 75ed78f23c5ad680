"""What is suggested for labelling: the least sure first, no two alike, and readable back."""

import math
from pathlib import Path

import pytest

from bert_helpers import bert_tagger
from hyperloader import suggest
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError, HyperloaderError
from hyperloader.growing.suggest import uncertainty
from hyperloader.types import Alternative, TaggedText
from training_helpers import cli, refused

POOL = [
    "play the song",
    "a table for two at noon",
    "switch on the light in the kitchen",
    "Switch on the light in the kitchen!",
    "remind me of the dentist tomorrow",
    "is there a cheap place nearby",
]


def tagged(*words: list[float]) -> TaggedText:
    """A text whose words have tags of these probabilities."""
    choices = tuple(tuple(Alternative((str(i),), p) for i, p in enumerate(word)) for word in words)
    names = tuple(f"w{i}" for i in range(len(words)))
    return TaggedText(" ".join(names), names, (), (), "t", choices)


def test_uncertainty_is_the_mean_entropy_in_nats() -> None:
    assert uncertainty(tagged([1.0], [1.0])) == 0
    assert uncertainty(tagged([0.5, 0.5])) == pytest.approx(math.log(2))
    assert uncertainty(tagged([0.5, 0.5], [1.0])) == pytest.approx(math.log(2) / 2)
    # What is left over counts as one more tag.
    assert uncertainty(tagged([0.5, 0.25])) == pytest.approx(1.5 * math.log(2))


def test_the_least_sure_come_first_and_of_like_ones_one() -> None:
    tagger, task = bert_tagger(), bert_tagger().tasks[0]
    pool = [*POOL, POOL[0], "", "   "]
    found = suggest(tagger, pool, task, count=99)
    assert sorted(one.tagged.text for one in found) == sorted(POOL)
    alone = {text: uncertainty(tagger.tag(text, task, alternatives=16)) for text in POOL}
    assert found[0].tagged.text == max(alone, key=lambda text: alone[text])
    assert [one.uncertainty for one in found] == pytest.approx(
        [alone[o.tagged.text] for o in found]
    )
    # Two that differ in a capital and a mark are as far apart as can be.
    places = [one.tagged.text for one in found]
    assert max(places.index(POOL[2]), places.index(POOL[3])) == len(POOL) - 1
    assert [o.tagged.text for o in suggest(tagger, pool, task, count=2)] == places[:2]


def test_what_cannot_be_suggested_is_refused() -> None:
    tagger = bert_tagger()
    with pytest.raises(DataError, match="no sentence"):
        suggest(tagger, ["", " "], tagger.tasks[0])
    with pytest.raises(HyperloaderError, match="at least 1"):
        suggest(tagger, POOL, tagger.tasks[0], count=0)
    with pytest.raises(HyperloaderError, match="unknown task 'none'"):
        suggest(tagger, POOL, "none")


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("jsonl", "todo.jsonl"),
        ("label-studio", "todo.json"),
        ("doccano", "todo.jsonl"),
        ("brat", "todo"),
    ],
)
def test_what_is_written_reads_back_with_the_answers(form: str, name: str, tmp_path: Path) -> None:
    tagger = bert_tagger()
    task = tagger.tasks[0]
    tagger.save_pretrained(tmp_path / "tagger")
    (tmp_path / "pool.txt").write_text("\n".join(POOL))
    out = tmp_path / name
    options = ("--task", task, "--count", 4, "--out", out, "--to", form)
    done = cli("suggest", tmp_path / "tagger", "--pool", tmp_path / "pool.txt", *options)
    assert done.code == 0, done.err
    (corpus,) = load_corpora(out, require=()).values()
    examples = [e for part in corpus.splits.values() for e in part]
    expected = {s.tagged.text: s for s in suggest(tagger, POOL, task, count=4)}
    assert len(examples) == len(expected) == 4
    assert any(e.spans for e in examples)
    for example in examples:
        text = example.text or " ".join(example.words)
        assert example.offsets is not None
        places = {
            (example.offsets[s.word_start][0], example.offsets[s.word_end - 1][1], s.label)
            for s in example.spans
        }
        assert places == {(s.start, s.end, s.label) for s in expected[text].tagged.spans}
    again = ("suggest", tmp_path / "tagger", "--pool", tmp_path / "pool.txt", *options)
    assert "exists already" in refused(*again)


def test_it_is_shown_where_nothing_is_written_and_read_from_a_pipe(tmp_path: Path) -> None:
    tagger = bert_tagger()
    tagger.save_pretrained(tmp_path / "tagger")
    given = "\n".join(POOL).encode()
    options = ("--task", tagger.tasks[0], "--count", 2)
    done = cli("suggest", tmp_path / "tagger", "--pool", "-", *options, stdin=given)
    assert done.code == 0, done.err
    assert len(done.out.splitlines()) == 2
    missing = ("--pool", tmp_path / "nothing.txt", *options)
    assert "cannot be read" in refused("suggest", tmp_path / "tagger", *missing)
