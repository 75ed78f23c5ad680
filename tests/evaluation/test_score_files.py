"""Scoring predictions from files: the same as seqeval on their tags, and what differs is named."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nervaluate.evaluator import Evaluator
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as default_mode
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_mode
from seqeval.scheme import IOB2

from hyperloader.errors import DataError
from hyperloader.evaluation.score_files import IllFormed, score_files
from hyperloader.tags import detect_scheme

WORDS = ("fly", "to", "new", "york", "on", "monday")
GOLD = ["O", "O", "B-city", "I-city", "O", "B-day"]


def write(path: Path, sentences: Sequence[Sequence[str]], words: Sequence[str] = WORDS) -> Path:
    """A CoNLL file with these tags, the same words in every sentence."""
    blocks = [
        "".join(f"{word} X {tag}\n" for word, tag in zip(words, tags, strict=True))
        for tags in sentences
    ]
    path.write_text("\n".join(blocks), "utf-8")
    return path


tags = st.one_of(
    st.just("O"), st.builds("{}-{}".format, st.sampled_from("BI"), st.sampled_from(["x", "y"]))
)
sentences = st.lists(tags, min_size=len(WORDS), max_size=len(WORDS))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(sentences, sentences), min_size=1, max_size=3))
def test_any_two_files_are_scored_as_seqeval_and_nervaluate_score_their_tags(
    pairs: list[tuple[list[str], list[str]]], tmp_path: Path
) -> None:
    gold, predicted = map(list, zip(*pairs, strict=True))
    if "iob1" in (detect_scheme(gold), detect_scheme(predicted)):
        return  # well-formed, where IOB2 is not
    found = score_files(write(tmp_path / "g.conll", gold), write(tmp_path / "p.conll", predicted))
    for ours, theirs in (
        (found.scores.default, default_mode(gold, predicted, average="micro", zero_division=0)),
        (
            found.scores.strict,
            strict_mode(gold, predicted, average="micro", zero_division=0, scheme=IOB2),
        ),
    ):
        scores = (ours.precision, ours.recall, ours.f1, ours.support)
        assert scores == pytest.approx(theirs, abs=1e-12)
    theirs = Evaluator(gold, predicted, tags=["x", "y"], loader="list").evaluate()["overall"]
    for ours, name in (
        ("strict", "strict"),
        ("exact", "exact"),
        ("type", "ent_type"),
        ("partial", "partial"),
    ):
        counts = found.scores.overlap[ours]
        for kind in ("correct", "incorrect", "partial", "missed", "spurious", "f1"):
            assert getattr(counts, kind) == pytest.approx(getattr(theirs[name], kind)), (ours, kind)


def test_what_ill_formed_tags_did_is_said(tmp_path: Path) -> None:
    gold = write(tmp_path / "gold.conll", [GOLD])
    odd = write(tmp_path / "odd.conll", [["B-x", "O", "I-city", "I-city", "O", "I-x"]])
    found = score_files(gold, odd)
    assert found.ill_formed == {"gold": IllFormed(0, 0), "predicted": IllFormed(2, 1)}
    assert found.scores.default.precision == pytest.approx(1 / 3)
    assert found.scores.strict.precision == 0
    assert found.notes[0].startswith("spans of predicted from ill-formed tags")
    assert ": 2, of which 1 agree" in found.notes[0]
    assert found.to_dict()["ill_formed"]["predicted"] == {"spans": 2, "right": 1}
    # The file that reads it the other way round.
    assert score_files(odd, gold).ill_formed["gold"] == IllFormed(2, 1)
    assert score_files(gold, gold).notes == []


@pytest.mark.parametrize("kind", ["tag first", "folder", "comments", "spans"])
def test_tags_are_found_in_whatever_way_they_are_written(tmp_path: Path, kind: str) -> None:
    odd = ["B-x", "O", "I-city", "I-city", "O", "I-x"]
    path = tmp_path / "predicted.bio"
    if kind == "tag first":
        path.write_text("".join(f"{t}\t{w}\n" for w, t in zip(WORDS, odd, strict=True)))
    elif kind == "folder":
        path = tmp_path / "predicted"
        path.mkdir()
        (path / "seq.in").write_text(" ".join(WORDS) + "\n")
        (path / "seq.out").write_text(" ".join(odd) + "\n")
    elif kind == "comments":
        path = write(tmp_path / "p.conll", [odd])
        path.write_text("-DOCSTART- X O\n\n# fly to the moon\n" + path.read_text())
    else:
        path = tmp_path / "p.jsonl"
        path.write_text('{"words": ["fly","to","new","york","on","monday"], "spans": []}\n')
    found = score_files(write(tmp_path / "gold.conll", [GOLD]), path)
    expected = {"gold": IllFormed(0, 0), "predicted": IllFormed(2, 1)}
    if kind == "spans":
        del expected["predicted"]
    assert found.ill_formed == expected


def test_the_first_sentence_that_differs_is_named(tmp_path: Path) -> None:
    gold = write(tmp_path / "gold.conll", [GOLD] * 3)
    text = gold.read_text()
    other = tmp_path / "other.conll"
    for changed, said in (
        (text.replace("monday", "friday", 2).replace("friday", "monday", 1), "sentence 2 differs"),
        (text + "\nmore X O\n", "other.conll has 4 sentences and .*gold.conll only 3, all of them"),
        (text[: text.rindex("fly")], "gold.conll has 3 sentences and .*other.conll only 2"),
        (text + "more X O\n", "sentence 3 differs at word 7, where .*gold.conll ends and .*'more'"),
    ):
        other.write_text(changed)
        with pytest.raises(DataError, match=said) as caught:
            score_files(gold, other)
        assert "\n" not in str(caught.value)
    other.write_text(text.replace("monday", "friday", 2).replace("friday", "monday", 1))
    with pytest.raises(DataError, match=r"at word 6, where .* has 'monday' and .* has 'friday'"):
        score_files(gold, other)
