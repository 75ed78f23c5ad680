"""Labelled sentences that plain text gives by itself."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import DataError
from hyperloader.pretraining import kinds
from hyperloader.pretraining.kinds import definition, labelled_sentences, read_kinds
from hyperloader.types import Example
from training_helpers import cli, refused

NAMES = ("Amber", "Birch", "Cedar", "Dusty", "Ember", "Flint", "Grand", "Heron", "Ivory", "Kite")
TOWNS = [f"{name} Falls" for name in NAMES]
BIRDS = [f"{name.lower()} thrush" for name in NAMES]
TEXT = [
    *(f"{town} (population 1,200) is a small town in the valley of the Ash." for town in TOWNS),
    "Jolly Falls is a town.",
    *(f"{bird}, {bird}es: a bird of the woods" for bird in BIRDS),
    "Jolly Falls was a racehorse that won a cup.",  # so of neither kind
    "We went to Amber Falls on 3 May 1999 for $5.50.",
    "There we saw a dusty thrush sitting on a sign.",
    "Then we saw another dusty thrush, at New Birch Falls.",
    "What is a cedar thrush?",
]


def written(folder: Path, lines: list[str]) -> Path:
    folder.mkdir()
    (folder / "a.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def spans(example: Example) -> list[tuple[str, str]]:
    return [(" ".join(example.words[s.word_start : s.word_end]), s.label) for s in example.spans]


# Read by a person.
@pytest.mark.parametrize(
    ("line", "terms", "kind"),
    [
        (
            "Ada Lovelace was an English mathematician and writer.",
            ["Ada Lovelace"],
            "mathematician",
        ),
        ("The Amazon River is one of the rivers of Brazil.", ["Amazon River"], "rivers"),
        ("Poa (or bluegrass) is a genus of plants in the family.", ["Poa"], "plants"),
        ("Bank of England was the bank that issued it.", ["Bank of England"], "bank"),
        ("jet, jet plane: an airplane powered by jets", ["jet", "jet plane"], "airplane"),
        ("inga: any tree or shrub of the genus Inga", ["inga"], "tree"),
        ("lamp oil: (old use) a liquid fuel", ["lamp oil"], "fuel"),
        ("slip off: take off with ease", ["slip off"], None),
        ("This is a city.", None, None),
        ("Is Paris a city?", None, None),
        ("Paris is a city in what country?", None, None),
        ("Courage is a quality.", ["Courage"], None),
        ("", None, None),
    ],
)
def test_what_a_line_defines(line: str, terms: list[str] | None, kind: str | None) -> None:
    found = definition(line)
    assert (found and (list(found.terms), found.kind)) == (terms and (terms, kind))


@given(st.text(max_size=80) | st.text("Aa :,.()is", max_size=20))
def test_no_line_is_too_odd(line: str) -> None:
    found = definition(line)
    assert found is None or (found.terms and (found.kind is None or found.kind.isascii()))
    assert read_kinds([line]) == {}


def test_a_term_of_two_kinds_and_a_kind_of_few_are_none() -> None:
    birds = [term for bird in BIRDS for term in (bird, f"{bird}es")]
    assert read_kinds(TEXT) == dict.fromkeys(TOWNS, "town") | dict.fromkeys(birds, "bird")
    assert read_kinds(TEXT[:9]) == {}  # nine towns


def test_what_is_mentioned_elsewhere_is_a_span(tmp_path: Path) -> None:
    corpora = labelled_sentences(written(tmp_path / "text", TEXT))
    found = {
        name: {
            " ".join(example.words): spans(example)
            for part in corpus.splits.values()
            for example in part
        }
        for name, corpus in corpora.items()
    }
    trip = "We went to Amber Falls on 3 May 1999 for $ 5.50 ."
    assert found["kinds"][trip] == [("Amber Falls", "town")]
    assert found["classes"][trip] == [
        ("Amber Falls", "location"),
        ("3 May 1999", "date"),
        ("$ 5.50", "price"),
    ]
    seen = next(sentence for sentence in found["kinds"] if sentence.startswith("There"))
    assert found["kinds"][seen] == [("dusty thrush", "bird")]
    assert seen not in found["classes"]
    # A part of a longer name is no name, and a sentence with a name that has no label is left out.
    assert not any(sentence.startswith("Then") for sentence in found["kinds"])


def test_a_label_has_about_as_many_sentences_as_are_asked_for(tmp_path: Path) -> None:
    lines = [*TEXT, *(f"On day {day} we came to Flint Falls again." for day in range(90))]
    corpora = labelled_sentences(written(tmp_path / "text", lines), most=2)
    sizes = {
        name: sum(len(part) for part in corpus.splits.values()) for name, corpus in corpora.items()
    }
    assert 3 <= sizes["kinds"] <= 6 < sizes["classes"] <= 60


def test_its_corpora_are_read_like_any_others(tmp_path: Path) -> None:
    text, target = written(tmp_path / "text", TEXT * 3), tmp_path / "corpora"
    assert "kinds: 2 labels" in cli("data", "from-text", text, target).out
    read = load_corpora(target, require=())
    for name, corpus in labelled_sentences(text).items():
        ours, theirs = (
            sorted((e.words, e.spans) for part in found.splits.values() for e in part)
            for found in (corpus, read[name])
        )
        assert ours == theirs
    assert "exists" in refused("data", "from-text", text, target)
    below = target / "kinds" / "train.jsonl"
    assert "is no folder" in refused("data", "from-text", tmp_path / "none", below)


def test_text_that_defines_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="defines too little"):
        labelled_sentences(written(tmp_path / "text", ["play the song", "stop it now please"]))
    with pytest.raises(DataError, match="no such folder"):
        labelled_sentences(tmp_path / "none")


def test_its_word_lists_have_no_word_twice_and_no_flags() -> None:
    lists = yaml.safe_load(Path(kinds.__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    classes = [kind for members in lists.pop("classes").values() for kind in members]
    for words in (*lists.values(), classes):
        assert len(words) == len(set(words))
        assert all(isinstance(word, str) for word in words)
