"""The benchmark: generate agrees with the decoder, planted answers come out, commands work."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from helpers import SENTENCES, tiny_codec
from hyperloader.cli.benchmark import app
from hyperloader.codec.collate import collate, encode_example
from hyperloader.decoding.benchmark import run_benchmark
from hyperloader.decoding.benchmark_models import Planted, Subject, shape_subject
from hyperloader.decoding.engine import Decoder
from hyperloader.errors import ConfigError
from hyperloader.types import Example
from slow_decoder import sharpened

CODEC = tiny_codec()


def test_generate_under_the_grammar_finds_what_the_decoder_finds() -> None:
    sentences = tuple(Example(tuple(s.split()), (), "flights") for s in SENTENCES)
    subject = Subject(
        "tiny", sharpened(CODEC, 3), CODEC, ("flights", "music", "one"), sentences, ()
    )
    (result,) = run_benchmark([subject], batch_sizes=(1, 4)).subjects
    assert [m.same_as_constrained for m in result.measurements] == [1.0, 1.0]
    assert result.outside_share < 1  # else this would compare little
    for measurement in result.measurements:
        assert measurement.ratios["generate / decoder"] > 1
        assert set(measurement.seconds) == {
            "decoder", "decoder warm", "generate", "constrained generate", "pass",
            "pass with vocabulary",
        }  # fmt: skip


def test_planted_answers_are_the_gold_tags_in_mixed_tasks() -> None:
    subject = shape_subject("tiny")
    examples = [
        Example(e.words, e.spans, subject.tasks[i % len(subject.tasks)])
        for i, e in enumerate(subject.sentences[:24])
    ]
    windows = [window for e in examples for window in encode_example(subject.codec, e)]
    decoder = Decoder(subject.model, subject.codec)
    decoder.judge = Planted(decoder.paths, subject.codec, windows)
    found = decoder.decode_batch(collate(windows, subject.codec.pieces.pad))
    assert [tuple(f.spans) for f in found] == [e.spans for e in examples]
    gold = sum(len(window.target) for window in windows)
    assert 2 < decoder.work.passes < max(len(window.target) for window in windows) / 2
    assert decoder.work.tokens < 2 * gold


def test_the_command_writes_numbers_and_a_picture(tmp_path: Path) -> None:
    numbers, picture = tmp_path / "speed.json", tmp_path / "speed.png"
    command = ["decode", "--shape", "tiny", "--batch", "2", "--no-generate"]
    done = CliRunner().invoke(app, [*command, "--json", str(numbers), "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    (subject,) = json.loads(numbers.read_text())["subjects"]
    assert subject["mixed_tasks"] == 7
    assert subject["mixed_over_single"] > 0
    (measured,) = subject["measurements"]
    assert measured["ratios"].keys() == {"decoder / pass", "decoder warm / pass"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_measured_is_said() -> None:
    with pytest.raises(ConfigError, match="unknown shape 'minni'; did you mean 'mini'"):
        shape_subject("minni")
    done = CliRunner().invoke(app, ["decode", "--task", "travel"])
    assert isinstance(done.exception, ConfigError)
