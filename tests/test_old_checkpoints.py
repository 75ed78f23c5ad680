"""Checkpoints that earlier versions wrote load, and answer as they did."""

import json
import shutil
from pathlib import Path

import pytest

from folders import ROOT
from hyperloader.checkpoint import load_checkpoint
from hyperloader.errors import CheckpointError
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.store import MANIFEST, file_hash
from hyperloader.tagger import Tagger

DATA = ROOT / "tests" / "data"
TEXTS = ["play little robin redbreast", "by nobody at all", "a b c d e f g"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A UniPELT on a tiny random BERT, written when checkpoints had format 1."""
    return Path(shutil.copytree(DATA / "format-1-head", tmp_path / "old"))


def test_a_head_of_format_1_answers_as_it_did(folder: Path) -> None:
    expected = json.loads((DATA / "format-1-head.answers.json").read_text())
    found = Tagger.from_pretrained(folder).tag(TEXTS, "music")
    for tagged, spans in zip(found, expected, strict=True):
        assert [[s.start, s.end, s.label] for s in tagged.spans] == [s[:3] for s in spans]
        scores = [span.score for span in tagged.spans]
        assert scores == pytest.approx([s[3] for s in spans], abs=1e-6)
    assert sum(map(len, expected)) == 5


def test_written_again_it_has_the_present_format(folder: Path, tmp_path: Path) -> None:
    loaded = load_checkpoint(folder)
    Tagger(loaded.model, loaded.codec).save_pretrained(tmp_path / "new")
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert (config["format"], config["output"]) == (2, "token_tags")
    assert config["settings"] == {"tags": {"music": 5}}
    again = TokenTagger.from_pretrained(tmp_path / "new")
    before = dict(loaded.model.named_parameters())
    assert all(before[name].equal(value) for name, value in again.named_parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 3}, "checkpoint format 3, this version reads 1 and 2"),
        ({"tags": "five"}, "not usable"),
        ({"model": {}}, "format 1 without 'tasks'"),
    ],
)
def test_what_no_version_wrote_is_refused(folder: Path, change: dict, message: str) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["config.json"] = {"bytes": path.stat().st_size, "sha256": file_hash(path)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder)
