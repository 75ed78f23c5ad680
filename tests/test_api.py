"""Training from a program: what the command line does, calibrated, resumable and scored."""

import json
from pathlib import Path
from typing import Any

import pytest

import hyperloader
from hyperloader import api
from hyperloader.checkpoint import best_checkpoint, load_checkpoint
from hyperloader.corpora.registry import load_corpora
from hyperloader.corpora.sample import sample_corpora
from hyperloader.corpora.writing import write_corpus
from hyperloader.errors import ConfigError, DataError, TargetError
from training_helpers import assert_same_tensors, cli, corpora, losses, settings, write_data

# As strings for --set, which are what the command line passes on.
SETTINGS = settings()[1::2]
LEARNS = settings(
    training={"steps": 70, "learning_rate": 3e-5, "backbone_learning_rate": 1e-3},
    validation={"every": 70},
    dropout=0,
)[1::2]


def train(out: Path, data: Any, **options: Any) -> hyperloader.Tagger:
    return hyperloader.train(data, out=out, **{"settings": SETTINGS, "progress": False, **options})


@pytest.fixture(scope="module")
def enough() -> dict[str, Any]:
    """Two tasks with sentences enough to be calibrated on."""
    made = sample_corpora(seed=3, train=60, validation=60, test=12)
    return {name: made[name] for name in ("dining", "home")}


@pytest.fixture(scope="module")
def tagger(enough: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> hyperloader.Tagger:
    return train(tmp_path_factory.mktemp("api") / "run", enough, settings=LEARNS)


def test_it_is_the_command_line_s_run(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    done = cli("train", "--data", data, "--out", tmp_path / "cli", *settings())
    assert done.code == 0, done.err
    train(tmp_path / "path", data)
    train(tmp_path / "memory", corpora())
    for name in ("path", "memory"):
        assert losses(tmp_path / name) == losses(tmp_path / "cli")
        assert_same_tensors(best_checkpoint(tmp_path / name), best_checkpoint(tmp_path / "cli"))


def test_it_gives_a_calibrated_tagger(tagger: hyperloader.Tagger) -> None:
    assert tagger.tasks == ("dining", "home")
    assert tagger.calibration is not None
    assert set(tagger.temperatures) == {"dining", "home"}


def test_it_is_not_calibrated_if_not_asked_to_be(enough: dict[str, Any], tmp_path: Path) -> None:
    assert train(tmp_path / "run", enough, calibrate=False).calibration is None
    assert load_checkpoint(tmp_path / "run").calibration is None


def test_it_is_scored_as_on_the_command_line(
    tagger: hyperloader.Tagger, enough: dict[str, Any], tmp_path: Path
) -> None:
    found = tagger.evaluate(enough).to_dict()
    assert set(found["tasks"]) == {"dining", "home"}
    assert found["tasks"]["home"]["default"]["support"] > 0
    tagger.save_pretrained(tmp_path / "saved", metrics=tagger.evaluate(enough))
    assert (
        f"{found['tasks']['home']['default']['f1']:.4f}"
        in (tmp_path / "saved" / "README.md").read_text()
    )
    for name, corpus in enough.items():
        write_corpus(corpus.splits, tmp_path / "data" / name, "jsonl")
    done = cli("evaluate", tmp_path / "saved", "--data", tmp_path / "data", "--json")
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert shown["average"] == found["average"]
    only = tagger.evaluate(tmp_path / "data", "validation", tasks=["home"]).to_dict()
    assert set(only["tasks"]) == {"home"}
    with pytest.raises(DataError):
        tagger.evaluate({"home": {"train": enough["home"].splits["train"]}})


def test_what_is_given_in_memory_is_kept_with_the_run(tmp_path: Path) -> None:
    records = [
        {"text": f"fly to {city} now", "spans": [{"start": 7, "end": 11, "label": "city"}]}
        for city in ("oslo", "rome", "bern", "riga") * 5
    ]
    tagger = train(tmp_path / "run", {"trips": {"train": records, "test": records[:4]}})
    assert tagger.labels() == ("city",)
    kept = load_corpora(tmp_path / "run" / "data")["trips"]
    assert [len(kept.splits[part]) for part in ("train", "validation", "test")] == [18, 2, 4]
    assert kept.splits["test"][0].text == "fly to oslo now"
    done = cli("evaluate", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["tasks"]["trips"]["sentences"] == 4


def test_a_stopped_run_is_resumed(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(kind: str, entry: dict[str, Any]) -> None:
        if kind == "train" and entry["step"] == 4:
            raise Enough

    with pytest.raises(Enough):
        train(tmp_path / "run", corpora(), listeners=[stop])
    tagger = hyperloader.resume(tmp_path / "run", progress=False)
    assert tagger.tasks == ("dining", "home")
    train(tmp_path / "whole", corpora())
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"recipe": "papre"}, "unknown recipe 'papre'; did you mean 'paper'"),
        ({"method": "hyperloder"}, "unknown method 'hyperloder'"),
        ({"settings": {"training.stpes": 3}}, "unknown key 'training.stpes'"),
        ({"settings": {"seed": object()}}, "a setting is not a plain value"),
        ({"tasks": ["hme"]}, "unknown task 'hme'; did you mean 'home'"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, DataError), match=said) as caught:
        train(tmp_path / "run", corpora(), **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "names",
    [
        *(["CON"], ["nul.x"], ["a:b"], ["what?"], ["a/b"], ["../out"], [".."], ["a."], ["a "]),
        *(["_a"], [".a"], ["a\nb"], ["é" * 101], ["Home", "home"], ["é", "e\u0301"]),
    ],
)
def test_a_task_that_is_to_be_a_folder_has_a_folder_s_name(
    names: list[str], tmp_path: Path
) -> None:
    data = dict.fromkeys(names, corpora()["home"])
    with pytest.raises(TargetError, match="; rename") as caught:
        train(tmp_path / "run", data)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_folders_and_tasks_may_have_blanks_and_letters_of_any_kind(tmp_path: Path) -> None:
    out = tmp_path / "Läufe [red] 'x' 日本 %s {y}" / "run one"
    train(out, {"Smart Home 日本": corpora()["home"], "dining.v2": corpora()["dining"]})
    again = hyperloader.resume(out, progress=False)
    assert again.tasks == ("Smart Home 日本", "dining.v2")
    done = cli("export", out, out.parent / "ex port")
    assert done.code == 0, done.err
    done = cli("tag", out.parent / "ex port", "--task", "dining.v2", "--json", "a table for two")
    assert json.loads(done.out)["text"] == "a table for two"
    done = cli("evaluate", out, "--data", out / "data", "--output", out.parent / "scores é.json")
    assert done.code == 0, done.err
    assert (out.parent / "scores é.json").is_file()


def test_settings_may_be_values_or_strings() -> None:
    values = {"training.batch_size": 64, "model": {"lora_rank": 4}, "codec.label_text": "raw"}
    strings = ["training.batch_size=64", "model={lora_rank: 4}", "codec.label_text=raw"]
    recipe = api.recipe_of("builtin", values, steps=5)
    assert recipe == api.recipe_of("builtin", strings, steps=5)
    assert (recipe.training.batch_size, recipe.training.steps) == (64, 5)
    assert recipe.model == {"lora_rank": 4}


def test_progress_is_on_standard_error_or_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "loud", corpora(), progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "parameters trained, 2 tasks" in shown.err
    train(tmp_path / "quiet", corpora(), progress=False)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "")
