"""What looks like a mistake in a corpus is named; what is only unusual is not."""

from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.oddities import oddities
from hyperloader.types import Example, Span


def sentence(text: str, label: str | None = None) -> Example:
    words = tuple(text.split(" "))
    return Example(words, (Span(0, 1, label),) if label else (), "task")


def corpus(**parts: list[Example]) -> Corpus:
    return Corpus("task", {part: tuple(examples) for part, examples in parts.items()})


def test_nothing_is_odd() -> None:
    made = corpus(
        train=[
            sentence("a b", "x"),
            sentence("c", "y"),
            sentence("\U0001f469\u200d\U0001f52c", "y"),
        ],
        test=[sentence("d", "x"), sentence("\u0645\u06cc\u200c\u062e", "y")],
    )
    assert oddities(made) == []


def test_labels_that_look_alike() -> None:
    spellings = ["per-son", "PER_SON", "caf\u00e9", "cafe\u0301", "x1", "x2"]
    made = corpus(train=[sentence(f"w{i}", label) for i, label in enumerate(spellings)])
    assert oddities(made) == [
        "labels whose spellings look alike: PER_SON, per-son",
        r"labels whose spellings look alike: 'cafe\u0301', 'caf\xe9'",
    ]
    assert oddities(corpus(train=[sentence("a", "x1"), sentence("b", "x2")])) == []


def test_labels_and_sentences_of_the_parts() -> None:
    made = corpus(
        train=[sentence("a", "x"), sentence("b", "y")],
        validation=[sentence("a", "x"), sentence("a", "x")],
        test=[sentence("b")],
    )
    assert oddities(made) == [
        "labels that occur in train only: y",
        "2 sentences of validation are in train too",
        "1 sentences of test are in train too",
        "no sentence of test has a labelled span",
    ]


def test_odd_characters() -> None:
    made = corpus(
        train=[sentence("ok", "x"), sentence("soft\u00adly", "x"), sentence("so\u00adft", "x")],
        test=[sentence("a\u200bb \ufeffc", "x"), sentence("a\u200db", "x")],
    )
    assert sorted(oddities(made)) == [
        "1 sentences with a byte order mark (U+FEFF), the first in test sentence 1",
        "1 sentences with a zero width joiner (U+200D), the first in test sentence 2",
        "1 sentences with a zero width space (U+200B), the first in test sentence 1",
        "2 sentences with a soft hyphen (U+00AD), the first in train sentence 2",
    ]
