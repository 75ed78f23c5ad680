"""Tagging needs neither transformers nor a network, and answers and saves the same as with it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from helpers import tiny_backbone, tiny_codec, tiny_model
from hyperloader.backbones.bert.light_model import LightBert
from hyperloader.backbones.loading import load_backbone
from hyperloader.backbones.t5.light_model import LightT5
from hyperloader.builtin import TAGGERS, examples
from hyperloader.checkpoint import load_checkpoint, save_checkpoint, write_checkpoint
from hyperloader.codec.batch import encode_words
from hyperloader.errors import CheckpointError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.store import Kind, atomic_folder
from hyperloader.tagger import Tagger
from hyperloader.trust import trust_backbone
from hyperloader.types import TaggedText

WITHOUT = """
import json, socket, sys
def refuse(*_, **__):
    raise AssertionError("a socket was opened")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
sys.modules["transformers"] = None
from hyperloader import Tagger
tagger = Tagger.from_pretrained(sys.argv[2])
sentences = json.load(sys.stdin)
found = {task: tagger.tag(text, task, alternatives=2) for task, text in sentences.items()}
mixed = tagger.tag([text for text in sentences.values()], [task for task in sentences])
tagger.save_pretrained(sys.argv[1])
slow = {"accelerate", "pandas", "scipy", "sympy", "matplotlib", "datasets", "torch._dynamo"}
json.dump({
    "slow": sorted(slow & set(sys.modules)),
    "alone": {task: [[s.start, s.end, s.label, s.score] for s in t.spans]
              for task, t in found.items()},
    "mixed": [[[s.start, s.end, s.label, s.score] for s in t.spans] for t in mixed],
    "alternatives": {task: t.alternatives for task, t in found.items()},
}, sys.stdout)
"""


@pytest.fixture(scope="module", params=TAGGERS)
def full(request: pytest.FixtureRequest) -> Tagger:
    """A bundled tagger on transformers' backbone."""
    return Tagger.from_pretrained(request.param, tagging_only=False)


def sentences(tagger: Tagger) -> dict[str, str]:
    return {task: text for task, text in examples().items() if task in tagger.tasks}


@pytest.fixture(scope="module")
def without(full: Tagger, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """What a process without transformers finds, and the folder it saves."""
    name = next(n for n, backbone in TAGGERS.items() if backbone == full.model.backbone_name)
    folder = tmp_path_factory.mktemp("cold")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(folder / "saved"), name],
        input=json.dumps(sentences(full)),
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PATH": "", "HOME": str(folder), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder / "saved"


def assert_spans(found: list[list[Any]], tagged: TaggedText) -> None:
    expected = [(s.start, s.end, s.label) for s in tagged.spans]
    assert [tuple(span[:3]) for span in found] == expected
    assert [span[3] for span in found] == pytest.approx([s.score for s in tagged.spans], abs=1e-5)


def test_spans_and_scores_are_those_with_transformers(
    full: Tagger, without: tuple[dict[str, Any], Path]
) -> None:
    found, _ = without
    assert not isinstance(full.model.backbone, LightT5 | LightBert)
    for task, text in sentences(full).items():
        tagged = full.tag(text, task, alternatives=2)
        assert tagged.spans, task
        assert_spans(found["alone"][task], tagged)
        assert tagged.alternatives is not None
        for choices, expected in zip(found["alternatives"][task], tagged.alternatives, strict=True):
            for (tags, probability), other in zip(choices, expected, strict=True):
                assert tuple(tags) == other.tags
                assert probability == pytest.approx(other.probability, abs=1e-5)
    mixed = full.tag(list(sentences(full).values()), list(sentences(full)))
    for spans, tagged in zip(found["mixed"], mixed, strict=True):
        assert_spans(spans, tagged)


def test_nothing_slow_is_imported(without: tuple[dict[str, Any], Path]) -> None:
    assert without[0]["slow"] == []


def test_what_is_saved_is_what_transformers_would_save(
    full: Tagger, without: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    full.save_pretrained(tmp_path / "full")
    names = {p.relative_to(tmp_path / "full") for p in (tmp_path / "full").rglob("*.*")}
    assert names == {p.relative_to(without[1]) for p in without[1].rglob("*.*")}
    folders = (tmp_path / "full", without[1])
    for name in names - {Path("manifest.json")}:
        if name.suffix == ".json":
            one, other = (json.loads((folder / name).read_text()) for folder in folders)
            assert one == other, name
        elif name.name == "README.md":  # which names its folder
            cards = ((f / name).read_text().replace(f.name, "-") for f in folders)
            assert next(cards) == next(cards)
        else:
            assert (tmp_path / "full" / name).read_bytes() == (without[1] / name).read_bytes(), name
    text = "any good thai place"
    assert encode_words(load_checkpoint(without[1]).codec, text.split(), "restaurant")
    again = Tagger.from_pretrained(without[1], tagging_only=False).tag(text, "restaurant").spans
    spans = full.tag(text, "restaurant").spans  # drafted from other sentences: rounded otherwise
    assert [span.score for span in again] == pytest.approx([span.score for span in spans], rel=1e-6)
    assert [replace(span, score=0.0) for span in again] == [replace(s, score=0.0) for s in spans]


@pytest.mark.parametrize("whole", [True, False])
def test_a_checkpoint_of_ones_own_is_read_without_transformers(tmp_path: Path, whole: bool) -> None:
    codec = tiny_codec()
    if whole:
        model = tiny_model(codec, random=True, train_backbone="all")
    else:
        tiny_backbone(codec, seed=3).save_pretrained(tmp_path / "t5")
        config = ModelConfig(tasks=tuple(codec.labels))
        name = str(tmp_path / "t5")
        model = TaggingModel(load_backbone(name), config, backbone_name=name)
    save_checkpoint(tmp_path / "c", model, codec)
    light, full = (load_checkpoint(tmp_path / "c", tagging_only=only) for only in (True, False))
    assert isinstance(light.model, TaggingModel)
    assert isinstance(light.model.backbone, LightT5)
    assert not isinstance(full.model.backbone, LightT5)
    ours, theirs = (c.model.state_dict() for c in (light, full))
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert light.model.backbone_name == full.model.backbone_name


def test_another_backbone_is_refused_here_too(tmp_path: Path) -> None:
    codec, name = tiny_codec(), str(tmp_path / "t5")
    tiny_backbone(codec, seed=3).save_pretrained(name)
    config = ModelConfig(tasks=tuple(codec.labels))
    model = TaggingModel(load_backbone(name), config, backbone_name=name)
    with atomic_folder(tmp_path / "c", Kind.CHECKPOINT) as folder:
        write_checkpoint(folder, model, codec)
    trust_backbone(name)
    tiny_backbone(codec, seed=4).save_pretrained(name)
    with pytest.raises(CheckpointError, match="trained on another backbone"):
        load_checkpoint(tmp_path / "c", tagging_only=True)
