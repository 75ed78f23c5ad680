"""The sample corpora keep what their page promises, whatever the seed."""

import hashlib
import os
import re
import subprocess
import sys
from collections import defaultdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hyperloader.corpora.corpus import SPLITS, Corpus
from hyperloader.corpora.sample import Call, Choice, Node, SampleGrammar, sample_corpora
from hyperloader.corpora.sample_words import GRAMMARS
from hyperloader.errors import ConfigError
from hyperloader.types import Example, Span

LABELS = {
    "home": "date device duration event person room setting time",
    "travel": "airline city class date from_city hotel_name price to_city",
    "dining": "amenity area cuisine dish price rating restaurant time",
}


@pytest.fixture(scope="module", params=[42, 7], ids="seed{}".format)
def corpora(request: pytest.FixtureRequest) -> dict[str, Corpus]:
    return sample_corpora(seed=request.param)


def surfaces(example: Example) -> list[str]:
    return [" ".join(example.words[span.word_start : span.word_end]) for span in example.spans]


def skeleton(example: Example) -> str:
    words = list(example.words)
    for span in reversed(example.spans):
        words[span.word_start : span.word_end] = [f"{{{span.label}}}"]
    return " ".join(words)


def digest(corpora: dict[str, Corpus]) -> str:
    content = [(task, list(corpus.splits.items())) for task, corpus in corpora.items()]
    return hashlib.sha256(repr(content).encode()).hexdigest()


def test_the_same_seed_gives_the_same_corpora_in_another_process() -> None:
    program = (
        "import hashlib\n"
        "from hyperloader.corpora.sample import sample_corpora\n"
        "content = [(t, list(c.splits.items())) for t, c in sample_corpora(train=200).items()]\n"
        "print(hashlib.sha256(repr(content).encode()).hexdigest())\n"
    )
    here = digest(sample_corpora(train=200))
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        there = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        assert there.stdout.strip() == here


def test_draws_do_not_depend_on_the_version_of_python() -> None:
    grammar = SampleGrammar.parse("sentence = a | b | c | d | e | f | g | h | i | j")
    random = Random("42 home train")
    letters = [grammar.write("train", random)[0][0] for _ in range(20)]
    assert "".join(letters) == "abeajaebedieegcjbifa"  # Python 3.10 to 3.13 agree


def test_another_seed_gives_other_sentences() -> None:
    assert digest(sample_corpora(seed=1, train=50)) != digest(sample_corpora(seed=2, train=50))


def test_a_larger_training_part_starts_with_the_smaller_one() -> None:
    small, large = sample_corpora(train=40), sample_corpora(train=80)
    for task in small:
        assert large[task].splits["train"][:40] == small[task].splits["train"]


def test_sizes_and_labels(corpora: dict[str, Corpus]) -> None:
    assert set(corpora) == set(LABELS)
    for task, corpus in corpora.items():
        assert corpus.name == task
        assert tuple(corpus.splits) == SPLITS
        assert [len(corpus.splits[split]) for split in SPLITS] == [1500, 150, 300]
        for split in SPLITS:
            assert corpus.labels(split) == tuple(LABELS[task].split())


def test_words_and_spans(corpora: dict[str, Corpus]) -> None:
    for task, corpus in corpora.items():
        for example in (e for part in corpus.splits.values() for e in part):
            assert example.task == task
            assert 3 <= len(example.words) <= 18
            assert all(re.fullmatch("[a-z]+", word) for word in example.words)
            assert all(span.word_end <= len(example.words) for span in example.spans)


def test_no_sentence_occurs_twice(corpora: dict[str, Corpus]) -> None:
    for corpus in corpora.values():
        sentences = [e.words for part in corpus.splits.values() for e in part]
        assert len(set(sentences)) == len(sentences)


def test_some_sentences_have_no_slot(corpora: dict[str, Corpus]) -> None:
    for corpus in corpora.values():
        for split in SPLITS:
            part = corpus.splits[split]
            assert 0.02 <= sum(not e.spans for e in part) / len(part) <= 0.15


def test_sentences_have_many_forms(corpora: dict[str, Corpus]) -> None:
    for corpus in corpora.values():
        assert len({skeleton(e) for e in corpus.splits["train"]}) >= 300


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_share_of_the_values_is_new(corpora: dict[str, Corpus], split: str) -> None:
    with_new_word = total = 0
    for corpus in corpora.values():
        train = corpus.splits["train"]
        known = {value for e in train for value in surfaces(e)}
        words = {word for e in train for word in e.words}
        values = [value for e in corpus.splits[split] for value in surfaces(e)]
        assert 0.15 <= sum(value not in known for value in values) / len(values) <= 0.50
        new = sum(not words.issuperset(value.split()) for value in values)
        assert new / len(values) <= 0.06
        with_new_word, total = with_new_word + new, total + len(values)
    if split == "test":
        assert 0 < with_new_word < 0.05 * total


def test_held_out_values_stay_in_their_part() -> None:
    """Beyond the luck of a draw: held-out names are missing from a training part of any seed."""
    seen: dict[str, set[str]] = defaultdict(set)
    for seed in range(3):
        for split, examples in sample_corpora(seed=seed, test=600)["travel"].splits.items():
            cities = {"from_city", "to_city", "city"}
            for e in examples:
                pairs = zip(e.spans, surfaces(e), strict=True)
                seen[split] |= {value for span, value in pairs if span.label in cities}
    assert len(seen["test"] - seen["train"]) > 0.2 * len(seen["test"])
    for split in ("validation", "test"):
        assert seen[split] - seen["train"]
    assert not (seen["validation"] - seen["train"]) & (seen["test"] - seen["train"])


def test_the_same_words_are_labelled_differently(corpora: dict[str, Corpus]) -> None:
    labels: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for task, corpus in corpora.items():
        for e in corpus.splits["train"]:
            for span, value in zip(e.spans, surfaces(e), strict=True):
                labels[value][task].add(span.label)
    across = {
        value
        for value, by_task in labels.items()
        if len(by_task) > 1 and not set.intersection(*by_task.values())
    }
    assert {"florence", "orange", "terrace"} <= across
    assert len(across) >= 20


def test_within_a_task_too_a_word_does_not_decide_its_label(corpora: dict[str, Corpus]) -> None:
    for corpus in corpora.values():
        labels: dict[str, set[str]] = defaultdict(set)
        for e in corpus.splits["train"]:
            for span in e.spans:
                for word in e.words[span.word_start : span.word_end]:
                    labels[word].add(span.label)
        assert sum(len(found) > 1 for found in labels.values()) >= 10


@settings(max_examples=15)
@given(
    seed=st.integers(-(2**40), 2**40),
    sizes=st.fixed_dictionaries({split: st.integers(0, 25) for split in SPLITS}),
)
def test_any_seed_and_size(seed: int, sizes: dict[str, int]) -> None:
    for corpus in sample_corpora(seed=seed, **sizes).values():
        assert {split: len(part) for split, part in corpus.splits.items()} == sizes


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match=r"validation=-1: .* 0 or more"):
        sample_corpora(validation=-1)


def test_a_grammar_that_runs_dry_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRAMMARS, "home", "sentence = turn (on | off) the light")
    assert len(sample_corpora(train=2, validation=0, test=0)["home"].splits["train"]) == 2
    with pytest.raises(ConfigError, match=r"home grammar .* 2 new sentences for train=3; ask for"):
        sample_corpora(train=3, validation=0, test=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = b\na = c", "'a' is defined twice"),
        ("words first\na = b", "not with 'words first'"),
        ("a = b, c", "has ','"),
        ("a = (b | c", "never closed"),
        ("a = (b ]", "does not close"),
        ("a = b )", "does not close"),
    ],
)
def test_a_grammar_with_a_slip_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SampleGrammar.parse(text)


def test_the_notation() -> None:
    grammar = SampleGrammar.parse(
        "sentence = go [very] (far | {pace=how} away)\nhow = (quite | so) fast"
    )
    throws = [(0, 0.9, 0), (0, 0, 0, 0), (0, 0.9, 0.9, 0, 0.9)]
    assert [grammar.write("train", _Dice(throw)) for throw in throws] == [
        [("go", None), ("far", None)],
        [("go", None), ("very", None), ("far", None)],
        [("go", None), ("so fast", "pace"), ("away", None)],
    ]


def test_every_rule_is_used_and_no_span_is_in_a_span() -> None:
    used: set[str] = set()

    def visit(rules: dict[str, Choice], node: Node, inside: bool) -> None:
        if isinstance(node, Choice):
            for part in (part for option in node.options for part in option):
                visit(rules, part, inside)
        elif isinstance(node, Call):
            assert not (inside and node.label), node
            used.add(node.rule)
            visit(rules, rules[node.rule], inside or node.label is not None)

    grammars = [SampleGrammar.parse(text) for text in GRAMMARS.values()]
    for grammar in grammars:
        visit(grammar.rules, Call("sentence"), False)
    assert {rule for grammar in grammars for rule in grammar.rules} == used


class _Dice:
    """Stands in for a random generator and throws what it is told to."""

    def __init__(self, throws: tuple[float, ...]):
        self._throws = iter(throws)

    def random(self) -> float:
        return next(self._throws)


def test_a_sentence_becomes_words_and_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GRAMMARS, "home", "sentence = dim the {device} now\ndevice = old lamp")
    (example,) = sample_corpora(train=1, validation=0, test=0)["home"].splits["train"]
    assert example.words == ("dim", "the", "old", "lamp", "now")
    assert example.spans == (Span(2, 4, "device"),)
