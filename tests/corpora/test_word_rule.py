"""The rule that a corpus's words call for: by hand-made sentences, and by the real corpora."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.registry import load_corpus
from hyperloader.corpora.word_rule import natural_text, share_of_words, word_rule
from hyperloader.types import Example
from hyperloader.words import WORD_RULES, split_words


def tokenised(*sentences: str) -> Corpus:
    examples = [Example(tuple(sentence.split()), (), "t") for sentence in sentences]
    return Corpus("t", {"train": tuple(examples)})


def raw(rule: str, *texts: str) -> Corpus:
    """A corpus of texts whose words were found by ``rule``."""
    examples = []
    for text in texts:
        places = split_words(text, rule)
        words = tuple(text[a:b] for a, b in places)
        examples.append(Example(words, (), "t", text=text, offsets=tuple(places)))
    return Corpus("t", {"train": tuple(examples)})


TREEBANK = "He does n't like the U.S. , `` John 's '' home ( in 2004 ) ."
CASES = [
    ("text", tokenised(TREEBANK, "a well - known , Paris - based man")),
    ("text-hyphens", tokenised(TREEBANK, "a well-known , Paris-based man")),
    ("punctuation", tokenised("what's on at 8pm ?", "don't go , john's ill")),
    ("punctuation", tokenised("show me flights to denver", "a table for two")),
    ("whitespace", tokenised("play trips: the album", "hey, play (loud) music. now!")),
    *((rule, raw(rule, "Don't go to Paris-based Inc., at 8pm (or so).")) for rule in WORD_RULES),
]


@pytest.mark.parametrize(("rule", "corpus"), CASES)
def test_the_rule_is_that_of_the_training_words(rule: str, corpus: Corpus) -> None:
    assert word_rule({"t": corpus}) == rule


def test_every_task_counts_the_same() -> None:
    long, short = tokenised(*["play trips: now, (loud) ok."] * 90), tokenised(*[TREEBANK] * 5)
    assert share_of_words(long.splits["train"], "whitespace") == 1
    assert word_rule({"a": long, "b": short, "c": short}) != "whitespace"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("He said : `` no '' ( twice ) .", "He said: ``no'' (twice)."),
        ('a " quoted " word , 10 %', 'a "quoted" word, 10%'),
        ("do n't , John 's and the dogs ' bowls", "don't, John's and the dogs' bowls"),
        ("the ' best ' one costs $ 5 and / or # 1", "the 'best' one costs $5 and/or #1"),
        ("", ""),
    ],
)
def test_words_are_joined_as_people_write_them(words: str, text: str) -> None:
    assert natural_text(words.split())[0] == text


@given(st.lists(st.sampled_from([*"ab.,'\"()$/", "n't", "'s", "``", "’s", "...", "東"])))
def test_joined_words_lie_where_it_says(words: list[str]) -> None:
    text, places = natural_text(words)
    assert [text[a:b] for a, b in places] == words
    assert "".join(text.split()) == "".join(words)
    assert text == text.strip()
    assert "  " not in text


@pytest.mark.parametrize(
    ("folder", "rule", "least"),
    [
        ("labelled/mtop", "text", 0.99),
        ("labelled/mtod", "punctuation", 0.995),
        ("labelled/atis", "punctuation", 1),
        ("labelled/restaurant", "punctuation", 1),
        ("unseen/crossner_ai", "text-hyphens", 0.99),
        ("unseen/crossner_politics", "text-hyphens", 0.99),
    ],
)
def test_real_corpora(shared: Path, folder: str, rule: str, least: float) -> None:
    corpus = load_corpus(shared / "data" / folder)
    chosen = word_rule({"t": corpus})
    assert chosen == rule
    assert share_of_words(corpus.splits["train"][:1000], chosen) >= least
