"""Scoring a model on corpora: the functions, and the command with all it writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from hyperloader.checkpoint import Checkpoint
from hyperloader.codec.windows import EncodedWindow
from hyperloader.evaluation import evaluate as module
from hyperloader.evaluation.evaluate import f1_evaluator, predict
from hyperloader.evaluation.metrics import score_examples
from hyperloader.outputs.sentt.decoding import decoder as engine
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.reproduction.reference_decoding import reference_task_f1
from hyperloader.types import Example, Span
from training_helpers import cli, corpora, make_trainer, settings, write_data


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
        decoder: engine.Decoder, sentences: Sequence[Sequence[EncodedWindow]], batch_size: int
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


@pytest.mark.parametrize("wrong", [0, 1])
def test_reference_scoring_of_a_model_that_writes_the_gold_is_one(
    made: Checkpoint, wrong: int
) -> None:
    """Through generation, cutting, text and alignment by order; one wrong span is seen."""
    examples = list(corpora()["home"].splits["test"])
    codec = made.codec
    answers = {tuple(codec.encode_source(e.words)): e for e in examples}

    def generate(self: TaggingModel, ids: torch.Tensor, *, task: str, **_: Any) -> torch.Tensor:
        assert task == "home"
        rows = []
        for row in ids.tolist():
            example = answers[tuple(i for i in row if i != codec.pieces.pad)]
            spans = () if example is examples[0] and wrong else example.spans
            rows.append([codec.pieces.pad, *codec.encode_target(spans, len(example.words), task)])
        width = max(map(len, rows))
        return torch.tensor([r + [codec.pieces.pad] * (width - len(r)) for r in rows])

    with mock.patch.object(TaggingModel, "generate", generate):
        f1 = reference_task_f1(made.model, codec, examples, batch_size=3)
    spans = sum(len(e.spans) for e in examples)
    missed = len(examples[0].spans) * wrong
    assert f1 == pytest.approx(2 * (spans - missed) / (2 * spans - missed))
    assert (f1 == 1.0) == (wrong == 0)


# The command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("command")
    data = write_data(folder / "data")
    done = cli("train", "--data", data, "--out", folder / "run", *settings())
    assert done.code == 0, done.err
    return folder / "run"


def test_the_table_names_every_task_and_the_average(run: Path) -> None:
    done = cli("evaluate", run)
    assert done.code == 0, done.err
    lines = [line.split() for line in done.out.splitlines()]
    rows = {line[0]: line[1:] for line in lines if line}
    assert rows["task"] == ["sentences", "spans", "P", "R", "F1", "strict", "F1", "ECE"]
    for name, corpus in corpora().items():
        test = corpus.splits["test"]
        assert rows[name][:2] == [str(len(test)), str(sum(len(e.spans) for e in test))]
    assert len(rows["average"]) == 5


def test_json_is_all_that_is_printed_and_agrees_with_the_file(run: Path, tmp_path: Path) -> None:
    done = cli("evaluate", run, "--json", "--output", tmp_path / "deep" / "scores.json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert json.loads((tmp_path / "deep" / "scores.json").read_text()) == document
    assert (document["split"], document["scoring"]) == ("test", "seqeval")
    assert set(document["tasks"]) == {"dining", "home"}
    assert document["average"]["default"]["f1"] == pytest.approx(
        sum(score["default"]["f1"] for score in document["tasks"].values()) / 2
    )


def test_report_and_plot_are_written(run: Path, tmp_path: Path) -> None:
    report, plot = tmp_path / "report.html", tmp_path / "plot.png"
    done = cli("evaluate", run, "--html", report, "--plot", plot, "--task", "home")
    assert done.code == 0, done.err
    assert "<html" in report.read_text()
    assert "home" in report.read_text()
    assert "dining" not in report.read_text()
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert str(report) in done.out.replace("\n", "")


def test_reference_scoring_runs(run: Path) -> None:
    done = cli("evaluate", run, "--scoring", "reference", "--json", "--task", "dining")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert 0 <= document["tasks"]["dining"]["reference"]["f1"] <= 1
    table = cli("evaluate", run, "--scoring", "reference")
    assert table.code == 0, table.err
    assert "average" in table.out


def test_reference_scoring_does_not_drop_a_report_silently(run: Path, tmp_path: Path) -> None:
    done = cli("evaluate", run, "--scoring", "reference", "--html", tmp_path / "report.html")
    assert done.code == 2
    assert "leave --html and --plot away" in done.err


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_part_can_be_scored(run: Path, split: str) -> None:
    done = cli("evaluate", run, "--split", split, "--json")
    assert done.code == 0, done.err
    for name, score in json.loads(done.out)["tasks"].items():
        assert score["sentences"] == len(corpora()[name].splits[split])


def test_a_validation_part_that_was_drawn_can_be_scored(run: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    for folder in data.iterdir():
        next(folder.glob("valid*")).unlink()
    done = cli("evaluate", run, "--data", data, "--split", "validation", "--json")
    assert done.code == 0, done.err
    sizes = {name: s["sentences"] for name, s in json.loads(done.out)["tasks"].items()}
    assert sizes == {"dining": 2, "home": 3}


def test_a_part_that_is_absent_is_named(run: Path, tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    next((data / "home").glob("test*")).unlink()
    done = cli("evaluate", run, "--data", data)
    assert done.code == 2
    assert "no test sentences for home" in done.err


def test_a_checkpoint_folder_needs_to_be_told_the_data(run: Path, tmp_path: Path) -> None:
    checkpoint = run / "checkpoints" / "step-00000006"
    done = cli("evaluate", checkpoint)
    assert done.code == 2
    assert "give --data DIR" in done.err
    done = cli("evaluate", checkpoint, "--data", run.parent / "data", "--json")
    assert done.code == 0, done.err
