"""Which argument of ``hyperloader tag`` is the run and which are sentences."""

import json
from pathlib import Path

import pytest

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


def test_a_folder_with_a_blank_in_its_name_is_a_run(run: Path, tmp_path: Path) -> None:
    spaced = tmp_path / "my run"
    spaced.symlink_to(run)
    done = cli("tag", spaced, "--task", "home", "--json", "turn off the lamp")
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == ["turn off the lamp"]


def test_a_sentence_longer_than_any_name_of_a_file_is_a_sentence() -> None:
    sentence = "a table for two " * 40
    done = cli("tag", "--task", "restaurant", "--json", sentence)
    assert [json.loads(line)["text"] for line in done.out.splitlines()] == [sentence]


def test_words_are_found_by_the_rule_of_the_run(run: Path) -> None:
    """The rule is chosen from the training words and kept in every checkpoint."""
    codec = json.loads(next((run / "checkpoints").glob("*/codec.json")).read_text())["codec"]
    assert codec["words"] == "punctuation"
    done = cli("tag", run, "--task", "home", "--json", 'turn off "the lamp", now.')
    tagged = json.loads(done.out)
    assert tagged["words"] == ["turn", "off", '"', "the", "lamp", '"', ",", "now", "."]
