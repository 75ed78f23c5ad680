"""The benchmark of decoding: contenders agree, planted answers come out, commands work."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from helpers import SENTENCES, tiny_codec
from hyperloader.benchmarks.contenders import Trial, spacy_ner
from hyperloader.benchmarks.decoding import run_benchmark
from hyperloader.benchmarks.models import MeasuredModel, ModelSpec, PlantedScorer, shape_subject
from hyperloader.benchmarks.timing import Contender, in_fresh_process, take_turns
from hyperloader.cli.benchmark import app
from hyperloader.codec.batch import collate, encode_example
from hyperloader.errors import ConfigError, HyperloaderError
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.types import Example
from measured_processes import killed, peak_of_tensor
from slow_decoder import sharpened

CODEC, CPU = tiny_codec(), torch.device("cpu")


@pytest.mark.slow
@pytest.mark.usefixtures("few_repeats")
def test_generate_under_the_grammar_finds_what_the_decoder_finds() -> None:
    sentences = tuple(Example(tuple(s.split()), (), "flights") for s in SENTENCES)
    subject = MeasuredModel(
        "tiny", sharpened(CODEC, 3), CODEC, ("flights", "music", "one"), sentences, ()
    )
    (result,) = run_benchmark([subject], batch_sizes=(1, 5)).subjects
    assert [m.same_as_constrained for m in result.measurements] == [1.0, 1.0]
    assert result.outside_share < 1  # else this would compare little
    assert result.mixed_tasks == 3
    assert result.mixed_over_single is not None
    assert result.memory_ratio is None  # nobody can make this subject again
    for measurement in result.measurements:
        seconds = measurement.seconds
        assert measurement.ratios["generate / decoder"] == pytest.approx(
            seconds["generate"] / seconds["decoder"]
        )
        assert set(measurement.seconds) >= {
            "decoder", "decoder warm", "generate", "constrained generate", "pass",
            "pass with vocabulary",
        }  # fmt: skip
        assert measurement.repeats.keys() == measurement.seconds.keys()
        assert min(measurement.repeats.values()) >= 3


def test_planted_answers_are_the_gold_tags_in_mixed_tasks() -> None:
    subject = shape_subject("tiny")
    examples = [
        Example(e.words, e.spans, subject.tasks[i % len(subject.tasks)])
        for i, e in enumerate(subject.sentences[:24])
    ]
    windows = [window for e in examples for window in encode_example(subject.codec, e)]
    decoder = SentTDecoder(subject.model, subject.codec)
    decoder.scorer = PlantedScorer(decoder.scorer, decoder.paths, subject.codec, windows)
    found = decoder.decode_batch(collate(windows, subject.codec.pieces.pad))
    assert [tuple(f.spans) for f in found] == [e.spans for e in examples]
    gold = sum(len(window.target) for window in windows)
    assert 2 < decoder.work.passes < max(len(window.target) for window in windows) / 2
    assert decoder.work.tokens < 2 * gold


def test_real_sentences_and_their_gold_tags_are_what_a_shape_is_measured_on(shared: Path) -> None:
    trial = Trial(shape_subject("tiny", shared / "data" / "labelled", "restaurant"))
    sentences = trial.middle(8)
    (answer, *_) = found = trial.decoded([s.window for s in sentences])
    gold = {e.words: e.spans for e in trial.subject.sentences}
    assert any(answer.spans for answer in found)
    for sentence, answer in zip(sentences, found, strict=True):
        assert tuple(answer.spans) == gold[sentence.words]
    for sentence, again in zip(sentences, trial.answered(sentences), strict=True):
        assert again.window.target == sentence.window.target


def test_a_timed_decoder_sees_every_batch_for_the_first_time() -> None:
    trial = Trial(shape_subject("tiny"))
    windows = [sentence.window for sentence in trial.middle(4)]
    first = trial.work(windows, trial.warm)
    contender = trial.decoding(windows, trial.warm)
    for _ in range(2):
        contender.prepare()
        contender.run()
    assert trial.work(windows, trial.warm) == first
    trial.decoded(windows, trial.warm)  # now it has learnt them
    assert trial.work(windows, trial.warm).passes <= first.passes


def test_contenders_take_turns_and_the_first_time_does_not_count() -> None:
    log: list[str] = []
    contenders = {
        name: Contender(
            lambda name=name: log.append(name), lambda name=name: log.append(f"+{name}")
        )  # type: ignore[misc]
        for name in "ab"
    }
    times = take_turns(contenders, CPU, repeats=2, enough=60.0)
    assert {name: len(taken) for name, taken in times.items()} == {"a": 7, "b": 7}
    assert log == ["+a", "a", "+b", "b"] * 8


def test_memory_is_measured_at_its_peak_in_a_fresh_process() -> None:
    size = 64 * 2**20
    peak, threads = in_fresh_process(peak_of_tensor, size)
    assert threads == torch.get_num_threads()
    if peak is None:
        pytest.skip("NOT TESTED: this system does not tell a process's peak memory")
    assert size <= peak < 1.2 * size


def test_a_killed_process_is_said() -> None:
    with pytest.raises(HyperloaderError, match="want of memory"):
        in_fresh_process(killed)


@pytest.mark.slow
@pytest.mark.usefixtures("few_repeats")
def test_the_decoder_takes_less_memory_than_generate() -> None:
    subject = ModelSpec("tiny").make()
    (result,) = run_benchmark([subject], batch_sizes=(), repeats=1).subjects
    assert result.peak_memory.keys() == {"decoder", "generate"}
    assert result.memory_ratio is not None
    assert result.memory_ratio > 1


@pytest.mark.usefixtures("few_repeats")
def test_the_command_writes_numbers_and_a_picture(tmp_path: Path) -> None:
    numbers, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    command = ["decode", "--shape", "tiny", "--batch", "2", "--no-generate", "--precision", "int8"]
    done = CliRunner().invoke(app, [*command, "--json", str(numbers), "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    document = json.loads(numbers.read_text())
    assert document["environment"].keys() >= {"hardware", "torch", "commit"}
    assert document["seed"] == 0
    (subject,) = document["subjects"]
    assert subject["precision"] == "int8"
    assert subject["mixed_tasks"] == 7
    assert subject["mixed_over_single"] > 0
    (measured,) = subject["measurements"]
    assert measured["ratios"].keys() == {"decoder / pass", "decoder warm / pass"}
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "nowhere"], "unknown task 'nowhere'"),
        (["--shape", "tiny", "--task", "travle"], "did you mean 'travel'"),
        (["--shape", "tiny", "--precision", "int4"], "unknown precision 'int4'"),
        (["--shape", "tiny", "--device", "nowhere"], "cannot be used"),
        (["--grow", "word"], "did you mean 'words'"),
        (["--grow", "words", "--batch", "2"], "makes up its sentences"),
        (["--grow", "words", "--shape", "tiny", "--shape", "mini"], "give one --shape"),
        (["--value", "2"], "give --grow AXIS too"),
    ],
)
def test_what_cannot_be_measured_is_said(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(app, ["decode", *arguments])
    assert isinstance(done.exception, HyperloaderError), done.output
    assert message in str(done.exception)


def test_spacy_reads_the_same_words() -> None:
    trial = Trial(shape_subject("tiny"))
    sentences = trial.middle(3)
    contender = spacy_ner(trial, sentences)
    for _ in range(2):
        contender.prepare()
        found: list[list[object]] = contender.run()  # type: ignore[assignment]
        assert [[str(word) for word in doc] for doc in found] == [[*s.words] for s in sentences]


def test_an_unknown_shape_is_said() -> None:
    with pytest.raises(ConfigError, match="unknown shape 'minni'; did you mean 'mini'"):
        shape_subject("minni")


def test_tasks_in_turn_are_tasks_that_the_model_knows() -> None:
    trial = Trial(shape_subject("tiny"))
    window = trial.middle(1)[0].window
    rows = [replace(window, task=task) for task in trial.subject.tasks]
    answers = trial.decoded(rows)
    assert all(answer.spans == answers[0].spans for answer in answers)
