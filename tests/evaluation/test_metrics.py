"""Scores against hand-computed cases, set arithmetic, seqeval, conlleval's rule, real corpora."""

import json
import warnings
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as default_mode
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_mode
from seqeval.scheme import BILOU, IOB2, IOBES

from hyperloader.errors import DataError
from hyperloader.evaluation.confusion import OTHER, Outcome, match_spans
from hyperloader.evaluation.metrics import (
    PRF,
    Counts,
    ScoredExample,
    TaskScores,
    average,
    score_examples,
    score_task,
)
from hyperloader.tags import parse_tags, spans_to_bio, strict_spans
from hyperloader.types import Example, Span

LENGTH = 8


@st.composite
def sentences(draw: st.DrawFn) -> list[Span]:
    """Sorted, disjoint spans in `LENGTH` words; neighbours may touch."""
    cuts = draw(st.lists(st.integers(0, LENGTH), unique=True).map(sorted))
    labels = st.sampled_from(["a", "b", "c.d", "a-", "-", ""])
    return [Span(start, end, draw(labels)) for start, end in pairwise(cuts) if draw(st.booleans())]


pairs = st.lists(st.tuples(sentences(), sentences()), min_size=1, max_size=5)


def score(pairs: list[tuple[list[Span], list[Span]]]):
    gold, predicted = zip(*pairs, strict=True)
    return score_task("t", gold, predicted, [LENGTH] * len(gold))


def triples(spans: list[list[Span]]) -> set:
    return {
        (i, s.word_start, s.word_end, s.label) for i, sentence in enumerate(spans) for s in sentence
    }


@given(pairs)
def test_micro_scores_are_set_arithmetic(pairs: list[tuple[list[Span], list[Span]]]) -> None:
    gold, predicted = (triples(side) for side in zip(*pairs, strict=True))
    hits = len(gold & predicted)
    p = hits / len(predicted) if predicted else 0.0
    r = hits / len(gold) if gold else 0.0
    f1 = 2 * p * r / (p + r) if p + r else 0.0
    scores = score(pairs)
    for prf in (scores.default, scores.strict):
        assert (prf.precision, prf.recall, prf.f1) == pytest.approx((p, r, f1), abs=1e-12)
        assert prf.support == len(gold)


@given(pairs)
def test_confusion_loses_nothing(pairs: list[tuple[list[Span], list[Span]]]) -> None:
    scores = score(pairs)
    confusion = scores.confusion
    outcomes = {Outcome(name): n for name, n in confusion.outcomes.items()}
    about_gold = set(Outcome) - {Outcome.SPURIOUS, Outcome.FRAGMENT}
    assert sum(outcomes[o] for o in about_gold) == scores.default.support
    assert sum(confusion.matrix[-1]) == outcomes[Outcome.SPURIOUS]
    assert sum(row[-1] for row in confusion.matrix) == outcomes[Outcome.MISSED]
    for label, row in zip(confusion.labels, confusion.matrix, strict=False):
        assert sum(row) == scores.per_label[label].gold
    for top in (1, 3, 9):
        table = confusion.table(top)
        assert sum(map(sum, table.counts)) == sum(map(sum, confusion.matrix))
        assert len(table.rows) == len(table.columns) <= top + 2
    for gold, predicted in pairs:
        matches = match_spans(gold, predicted)
        assert [m.gold for m in matches if m.gold] == gold
        assert {m.predicted for m in matches if m.predicted} == set(predicted)


def test_hand_computed() -> None:
    gold = [
        [Span(0, 2, "city"), Span(3, 4, "day"), Span(5, 6, "city")],
        [Span(0, 4, "name"), Span(6, 7, "day")],
        [],
    ]
    predicted = [
        [Span(0, 2, "city"), Span(3, 4, "city")],
        [Span(0, 1, "day"), Span(1, 4, "name"), Span(5, 7, "city")],
        [Span(2, 3, "name")],
    ]
    scores = score_task("t", gold, predicted, [6, 7, 5])
    assert scores.default == PRF(1 / 6, 1 / 5, pytest.approx(2 / 11), 5)
    assert scores.per_label == {
        "city": Counts(1, 3, 2),
        "day": Counts(0, 1, 2),
        "name": Counts(0, 2, 1),
    }
    assert scores.per_label["city"].prf == PRF(1 / 3, 1 / 2, 2 / 5, 2)
    assert scores.macro == PRF(pytest.approx(1 / 9), pytest.approx(1 / 6), pytest.approx(2 / 15), 5)
    assert scores.weighted == PRF(
        pytest.approx(2 / 15), pytest.approx(1 / 5), pytest.approx(4 / 25), 5
    )
    assert scores.confusion.outcomes == {
        "correct": 1,
        "wrong label": 1,
        "wrong boundary": 1,
        "wrong label and boundary": 1,
        "missed": 1,
        "spurious": 1,
        "fragment": 1,
    }
    assert scores.confusion.labels == ("city", "day", "name")
    assert scores.confusion.matrix == (
        (1, 0, 0, 1),
        (2, 0, 0, 0),
        (0, 0, 1, 0),
        (0, 0, 1, 0),
    )
    assert scores.confusion.errors() == {"city": 3, "day": 2, "name": 1}
    table = scores.confusion.table(1)
    assert table.rows == ("city", OTHER, "(spurious)")
    assert table.columns == ("city", OTHER, "(missed)")
    assert table.counts == ((1, 0, 1), (2, 1, 0), (0, 1, 0))
    assert json.loads(json.dumps(scores.to_json()))["confusion"]["matrix"][1] == [2, 0, 0, 0]


def test_the_largest_overlap_wins_then_the_label() -> None:
    gold = [Span(0, 4, "a")]
    small, large = Span(0, 1, "a"), Span(1, 4, "b")
    assert {m.predicted: m.outcome for m in match_spans(gold, [small, large])} == {
        large: Outcome.WRONG_BOTH,
        small: Outcome.FRAGMENT,
    }
    left, right = Span(0, 2, "b"), Span(2, 4, "a")
    by_gold = {m.gold: m for m in match_spans(gold, [left, right])}
    assert by_gold[gold[0]].predicted == right
    assert by_gold[gold[0]].outcome is Outcome.WRONG_BOUNDARY


def test_one_prediction_over_two_gold_spans() -> None:
    gold = [Span(0, 1, "a"), Span(1, 2, "b")]
    matches = match_spans(gold, [Span(0, 2, "a")])
    assert [m.outcome for m in matches] == [Outcome.WRONG_BOUNDARY, Outcome.WRONG_BOTH]


@pytest.mark.parametrize("spans", [([], []), ([Span(0, 1, "a")], []), ([], [Span(0, 1, "a")])])
def test_undefined_scores_are_zero_without_a_warning(spans: tuple) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = score_task("t", [spans[0]], [spans[1]], [3])
    assert scores.default == scores.strict == PRF(0.0, 0.0, 0.0, len(spans[0]))
    assert scores.macro == scores.weighted == scores.default
    (said,) = scores.undefined
    assert "undefined" in said
    if spans[0] or spans[1]:
        assert said.endswith(": a")


def test_labels_on_one_side_only_are_said() -> None:
    gold, predicted = [[Span(0, 1, "b"), Span(1, 2, "a")]], [[Span(0, 1, "c"), Span(1, 2, "a")]]
    assert score_task("t", gold, predicted, [2]).undefined == [
        "never predicted, so precision is undefined and counts as 0: b",
        "not in gold, so recall is undefined and counts as 0: c",
    ]
    many = [[Span(i, i + 1, f"label{i:02}") for i in range(15)]]
    assert score_task("t", many, [[]], [15]).undefined[0].endswith("label11 and 3 more")
    assert score_task("t", gold, gold, [2]).undefined == []


def test_labels_that_differ_in_hyphens_are_different() -> None:
    scores = score_task("t", [[Span(0, 1, "a")]], [[Span(0, 1, "a-")]], [1])
    assert scores.default.f1 == scores.strict.f1 == 0.0


@pytest.mark.parametrize(
    ("gold", "predicted", "lengths", "message"),
    [
        ([[], []], [[]], [1, 1], "2 gold sentences, 1 predicted ones and 2 lengths"),
        ([[]], [[]], [1, 1], "1 gold sentences, 1 predicted ones and 2 lengths"),
        ([], [], [], "no sentence to score"),
        ([[], []], [[], [Span(0, 3, "a")]], [2, 2], "sentence 2, predicted: span"),
        ([[Span(0, 2, "a"), Span(1, 3, "a")]], [[]], [3], "sentence 1, gold: spans overlap"),
    ],
)
def test_what_does_not_fit_is_refused(gold, predicted, lengths, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        score_task("atis", gold, predicted, lengths)
    assert "'atis'" in str(error.value)
    assert "\n" not in str(error.value)


def test_average_is_that_of_the_published_log() -> None:
    """The seven F1 of the published 50% run, whose log states their mean as .8668."""
    published = (0.6858, 0.8696, 0.7833, 0.9522, 0.9415, 0.8747, 0.9608)
    template = score_task("t", [[]], [[]], [1])
    scores = {
        str(i): type(template)(
            str(i), 1, PRF(0, 0, f1, 1), PRF(0, 0, f1 / 2, 1), {}, template.confusion
        )
        for i, f1 in enumerate(published)
    }
    mean = average(scores)
    assert mean["tasks"] == 7
    assert mean["default"]["f1"] == pytest.approx(0.8668, abs=5e-5)
    assert mean["strict"]["f1"] == pytest.approx(0.4334, abs=5e-5)
    with pytest.raises(DataError, match="no task"):
        average({})


def read(folder: Path, task: str) -> tuple[list[list[Span]], list[int]]:
    """Spans of a test set as seqeval reads them from its tags."""
    lines = (folder / f"data/labelled/{task}/test/seq.out").read_text("utf-8").splitlines()
    tags = [line.split() for line in lines]
    spans = [[Span(a, b + 1, label) for label, a, b in get_entities(t)] for t in tags]
    return spans, [len(t) for t in tags]


@pytest.mark.parametrize(
    ("task", "sentences", "support"), [("atis", 893, 2837), ("snips", 700, 1790)]
)
def test_per_label_agrees_with_seqeval_on_real_sentences(
    shared: Path, task: str, sentences: int, support: int
) -> None:
    gold, lengths = read(shared, task)
    # Drop a span in seven and give one in five the label of the span before it.
    flat = ["first"]
    predicted = []
    for spans in gold:
        predicted.append([])
        for s in spans:
            label = flat[-1] if len(flat) % 5 == 0 else s.label
            if len(flat) % 7:
                predicted[-1].append(Span(s.word_start, s.word_end, label))
            flat.append(s.label)
    scores = score_task(task, gold, predicted, lengths)
    assert (scores.sentences, scores.default.support) == (sentences, support)
    tags = [list(map(spans_to_bio, side, lengths)) for side in (gold, predicted)]
    for mode in ({}, {"mode": "strict", "scheme": IOB2}):
        report = classification_report(*tags, output_dict=True, zero_division=0, **mode)
        mine = scores.strict if mode else scores.default
        assert mine.f1 == pytest.approx(report["micro avg"]["f1-score"], abs=1e-12)
        assert 0.5 < mine.f1 < 0.9
        for label, counts in scores.per_label.items():
            assert_same(counts.prf, report[label])
        assert_same(scores.macro, report["macro avg"])
        assert_same(scores.weighted, report["weighted avg"])


def assert_same(ours: PRF, theirs: dict) -> None:
    """A row of seqeval's report."""
    names = ("precision", "recall", "f1-score", "support")
    expected = [theirs[name] for name in names]
    assert [ours.precision, ours.recall, ours.f1, ours.support] == pytest.approx(
        expected, abs=1e-12
    )


def test_all_of_the_largest_test_set_is_counted(shared: Path) -> None:
    gold, lengths = read(shared, "mtod")
    scores = score_task("mtod", gold, gold, lengths)
    assert scores.sentences == 8621
    assert scores.default.f1 == scores.strict.f1 == 1.0
    # 14,690 B- tags and two spans that begin with an I- tag.
    assert scores.default.support == 14_692
    assert set(scores.confusion.errors().values()) == {0}


# Tags as other tools write them, well-formed or not


def tag_sequences(prefixes: str = "BI") -> st.SearchStrategy[list[str]]:
    tag = st.one_of(
        st.just("O"), st.builds("{}-{}".format, st.sampled_from(prefixes), st.sampled_from("xyz"))
    )
    return st.lists(tag, min_size=6, max_size=6)


def score_tags(
    gold: Sequence[list[str]], predicted: Sequence[list[str]], scheme: str
) -> TaskScores:
    read = [[parse_tags(tags, scheme=scheme) for tags in side] for side in (gold, predicted)]
    strict = [[strict_spans(tags, scheme=scheme) for tags in side] for side in (gold, predicted)]
    return score_task("t", *read, [len(tags) for tags in gold], strict=(strict[0], strict[1]))


@pytest.mark.parametrize(
    ("scheme", "prefixes", "theirs"),
    [("bio", "BI", IOB2), ("bioes", "BIES", IOBES), ("bilou", "BILU", BILOU)],
)
@given(data=st.data())
def test_both_modes_are_seqevals_on_any_tags(
    scheme: str, prefixes: str, theirs: type, data: st.DataObject
) -> None:
    sentence = st.tuples(tag_sequences(prefixes), tag_sequences(prefixes))
    pairs = data.draw(st.lists(sentence, min_size=1, max_size=4))
    gold, predicted = map(list, zip(*pairs, strict=True))
    scores = score_tags(gold, predicted, scheme)
    # seqeval's default mode knows BILOU as BIOES only.
    names = str.maketrans("LU", "ES")
    known = [
        [[tag.translate(names) for tag in tags] for tags in side] for side in (gold, predicted)
    ]
    modes = (
        (scores.default, default_mode(*known, average="micro", zero_division=0)),
        (
            scores.strict,
            strict_mode(gold, predicted, average="micro", zero_division=0, scheme=theirs),
        ),
    )
    for ours, expected in modes:
        found = (ours.precision, ours.recall, ours.f1, ours.support)
        assert found == pytest.approx(expected, abs=1e-12)
    if scores.default.support:  # seqeval divides by it
        for ours, kind in ((scores.macro, "macro"), (scores.weighted, "weighted")):
            expected = default_mode(*known, average=kind, zero_division=0)[:3]
            assert (ours.precision, ours.recall, ours.f1) == pytest.approx(expected, abs=1e-12)


def test_seqevals_strict_mode_where_the_two_part() -> None:
    gold, predicted = ["O", "I-LOC", "O", "B-LOC"], ["O", "B-LOC", "O", "B-LOC"]
    scores = score_tags([gold], [predicted], "bio")
    assert scores.default == PRF(1.0, 1.0, 1.0, 2)
    assert scores.strict == PRF(0.5, 1.0, pytest.approx(2 / 3), 1)


def conlleval(gold: Sequence[list[str]], predicted: Sequence[list[str]]) -> tuple[int, int, int]:
    """Correct, predicted and gold chunks as the CoNLL-2000 shared task's script counts them.

    It walks the tags of both sides at once. A chunk starts at B, or at I where the tag before is O
    or of another type; it ends before O, before B, or before another type. A chunk is correct if it
    starts and ends on both sides at the same words with the same type.
    """

    def starts(before: str, tag: str) -> bool:
        return tag != "O" and (tag[0] == "B" or before == "O" or before[2:] != tag[2:])

    def ends(before: str, tag: str) -> bool:
        return before != "O" and (tag == "O" or tag[0] == "B" or before[2:] != tag[2:])

    correct = guessed = golden = 0
    for truth, guess in zip(gold, predicted, strict=True):
        inside = False
        for t0, t1, g0, g1 in zip(
            ["O", *truth], [*truth, "O"], ["O", *guess], [*guess, "O"], strict=True
        ):
            if inside and (ends(t0, t1) or ends(g0, g1)):
                correct += ends(t0, t1) and ends(g0, g1)
                inside = False
            if starts(t0, t1) and starts(g0, g1) and t1[2:] == g1[2:]:
                inside = True
            golden += starts(t0, t1)
            guessed += starts(g0, g1)
    return correct, guessed, golden


@given(st.lists(st.tuples(tag_sequences(), tag_sequences()), min_size=1, max_size=4))
def test_the_default_mode_is_conllevals_count(pairs: list[tuple[list[str], list[str]]]) -> None:
    gold, predicted = map(list, zip(*pairs, strict=True))
    counts = score_tags(gold, predicted, "bio").per_label.values()
    assert conlleval(gold, predicted) == tuple(
        sum(getattr(c, name) for c in counts) for name in ("correct", "predicted", "gold")
    )


def test_score_examples() -> None:
    example = Example(("to", "new", "york"), (Span(1, 3, "city"),), "t")
    right = ScoredExample(example, (Span(1, 3, "city", 0.9),))
    wrong = ScoredExample(example, (Span(1, 2, "city", 0.4),))
    scores = score_examples("t", [right, wrong])
    assert scores.default == PRF(0.5, 0.5, 0.5, 2)
    assert [m.outcome for m in wrong.matches()] == [Outcome.WRONG_BOUNDARY]
