"""``hyperloader experiment errors``: what a system gets wrong, counted and shown."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics import precision_score, recall_score

from hyperloader.corpora.registry import load_corpora, load_corpus
from hyperloader.corpora.writing import write_corpus
from hyperloader.evaluation.confusion import Outcome
from hyperloader.evaluation.evaluate import predict
from hyperloader.evaluation.metrics import score_task
from hyperloader.evaluation.plots import plot_kinds
from hyperloader.experiments.analyse.errors import WRONG, agreed_errors, find_errors
from hyperloader.experiments.plan.data import corpus_hash
from hyperloader.experiments.plan.spec import System
from hyperloader.experiments.run.folder import GOLD, METADATA, Design, Metadata, ResultsFolder
from hyperloader.experiments.run.record import (
    PREDICTIONS,
    Record,
    Result,
    TaskScore,
    write_record,
    write_spans,
)
from hyperloader.tagger import Tagger
from hyperloader.tags import spans_to_bio
from hyperloader.types import Example, Span
from training_helpers import cli, refused

TASK = "songs"
WORDS = ("play", "the", "*new*", "beatles", "|", "record", "<b>", "now")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two seeds of one system, whose errors are known, and the corpus that they were made on."""
    example = Example(WORDS, (Span(2, 4, "artist_name"), Span(5, 6, "item")), TASK)
    other = Example(("play", "jazz"), (Span(1, 2, "genre"),), TASK)
    splits = {"train": (example,), "validation": (example,), "test": (example, other, example)}
    write_corpus(splits, tmp_path / "data" / TASK, "conll")
    corpus = load_corpora(tmp_path / "data")[TASK]
    out = tmp_path / "out"
    out.mkdir()
    about = Metadata(
        data="data",
        corpora={TASK: corpus_hash(corpus)},
        recipe="builtin",
        budget="full",
        base={},
        backbone=None,
        experiments={
            "mine": Design(
                systems={"one": System(), "two": System()}, fractions=(0.5,), seeds=(1, 2)
            )
        },
    )
    (out / METADATA).write_text(about.model_dump_json())
    gold = [e.spans for e in corpus.splits["test"]]
    write_spans(out / GOLD, {TASK: gold})
    wide = (Span(1, 4, "artist_name"), Span(5, 6, "genre"))
    predictions = {1: [wide, (), wide], 2: [gold[0], (Span(0, 1, "item"),), gold[2]]}
    lengths = [len(e.words) for e in corpus.splits["test"]]
    for seed, spans in predictions.items():
        folder = out / "runs" / f"one-0.5-{seed}"
        write_spans(folder / PREDICTIONS, {TASK: spans})
        result = Result(
            scores={TASK: TaskScore.of(score_task(TASK, gold, spans, lengths))},
            best_step=1,
            steps=1,
            sentences_seen=1,
            trainable=1,
            total=2,
            training_seconds=1,
            scoring_seconds=1,
            wall_seconds=1,
            validation=[],
        )
        write_record(
            folder,
            Record(
                status="done",
                system="one",
                fraction=0.5,
                seed=seed,
                tasks=(TASK,),
                apart=False,
                result=result,
                finished="now",
            ),
        )
    return out


def test_counts_shares_and_sentences(results: Path) -> None:
    done = cli("experiment", "errors", results, "--data", results.parent / "data")
    assert done.code == 0, done
    names = [Path(line).name for line in done.out.splitlines()]
    assert names == ["errors-one-0.5.md", "errors-one-0.5.png"]
    text = (results / "report" / names[0]).read_text()
    # Ten gold spans in two seeds: twice a wrong boundary and a wrong label, twice missed (once a
    # seed), once a span where none is.
    assert (
        "| songs | 10 | 7 | 2 (28.6 %) | 2 (28.6 %) | 0 (0.0 %) | 2 (28.6 %) | 1 (14.3 %) "
        "| 0 (0.0 %) |" in text
    )
    assert "| wrong label | item | genre | 2 | 28.6 % |" in text
    assert "| wrong boundary | artist_name | artist_name | 2 | 28.6 % |" in text
    assert "| missed | genre | - | 2 | 28.6 % |" in text
    assert "| spurious | - | item | 1 | 14.3 % |" in text
    # The same sentence is shown once, its signs escaped.
    sentence = r"- play the \*new\* beatles \| record \<b\> now: gold **\*new\* beatles** "
    assert text.count(sentence) == 1
    assert r"(artist\_name), predicted **the \*new\* beatles** (artist\_name)" in text
    assert "- play jazz: predicted **play** (item)" in text
    assert (results / "report" / names[1]).read_bytes().startswith(b"\x89PNG")


def test_without_the_corpora_no_sentence_is_shown(results: Path) -> None:
    assert cli("experiment", "errors", results, "--top", 1).code == 0
    text = (results / "report" / "errors-one-0.5.md").read_text()
    assert "jazz" not in text
    assert "| 3 other kinds |  |  | 5 | 71.4 % |" in text


def test_gold_spans_may_come_from_the_corpora(results: Path) -> None:
    (results / GOLD).unlink()
    assert "give the corpora with --data" in refused("experiment", "errors", results)
    done = cli("experiment", "errors", results, "--data", results.parent / "data")
    assert done.code == 0, done


def test_what_cannot_be_shown_is_refused(results: Path) -> None:
    data = results.parent / "data"

    def no(*options: object) -> str:
        return refused("experiment", "errors", results, *options)

    assert "did you mean 'one'" in no("--system", "onee")
    assert "no seed of two is finished" in no("--system", "two")
    assert "no result for the share 0.1 (it has: 0.5)" in no("--fraction", 0.1)
    write_spans(results / GOLD, {TASK: [(), (), ()]})
    assert "are not those of its test sentences" in no("--data", data)
    (data / TASK / "test.conll").write_text("stop O\n")
    assert "is not the one that the results were made on" in no("--data", data)
    about = json.loads((results / METADATA).read_text())
    (results / METADATA).write_text(json.dumps({**about, "score": "validation"}))
    assert "scored on validation sentences" in no("--data", data)


SPANS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 2), st.sampled_from("ab")), max_size=4
).map(
    lambda rows: tuple(
        Span(3 * i + gap, 3 * i + gap + length, label)
        for i, (gap, length, label) in enumerate(rows)
    )
)
SENTENCES = st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=6)


@given(SENTENCES)
def test_every_error_is_counted_once(sentences: list[tuple[tuple[Span, ...], ...]]) -> None:
    gold, predicted = ([pair[i] for pair in sentences] for i in (0, 1))
    found = find_errors(TASK, gold, [predicted, predicted])
    truth = score_task(TASK, gold, predicted, [12] * len(gold)).confusion.outcomes
    assert {o: found.outcomes[o] for o in WRONG} == {o: 2 * truth[o.value] for o in WRONG}
    assert found.outcomes.total() == sum(map(len, found.found.values()))
    counts = [len(found.found[kind]) for kind in found.commonest]
    assert counts == sorted(counts, reverse=True)


def test_real_predictions_miss_as_many_spans_as_seqevals_recall_says(shared: Path) -> None:
    sentences = load_corpus(shared / "data" / "labelled" / "atis").splits["test"][::4]
    tagger = Tagger.from_pretrained()
    gold = [sentence.spans for sentence in sentences]
    predicted = [row.predicted for row in predict(tagger.model, tagger.codec, sentences)]
    found = find_errors("atis", gold, [predicted])
    assert found.spans == sum(map(len, gold))
    missed = sum(len(at) for kind, at in found.found.items() if kind.gold)
    tags = [
        [spans_to_bio(spans, len(e.words)) for spans, e in zip(side, sentences, strict=True)]
        for side in (gold, predicted)
    ]
    assert missed == round((1 - recall_score(*tags)) * found.spans) > 0
    correct = found.spans - missed
    assert precision_score(*tags) == pytest.approx(correct / sum(map(len, predicted)))


def test_packed_runs_have_no_predictions_and_say_where_they_are(results: Path) -> None:
    packed = results.parent / "packed"
    ResultsFolder(results).pack(packed, "commit abc")
    for options in ((), ("--agreement", 0.9), ("--data", results.parent / "data")):
        line = refused("experiment", "errors", packed, *options)
        assert "predictions were left out when the runs were packed; they are in commit abc" in line


@given(st.lists(SPANS, min_size=1, max_size=5), st.sampled_from([0.6, 0.9, 1.0]))
def test_what_runs_agree_on(runs: list[tuple[Span, ...]], agreement: float) -> None:
    gold = runs[0]
    found = agreed_errors(TASK, [gold], [[spans] for spans in runs], agreement)
    expected = {
        span
        for spans in runs
        for span in spans
        if span not in gold and sum(span in s for s in runs) / len(runs) >= agreement - 1e-6
    }
    matches = [match for at in found.found.values() for _, match in at]
    assert {match.predicted for match in matches} == expected
    assert len(matches) == len(expected)
    assert found.spans == len(gold)


def test_the_page_of_what_nearly_all_get_wrong(results: Path) -> None:
    options = ("--data", results.parent / "data", "--agreement")
    for folder in ("one-0.5-1", "one-0.5-2"):
        both = (Span(1, 4, "artist_name"), Span(5, 6, "item"))
        write_spans(results / "runs" / folder / PREDICTIONS, {TASK: [both, (), ()]})
    done = cli("experiment", "errors", results, *options, 1)
    assert done.code == 0, done
    text = (results / "report" / "errors-agreed-0.5.md").read_text()
    assert "at least 100 % of 2 runs (one)" in text
    assert "| songs | 5 | 1 | 0 (0.0 %) | 1 (100.0 %) |" in text  # what is missed does not count
    assert "jazz" not in text
    assert "| wrong boundary | artist_name | artist_name | 1 | 100.0 % |" in text
    assert "above 0.5" in refused("experiment", "errors", results, *options, 0.5)
    assert "omit --system" in refused(
        "experiment", "errors", results, *options, 0.9, "--system", "one"
    )


def test_the_bars_add_up(tmp_path: Path) -> None:
    figure_module = pytest.importorskip(
        "matplotlib.figure", reason="NOT TESTED: needs the extra 'plots'"
    )
    drawn = []

    class Seen(figure_module.Figure):  # type: ignore[misc, name-defined]
        def savefig(self, *args: object, **options: object) -> None:
            drawn.append([patch.get_width() for patch in self.axes[0].patches])

    kinds = {TASK: Counter({Outcome.MISSED: 3, Outcome.FRAGMENT: 1}), "none": Counter()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure_module, "Figure", Seen)
        plot_kinds(tmp_path / "k.png", kinds, {TASK: 50, "none": 0}, "title")
    assert sum(drawn[0]) == pytest.approx(100 * 4 / 50)
    assert sorted(drawn[0])[-2:] == pytest.approx([2, 6])
