"""Checkpoints: bit-identical, small where the backbone has a name, never a pickle or a download."""

import json
import socket
from pathlib import Path
from unittest import mock

import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers import SENTENCES, randomise, tiny_backbone, tiny_codec, tiny_model
from hyperloader.checkpoint import best_checkpoint, load_checkpoint, save_checkpoint
from hyperloader.codec.batch import collate, encode_words
from hyperloader.errors import CheckpointError, ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.store import LOCK
from hyperloader.tagger import Tagger
from hyperloader.training.loop import Trainer
from hyperloader.trust import trust_backbone
from training_helpers import make_trainer

CODEC = tiny_codec()


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A pre-trained backbone in a folder, with its tokenizer."""
    folder = tmp_path / "t5"
    tiny_backbone(CODEC, seed=3).save_pretrained(folder)
    CODEC.tokenizer.save_pretrained(folder)
    trust_backbone(folder)
    return folder


def by_reference(folder: Path, **config: object) -> TaggingModel:
    """A model on the backbone of ``folder``, all trained values of it moved."""
    from hyperloader.backbones.loading import load_backbone

    settings = ModelConfig(tasks=tuple(CODEC.labels), **config)
    model = TaggingModel(load_backbone(str(folder)), settings, backbone_name=str(folder))
    randomise(model, seed=5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.01
    return model.eval()


def logits(model: TaggingModel) -> torch.Tensor:
    batch = collate(
        [encode_words(CODEC, s.split(), "music")[0] for s in SENTENCES], CODEC.pieces.pad
    )
    with torch.no_grad():
        return model(
            batch.input_ids,
            batch.attention_mask,
            task_ids=model.task_ids("music"),
            decoder_input_ids=batch.input_ids,
        ).logits


def assert_same(one: TaggingModel, other: TaggingModel) -> None:
    ours, theirs = dict(one.named_parameters()), dict(other.named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert one.trainable_names() == other.trainable_names()
    assert torch.equal(logits(one), logits(other))
    assert one.config == other.config
    assert not other.training


@pytest.mark.parametrize("train_backbone", ["none", "layer_norms", "all"])
def test_whole_models_come_back_bit_by_bit(tmp_path: Path, train_backbone: str) -> None:
    model = tiny_model(CODEC, random=True, train_backbone=train_backbone)
    model.save_pretrained(tmp_path / "m")
    assert_same(model, TaggingModel.from_pretrained(tmp_path / "m"))


@pytest.mark.parametrize("train_backbone", ["none", "layer_norms", "all"])
def test_models_on_a_named_backbone_come_back_and_store_what_was_trained(
    tmp_path: Path, named: Path, train_backbone: str
) -> None:
    model = by_reference(named, train_backbone=train_backbone)
    model.save_pretrained(tmp_path / "m")
    assert_same(model, TaggingModel.from_pretrained(tmp_path / "m"))
    stored = load_file(tmp_path / "m" / "model.safetensors")
    assert set(stored) == set(model.trainable_names())
    assert any(name.startswith("backbone.") for name in stored) == (train_backbone != "none")


def test_a_named_backbone_can_be_stored_whole_and_is_then_not_needed(
    tmp_path: Path, named: Path
) -> None:
    model = by_reference(named)
    model.save_pretrained(tmp_path / "m", whole=True)
    named.rename(tmp_path / "gone")
    assert_same(model, TaggingModel.from_pretrained(tmp_path / "m"))


def test_another_backbone_of_the_same_name_is_refused(tmp_path: Path, named: Path) -> None:
    by_reference(named).save_pretrained(tmp_path / "m")
    tiny_backbone(CODEC, seed=4).save_pretrained(named)
    with pytest.raises(CheckpointError, match="trained on another backbone") as caught:
        TaggingModel.from_pretrained(tmp_path / "m")
    assert "\n" not in str(caught.value)
    assert_same(
        TaggingModel.from_pretrained(tmp_path / "m", backbone=tiny_backbone(CODEC, seed=3)),
        TaggingModel.from_pretrained(tmp_path / "m", backbone=tiny_backbone(CODEC, seed=3)),
    )


def test_one_changed_frozen_value_is_another_backbone(tmp_path: Path, named: Path) -> None:
    by_reference(named).save_pretrained(tmp_path / "m")
    backbone = tiny_backbone(CODEC, seed=3)
    with torch.no_grad():
        backbone.encoder.block[1].layer[0].SelfAttention.q.weight[3, 5] += 1e-6
    with pytest.raises(CheckpointError, match="hash of its frozen weights differs"):
        TaggingModel.from_pretrained(tmp_path / "m", backbone=backbone)


def test_a_backbone_that_is_gone_is_one_line(tmp_path: Path, named: Path) -> None:
    by_reference(named).save_pretrained(tmp_path / "m")
    named.rename(tmp_path / "gone")
    with pytest.raises(ConfigError, match="cannot be loaded") as caught:
        TaggingModel.from_pretrained(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_the_dropout_that_was_trained_with_comes_back(tmp_path: Path, named: Path) -> None:
    from hyperloader.backbones.loading import load_backbone

    backbone = load_backbone(str(named), dropout=0.25)
    config = ModelConfig(tasks=tuple(CODEC.labels))
    TaggingModel(backbone, config, backbone_name=str(named)).save_pretrained(tmp_path / "m")
    loaded = TaggingModel.from_pretrained(tmp_path / "m")
    rates = {m.p for m in loaded.backbone.modules() if isinstance(m, torch.nn.Dropout)}
    assert rates == {0.25}


def test_a_checkpoint_brings_labels_and_tokenizer(tmp_path: Path) -> None:
    model = tiny_model(CODEC, random=True)
    codec = tiny_codec(overlap=3, max_words=20)
    save_checkpoint(tmp_path / "c", model, codec)
    loaded = load_checkpoint(tmp_path / "c")
    assert_same(model, loaded.model)
    assert loaded.codec.config == codec.config
    assert loaded.codec.labels == codec.labels
    assert loaded.codec.tag_ids == codec.tag_ids
    words = ["play", "</s>", "<extra_id_5>", "Grüße", "😀"]
    assert loaded.codec.encode_source(words) == codec.encode_source(words)


def test_loading_needs_no_network(tmp_path: Path, named: Path) -> None:
    save_checkpoint(tmp_path / "whole", tiny_model(CODEC), CODEC)
    save_checkpoint(tmp_path / "named", by_reference(named), CODEC)
    attempts = []

    def refuse(*arguments: object, **options: object) -> None:
        attempts.append(arguments)
        raise OSError("no network")

    with (
        mock.patch.object(socket.socket, "connect", refuse),
        mock.patch.object(socket, "getaddrinfo", refuse),
    ):
        load_checkpoint(tmp_path / "whole")
        load_checkpoint(tmp_path / "named")
    assert not attempts


def rewrite_manifest(folder: Path) -> None:
    """Make a changed folder consistent, as somebody who edits it on purpose would."""
    from hyperloader.store import file_hash

    files = [p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    entries = {
        p.relative_to(folder).as_posix(): {"bytes": p.stat().st_size, "sha256": file_hash(p)}
        for p in files
    }
    (folder / "manifest.json").write_text(json.dumps(entries))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.pop("source.task_embedding.weight", None) or t.popitem(), "lacks"),
        (lambda t: t.update(extra=torch.zeros(1)), "has the unknown extra"),
        (lambda t: t.update({min(t): torch.zeros(3, 3)}), "has another shape for"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path: Path, change: object, said: str) -> None:
    folder = tmp_path / "m"
    tiny_model(CODEC, train_backbone="all").save_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    change(stored)  # type: ignore[operator]
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    rewrite_manifest(folder)
    with pytest.raises(CheckpointError, match=said):
        TaggingModel.from_pretrained(folder)


def test_another_format_is_refused(tmp_path: Path) -> None:
    tiny_model(CODEC).save_pretrained(tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps({**config, "format": 99}))
    rewrite_manifest(tmp_path / "m")
    with pytest.raises(CheckpointError, match="format 99"):
        TaggingModel.from_pretrained(tmp_path / "m")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose best checkpoint is not its last: the model is spoilt in the middle."""
    out = tmp_path_factory.mktemp("runs") / "run"
    make_trainer(out, validation={"every": 2, "select": "loss"}, harm=(3, spoil)).train()
    return out


@torch.no_grad()
def spoil(trainer: Trainer) -> None:
    for parameter in trainer.model.backbone.parameters():
        parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))


def test_a_run_is_loaded_at_its_best_checkpoint(run: Path) -> None:
    best = best_checkpoint(run)
    assert best.name == "step-00000002"
    kept = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert kept == ["step-00000002", "step-00000006"], "the best and the newest are kept"
    tagger = Tagger.from_pretrained(run)
    assert_same_parameters(tagger.model, load_checkpoint(best).model)
    assert not torch.equal(
        next(tagger.model.backbone.parameters()),
        next(load_checkpoint(run / "checkpoints" / "step-00000006").model.backbone.parameters()),
    )
    assert tagger.tasks == ("dining", "home")


def assert_same_parameters(one: TaggingModel, other: TaggingModel) -> None:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_run_holds_only_safetensors_json_and_text(run: Path) -> None:
    files = [p for p in run.rglob("*") if p.is_file() and p.name != LOCK]
    assert {p.suffix for p in files} == {".safetensors", ".json", ".jsonl", ".yaml"}
    for path in files:
        start = path.read_bytes()[:2]
        assert start[:1] != b"\x80"  # a pickle
        assert start != b"PK"  # a zip file, as torch.save writes


def test_a_run_without_a_checkpoint_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="train --resume"):
        load_checkpoint(tmp_path / "run")


def test_a_tagger_saves_what_it_tags_with(run: Path, tmp_path: Path) -> None:
    tagger = Tagger.from_pretrained(run)
    tagger.save_pretrained(tmp_path / "copy")
    again = Tagger.from_pretrained(tmp_path / "copy")
    text = "a table for two at the harbour"
    assert again.tag(text, "dining") == tagger.tag(text, "dining")
