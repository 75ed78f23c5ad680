"""Which argument of ``hyperloader tag`` is the run and which are sentences."""

import json
from pathlib import Path

import pytest

from hyperloader.corpora.registry import read_corpus
from hyperloader.types import Span, TaggedSpan, TaggedText
from training_helpers import cli, refused, settings, write_data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = write_data(tmp_path_factory.mktemp("arguments") / "data")
    done = cli("train", "--data", data, "--out", data.parent / "run", *settings())
    assert done.code == 0, done.err
    return data.parent / "run"


@pytest.mark.parametrize("name", ["nosuch", "runs/a/nosuch", "./nosuch", "https://a.b/c"])
@pytest.mark.parametrize("sentences", [(), ("a b c",), ("a b c", "d")])
def test_a_mistyped_run_is_never_tagged_as_text(name: str, sentences: tuple[str, ...]) -> None:
    said = refused("tag", name, "--task", "restaurant", *sentences)
    assert f"there is no run {name}" in said
    assert f"--text {name}" in said


def test_a_sentence_of_one_word_is_given_as_text(run: Path) -> None:
    done = cli("tag", run, "--task", "home", "--json", "lamp", "--text", "lamp", "--text", "x y")
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["lamp", "lamp", "x y"]
    done = cli("tag", run, "--task", "home", "--json", "--text", str(run))
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == [str(run)]


def test_a_labelled_file_is_not_taken_for_texts_in_silence(run: Path, tmp_path: Path) -> None:
    plain, records = tmp_path / "a.txt", tmp_path / "a.jsonl"
    plain.write_text("turn off the lamp\n")
    records.write_text('{"text": "turn off the lamp"}\n')
    done = cli("tag", run, "--task", "home", "--json", "--file", plain, "--file", records)
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    (line,) = done.err.splitlines()
    assert line.startswith(f"{records}: each line is tagged as a text, whatever it holds")


def test_what_is_printed_as_json_can_be_read_and_scored(run: Path, tmp_path: Path) -> None:
    """Offsets there count characters, and small ones could pass for words."""
    tagged = TaggedText(
        "a b c d",
        ("a", "b", "c", "d"),
        ((0, 1), (2, 3), (4, 5), (6, 7)),
        (TaggedSpan(2, 3, "b", "device", 0.5, 1, 2),),
        "home",
    )
    done = cli("tag", run, "--task", "home", "--json", "turn off the lamp in the kitchen, now.")
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps(tagged.to_dict()) + "\n" + done.out)
    examples = {example.words[0]: example for example in read_corpus(answers).splits["train"]}
    assert examples["a"].spans == (Span(1, 2, "device"),)
    printed = json.loads(done.out)
    assert list(examples["turn"].words) == printed["words"]
    assert [(s.word_start, s.word_end, s.label) for s in examples["turn"].spans] == [
        (s["word_start"], s["word_end"], s["label"]) for s in printed["spans"]
    ]
    gold = tmp_path / "gold.conll"
    gold.write_text("a O\nb B-device\nc O\nd O\n\n")
    answers.write_text(json.dumps(tagged.to_dict()))
    assert json.loads(cli("score", gold, answers, "--json").out)["default"]["f1"] == 1.0


def test_a_folder_with_a_blank_in_its_name_is_a_run(run: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "my run"
    spaced.symlink_to(run)
    done = cli("tag", spaced, "--task", "home", "--json", "turn off the lamp")
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["turn off the lamp"]


def test_a_sentence_longer_than_any_name_of_a_file_is_a_sentence() -> None:
    sentence = "a table for two " * 40
    done = cli("tag", "--task", "restaurant", "--json", sentence)
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == [sentence]


def test_words_are_printed_as_they_are(run: Path) -> None:
    text = ":smile: [b]"
    done = cli(
        "tag", run, "--task", "home", "--words", "whitespace", "--alternatives", 1, "--text", text
    )
    assert [line.split()[0] for line in done.out.splitlines()[1:]] == text.split()


def test_words_are_found_by_the_rule_of_the_run(run: Path) -> None:
    """The rule is chosen from the training words and kept in every checkpoint."""
    codec = json.loads(next((run / "checkpoints").glob("*/codec.json")).read_text())["codec"]
    assert codec["words"] == "punctuation"
    done = cli("tag", run, "--task", "home", "--json", 'turn off "the lamp", now.')
    tagged = json.loads(done.out)
    assert tagged["words"] == ["turn", "off", '"', "the", "lamp", '"', ",", "now", "."]
