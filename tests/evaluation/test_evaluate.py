"""Scoring a model on corpora: predictions, the evaluator of training, and whole evaluations."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from hyperloader.calibration import Calibration, SpanCalibration, TaskCalibration
from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.windows import EncodedWindow
from hyperloader.corpora.corpus import Corpus
from hyperloader.corpora.writing import write_corpus
from hyperloader.errors import ConfigError, DataError, HyperloaderError
from hyperloader.evaluation import evaluate as module
from hyperloader.evaluation.evaluate import evaluate_tagger, f1_evaluator, load_for, predict
from hyperloader.evaluation.metrics import score_examples
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tagger import Tagger
from hyperloader.types import Example, Span
from training_helpers import corpora, make_trainer, write_data


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    trainer = make_trainer(tmp_path_factory.mktemp("made") / "r", codec={"label_text": "raw"})
    return Checkpoint(trainer.model, trainer.codec)


def everything() -> list[Example]:
    return [e for corpus in corpora().values() for part in corpus.splits.values() for e in part]


def gold_decoder(examples: Sequence[Example]) -> Any:
    """A stand-in for ``tag_words`` that knows the answers."""
    known = {(e.task, len(e.words), e.words): e.spans for e in examples}

    def tag_words(
        decoder: Any, sentences: Sequence[Sequence[EncodedWindow]], batch_size: int
    ) -> list[list[Span]]:
        codec = decoder.codec
        sources = {
            (task, tuple(codec.encode_source(words))): spans
            for (task, _, words), spans in known.items()
        }
        return [list(sources[parts[0].task, tuple(parts[0].source)]) for parts in sentences]

    return tag_words


def test_predictions_come_in_the_order_of_the_examples(made: Checkpoint) -> None:
    examples = everything()
    assert len({len(e.words) for e in examples}) > 5, "they are reordered inside"
    done: list[int] = []
    with (
        mock.patch.object(module, "tag_words", gold_decoder(examples)),
        mock.patch.object(module, "CHUNK", 7),
    ):
        scored = predict(made.model, made.codec, examples, advance=done.append)
    assert [s.example for s in scored] == examples
    assert all(s.predicted == s.example.spans for s in scored)
    assert sum(done) == len(examples)
    assert max(done) == 7
    assert predict(made.model, made.codec, []) == []


def test_predictions_do_not_depend_on_batches(made: Checkpoint) -> None:
    examples = everything()[::8]
    one, many = (predict(made.model, made.codec, examples, batch_size=n) for n in (1, 64))
    assert [s.predicted for s in one] == [s.predicted for s in many]


def test_the_evaluator_scores_the_validation_part_of_each_task(made: Checkpoint) -> None:
    examples = everything()
    with mock.patch.object(module, "tag_words", gold_decoder(examples)):
        assert f1_evaluator(made.codec, corpora())(made.model) == {"dining": 1.0, "home": 1.0}
    real = f1_evaluator(made.codec, corpora())(made.model)
    for name, corpus in corpora().items():
        scored = predict(made.model, made.codec, corpus.splits["validation"])
        assert real[name] == score_examples(name, scored).default.f1


def test_the_evaluator_takes_some_sentences_evenly(made: Checkpoint) -> None:
    seen: list[int] = []

    def record(model: TaggingModel, codec: Any, examples: Sequence[Example]) -> Any:
        part = corpora()[examples[0].task].splits["validation"]
        seen.extend(part.index(e) for e in examples)
        return predict(model, codec, examples)

    with mock.patch.object(module, "predict", record):
        f1_evaluator(made.codec, corpora(), sentences=4)(made.model)
    assert seen == [0, 2, 4, 6] * 2


# Whole evaluations


@pytest.fixture(scope="module")
def tagger(made: Checkpoint) -> Tagger:
    none = SpanCalibration(spans=0, ece_before=0, ece_after=0)
    task = TaskCalibration(
        temperature=2.0, shared=False, sentences=60, decisions=600, **none.model_dump()
    )
    calibration = Calibration(tasks={"home": task}, overall=none, fitted_on="these")
    return Tagger(made.model, made.codec, calibration)


def test_an_evaluation_holds_what_its_parts_say(tagger: Tagger, tmp_path: Path) -> None:
    done: list[tuple[str, int]] = []
    found = evaluate_tagger(tagger, corpora(), advance=lambda *said: done.append(said))
    assert list(found.tasks) == ["dining", "home"]
    assert dict(done) == {name: len(corpora()[name].splits["test"]) for name in found.tasks}
    document = found.to_dict()
    for name, corpus in corpora().items():
        test = corpus.splits["test"]
        scored = predict(tagger.model, tagger.codec, test, temperatures=tagger.temperatures)
        task = found.tasks[name]
        assert task.examples == tuple(scored)
        assert task.scores == found.scores[name] == score_examples(name, scored)
        assert document["tasks"][name]["default"]["support"] == sum(len(e.spans) for e in test)
        assert task.temperature == tagger.temperatures.get(name, 1.0)
        assert task.unknown_labels == {}
        seen = {e.words for e in corpus.splits["train"]}
        assert task.test_in_train == sum(e.words in seen for e in test) / len(test)
    assert found.reliability.spans == sum(t.reliability.spans for t in found.tasks.values())
    assert document["average"] == found.average
    of_folder = evaluate_tagger(tagger, write_data(tmp_path / "data"), tasks=["home"])
    assert of_folder.tasks["home"].scores == found.tasks["home"].scores
    validation = evaluate_tagger(tagger, corpora(), "validation", tasks=["home"])
    assert list(validation.tasks) == ["home"]
    assert validation.tasks["home"].test_in_train is None


def test_what_cannot_be_evaluated_is_said(tagger: Tagger, made: Checkpoint) -> None:
    home = corpora()["home"]
    with pytest.raises(DataError, match="no test sentences for home"):
        evaluate_tagger(tagger, {"home": Corpus("home", {**home.splits, "test": ()})})
    with pytest.raises(HyperloaderError, match="unknown task 'garden'"):
        evaluate_tagger(tagger, {"garden": home})
    with pytest.raises(ConfigError, match="unknown task 'garden'"):
        evaluate_tagger(tagger, corpora(), tasks=["garden"])
    with pytest.raises(ConfigError, match="unknown split 'dev'"):
        evaluate_tagger(tagger, corpora(), "dev")


def test_labels_that_the_model_does_not_have_are_named_with_their_spans(tagger: Tagger) -> None:
    known = tagger.labels("home")[0]
    spans = (Span(0, 1, known.upper()), Span(1, 2, "garden"), Span(2, 3, known))
    made = Example(("a", "b", "c"), spans, "home")
    found = evaluate_tagger(tagger, {"home": Corpus("home", {"test": (made, made)})})
    task = found.tasks["home"]
    assert task.unknown_labels == {known.upper(): 2, "garden": 2}
    (said,) = [line for line in task.notes if "does not have" in line]
    assert said.endswith(f"'{known.upper()}' (2; the model has '{known}'), 'garden' (2)")
    assert task.scores.default.support == 6, "they count as missed"


def test_a_note_tells_of_test_sentences_that_were_trained_on(tagger: Tagger) -> None:
    test = corpora()["home"].splits["test"]
    found = evaluate_tagger(tagger, {"home": Corpus("home", {"train": test[:4], "test": test})})
    assert any(
        line.startswith("50.00% of its test sentences") for line in found.tasks["home"].notes
    )


def test_a_single_corpus_is_that_of_the_task_that_one_says(tmp_path: Path) -> None:
    corpus = corpora()["home"]
    write_corpus(corpus.splits, tmp_path / "meals", "conll")
    file = tmp_path / "meals" / "test.conll"
    tags = file.read_text()
    (tmp_path / "gold.conll").write_text(tags)
    for path in (tmp_path / "meals", file, tmp_path / "gold.conll", tmp_path):
        if path == tmp_path:
            (tmp_path / "gold.conll").unlink()
        for known, tasks in ((["food"], None), (["food", "home"], ["food"])):
            (found,) = load_for(path, known, tasks, "test").items()
            assert found[0] == found[1].name == "food"
            test = found[1].splits["test"]
            assert [(e.words, e.spans) for e in test] == [
                (e.words, e.spans) for e in corpus.splits["test"]
            ]
            assert {e.task for e in test} == {"food"}
    (found,) = load_for(file, ["meals", "home"], None, "test")
    assert found == "meals", "its own name, where the model has it"


def test_an_archive_is_the_folder_that_it_holds(tmp_path: Path) -> None:
    for name in ("home", "other"):
        write_corpus(corpora()["home"].splits, tmp_path / "all" / name, "conll")
    archive = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "all"))
    (found,) = load_for(archive, ["home", "dining"], None, "test").values()
    assert (found.name, len(found.splits["test"])) == ("home", 8)


def test_a_single_corpus_that_could_be_any_task_is_asked_about(tmp_path: Path) -> None:
    write_corpus(corpora()["home"].splits, tmp_path / "meals", "conll")
    with pytest.raises(ConfigError, match=r"'meals', and the model has no such task; say"):
        load_for(tmp_path / "meals", ["home", "dining"], None, "test")
    with pytest.raises(ConfigError, match="unknown task 'food'"):
        load_for(tmp_path / "meals", ["home"], ["food"], "test")
    write_corpus(corpora()["home"].splits, tmp_path / "trips", "conll")
    with pytest.raises(ConfigError, match="corpora: meals, trips; tasks: home, dining"):
        load_for(tmp_path, ["home", "dining"], None, "test")
    with pytest.raises(DataError, match="nowhere"):
        load_for(tmp_path / "nowhere", ["home"], None, "test")
