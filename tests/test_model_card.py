"""The model card: what the Hub reads of it, and what it says."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from helpers import LABELS, tiny_codec, tiny_model
from hyperloader.checkpoint import calibrate_checkpoint
from hyperloader.errors import ConfigError
from hyperloader.model_card import model_card
from hyperloader.tagger import Tagger

SCORES: dict[str, Any] = {
    "split": "test",
    "tasks": {"music": {"default": {"precision": 0.5, "recall": 0.25, "f1": 1 / 3}}},
}


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    codec = tiny_codec()
    return Tagger(tiny_model(codec), codec)


def test_the_hub_understands_the_front_matter(tagger: Tagger) -> None:
    text = model_card(
        tagger,
        name="me/my-tagger",
        license="apache-2.0",
        metrics=SCORES,
        sentences={"music": "play: it's #1", "other": "not a task"},
    )
    data = ModelCard(text).data
    assert data.license == "apache-2.0"
    assert data.library_name == "hyperloader"
    assert data.pipeline_tag == "token-classification"
    assert {"token-classification", "hyperloader"} <= set(data.tags)
    assert len(set(data.tags)) == len(data.tags)
    assert data.to_dict()["widget"] == [{"text": "play: it's #1", "example_title": "music"}]
    assert data.model_name == "my-tagger"
    found = {r.metric_type: (r.dataset_name, r.metric_value) for r in data.eval_results}
    assert found == {
        "f1": ("music", 1 / 3),
        "precision": ("music", 0.5),
        "recall": ("music", 0.25),
    }


def test_it_says_what_the_tagger_is(tagger: Tagger) -> None:
    text = model_card(tagger, name="me/my-tagger", metrics=SCORES)
    for task, labels in LABELS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{task}` | `")]
        assert [cell.strip("` ") for cell in row.split("|")[2].split(",")] == list(labels)
    assert 'Tagger.from_pretrained("me/my-tagger")' in text
    assert "hyperloader tag me/my-tagger --task music" in text
    assert "| `music` | 0.5000 | 0.2500 | 0.3333 |" in text
    counts = tagger.model.parameter_counts()
    assert f"{counts['total']:,}, of which {counts['trainable']:,} were trained" in text
    assert "not calibrated" in text
    assert "Licence" not in text


def test_what_is_not_known_is_left_out(tagger: Tagger) -> None:
    text = model_card(tagger)
    front = yaml.safe_load(text.split("---")[1])
    assert not {"license", "model-index", "metrics", "widget", "base_model"} & front.keys()
    assert "## Scores" not in text


def test_a_folder_on_this_machine_is_not_told(tagger: Tagger) -> None:
    codec = tiny_codec()
    other = Tagger(tiny_model(codec), codec)
    other.model.backbone_name = "/home/someone/private/t5"
    text = model_card(other)
    assert "`t5`" in text
    assert "someone" not in text
    other.model.backbone_name = "google-t5/t5-small"
    assert yaml.safe_load(model_card(other).split("---")[1])["base_model"] == "google-t5/t5-small"


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("builtin-minilm", "all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/"),
        ("builtin-t5", "the small T5 that comes with hyperloader"),
    ],
)
def test_a_bundled_tagger_is_calibrated_and_has_examples(name: str, backbone: str) -> None:
    tagger = Tagger.from_pretrained(name)
    text = model_card(tagger)
    front = yaml.safe_load(text.split("---")[1])
    assert [entry["example_title"] for entry in front["widget"]] == list(tagger.tasks)
    assert "calibrated, one temperature per task" in text
    assert backbone in text


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({"f1": 0.5}, "are not what `hyperloader evaluate --output`"),
        ({"tasks": {"music": {"f1": 0.5}}}, "are not what `hyperloader evaluate --output`"),
        ({"tasks": {"musik": SCORES["tasks"]["music"]}}, "does not have .it has: music"),
    ],
)
def test_scores_of_something_else_are_refused(
    tagger: Tagger, metrics: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        model_card(tagger, metrics=metrics)


def test_calibration_changes_one_line_of_an_edited_card(tagger: Tagger, tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    tagger.save_pretrained(folder)
    before = (folder / "README.md").read_text()
    calibration = Tagger.from_pretrained().calibration
    assert calibration is not None
    calibrate_checkpoint(folder, calibration)
    after = (folder / "README.md").read_text()
    changed = [
        (one, other)
        for one, other in zip(before.splitlines(), after.splitlines(), strict=True)
        if one != other
    ]
    ((one, other),) = changed
    assert "not calibrated" in one
    assert "calibrated, one temperature per task" in other
    assert Tagger.from_pretrained(folder).calibration == calibration
