"""Raw text against the words of a file: how they are compared, and what the command says."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hyperloader.codec.codec import CodecConfig
from hyperloader.corpora.writing import write_corpus
from hyperloader.evaluation.raw_text import raw_text_evaluation, raw_text_scores
from hyperloader.tagger import Tagger
from hyperloader.tagging import joined_places
from hyperloader.types import Example, Span, TaggedSpan, TaggedText
from hyperloader.words import split_words
from training_helpers import cli, corpora, refused, settings

NAMES = {"Oslo", "Rome"}


class Cities:
    """Stands for a tagger: a word is a city if it is one of ``NAMES``, letter by letter."""

    def __init__(self, words: Any) -> None:
        self.codec = SimpleNamespace(config=CodecConfig(words=words))

    def tag_words(self, sentences: Sequence[Any], task: str, **_: Any) -> list[TaggedText]:
        return [self._tagged(" ".join(s), s, joined_places(s), task) for s in sentences]

    def tag(self, texts: Sequence[str], task: str, **_: Any) -> list[TaggedText]:
        places = [split_words(text, self.codec.config.words) for text in texts]
        return [
            self._tagged(text, [text[a:b] for a, b in spots], spots, task)
            for text, spots in zip(texts, places, strict=True)
        ]

    def _tagged(self, text: str, words: Any, places: Any, task: str) -> TaggedText:
        spans = [
            TaggedSpan(*places[i], word, "city", 1.0, i, i + 1)
            for i, word in enumerate(words)
            if word in NAMES
        ]
        return TaggedText(text, tuple(words), tuple(places), tuple(spans), task)


def sentence(words: str, *cities: int, **more: Any) -> Example:
    return Example(tuple(words.split()), tuple(Span(i, i + 1, "city") for i in cities), "t", **more)


SENTENCES = [
    sentence("to Oslo , then Rome", 1, 4),  # "to Oslo, then Rome"
    sentence("( Rome ) or Ely !", 1, 4),  # "(Rome) or Ely!", where Ely is never found
    sentence("Oslo", 0),
]


@pytest.mark.parametrize(
    ("rule", "raw", "found"),
    [
        # "Oslo," and "(Rome)" are no cities: 2 of 5 are right, and 5 of 12 words are found.
        ("whitespace", 2 * 2 / (5 + 2), 5 / 12),
        ("punctuation", 2 * 4 / (5 + 4), 1.0),
    ],
)
def test_what_a_rule_costs(rule: str, raw: float, found: float) -> None:
    scores = raw_text_scores(Cities(rule), SENTENCES)  # type: ignore[arg-type]
    assert (scores.sentences, scores.spans) == (3, 5)
    assert scores.tokens_f1 == pytest.approx(2 * 4 / (5 + 4))
    assert scores.raw_f1 == pytest.approx(raw)
    assert scores.difference == pytest.approx(raw - 8 / 9)
    assert scores.words_found == pytest.approx(found)


def test_a_sentence_with_its_text_is_tagged_as_that_text() -> None:
    spaced = sentence("Oslo ,", 0, text="Oslo ,", offsets=((0, 4), (5, 6)))
    glued = sentence("Oslo ,", 0, text="Oslo,", offsets=((0, 4), (4, 5)))
    for example, f1 in ((spaced, 1.0), (glued, 0.0)):
        scores = raw_text_scores(Cities("whitespace"), [example])  # type: ignore[arg-type]
        assert (scores.tokens_f1, scores.raw_f1) == (1.0, f1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on tasks whose sentences end in a full stop that is a word."""
    folder = tmp_path_factory.mktemp("raw")
    for name, corpus in corpora().items():
        parts = {
            part: tuple(Example((*e.words, "."), e.spans, e.task) for e in examples)
            for part, examples in corpus.splits.items()
        }
        write_corpus(parts, folder / "data" / name, "conll")
    done = cli("train", "--data", folder / "data", "--out", folder / "run", *settings())
    assert done.code == 0, done.err
    return folder / "run"


def test_a_model_of_tokenised_text_tags_raw_text_alike(run: Path) -> None:
    """Training chose a rule that finds every word, so raw text gives the same spans."""
    done = cli("evaluate", run, "--scoring", "raw-text", "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["words"] == "punctuation"
    assert set(document["tasks"]) == {"dining", "home"}
    tagger = Tagger.from_pretrained(run)
    evaluation = tagger.evaluate(run.parent / "data").to_dict()
    for name, scores in document["tasks"].items():
        assert scores["words_found"] == 1.0
        assert scores["raw_f1"] == scores["tokens_f1"]
        assert scores["tokens_f1"] == pytest.approx(evaluation["tasks"][name]["default"]["f1"])
    assert document["average"]["difference"] == 0.0
    by_blanks = cli("evaluate", run, "--scoring", "raw-text", "--words", "whitespace", "--json")
    worse = json.loads(by_blanks.out)
    assert worse["words"] == "whitespace"
    assert worse["average"]["words_found"] < 0.95


def test_the_table_and_a_part_of_the_sentences(run: Path) -> None:
    done = cli("evaluate", run, "--scoring", "raw-text", "--sentences", 3)
    assert done.code == 0, done.err
    assert "raw text F1" in done.out
    assert "split by the rule punctuation" in done.out
    (home,) = [line.split() for line in done.out.splitlines() if line.strip().startswith("home")]
    assert (home[1], home[-1]) == ("3", "100.00%")
    whole = json.loads(cli("evaluate", run, "--sentences", 3, "--json").out)
    assert {task["sentences"] for task in whole["tasks"].values()} == {3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--words", "text"], "--words goes with --scoring raw-text"),
        (["--scoring", "raw-text", "--words", "txt"], "unknown word rule 'txt'"),
        (["--scoring", "raw-text", "--html", "x.html"], "--scoring raw-text gives F1 only"),
    ],
)
def test_what_does_not_go_together(run: Path, arguments: list[str], said: str) -> None:
    assert said in refused("evaluate", run, *arguments)


def test_a_rule_can_be_given_for_text_that_is_split_already(run: Path) -> None:
    tagger = Tagger.from_pretrained(run, words="whitespace")
    assert tagger.tag("don't stop , please.", "home").words == ("don't", "stop", ",", "please.")
    done = cli("tag", run, "--task", "home", "--json", "--words", "whitespace", "no , please.")
    assert json.loads(done.out)["words"] == ["no", ",", "please."]
    done = cli("tag", run, "--task", "home", "--json", "no , please.")
    assert json.loads(done.out)["words"] == ["no", ",", "please", "."]
    tagger.save_pretrained(run.parent / "copy")
    assert Tagger.from_pretrained(run.parent / "copy").codec.config.words == "whitespace"


def test_the_mean_is_that_of_the_tasks(run: Path) -> None:
    tagger = Tagger.from_pretrained(run)
    document = raw_text_evaluation(tagger, corpora(), "test")
    for measure in ("tokens_f1", "raw_f1", "difference", "words_found"):
        values = [task[measure] for task in document["tasks"].values()]
        assert document["average"][measure] == pytest.approx(sum(values) / 2)
