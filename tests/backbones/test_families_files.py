"""Every kind of encoder as files: folders, the Hub, checkpoints, tokenizers, the command line."""

import copy
import json
from pathlib import Path
from typing import Any
from unittest import mock

import huggingface_hub
import pytest
import torch
from transformers import AutoModelForMaskedLM

from encoders import (
    EVERY,
    codec_of,
    encoder_folder,
    encoder_of,
    family,
    load_again,
    model_of,
    some_ids,
    terms,
    tokenizer_of,
    windows,
)
from hyperloader import trust
from hyperloader.backbones import loading
from hyperloader.backbones.loading import load_backbone, load_tokenizer, meta_backbone
from hyperloader.backbones.registry import family_of
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.pieces import SubTokens
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.token_tags.model import TokenTagger
from training_helpers import cli, refused, write_data


@EVERY
def test_it_is_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    base = str(encoder_folder(tmp_path / "base", kind))
    trust.trust_backbone(base)
    for method in ("hyperloader", "lora", "full"):
        model = model_of(kind, method, backbone=load_backbone(base))
        model.backbone_name = base
        tasks = model.config.tasks
        for whole in (True, False):
            folder = tmp_path / f"{method}-{whole}"
            save_checkpoint(folder, model, codec_of(kind, tasks))
            loaded = load_checkpoint(folder).model
            given = windows(kind, tasks)
            with torch.no_grad():
                expected = terms(model, kind, given)[0]
                assert torch.equal(terms(loaded, kind, given)[0], expected)


@EVERY
def test_a_folder_is_loaded_as_it_was_and_its_tokenizer_too(kind: str, tmp_path: Path) -> None:
    folder = str(encoder_folder(tmp_path / "base", kind))
    loaded, tokenizer = load_backbone(folder, dropout=0.25), load_tokenizer(folder)
    assert family_of(loaded) is family(kind)
    assert not any("pooler" in name for name, _ in loaded.named_parameters())
    assert {getattr(loaded.config, rate) for rate in family(kind).dropouts} == {0.25}
    ids = some_ids(kind)
    with torch.no_grad():
        expected = encoder_of(kind)(ids).last_hidden_state
        assert torch.equal(loaded(ids).last_hidden_state, expected)
    family(kind).check_tokenizer(folder, loaded, tokenizer)
    assert tokenizer.get_vocab() == tokenizer_of(kind).get_vocab()
    meta = meta_backbone(folder)
    assert sum(p.numel() for p in meta.parameters()) == sum(p.numel() for p in loaded.parameters())


@EVERY
def test_what_was_published_with_a_head_is_loaded_without(kind: str, tmp_path: Path) -> None:
    encoder = load_again(kind)
    head = AutoModelForMaskedLM.from_config(encoder.config)
    head.base_model.load_state_dict(encoder.state_dict())
    head.save_pretrained(tmp_path / "whole")
    loaded = load_backbone(str(tmp_path / "whole"))
    assert loaded.state_dict().keys() == encoder.state_dict().keys()
    ids = some_ids(kind)
    with torch.no_grad():
        assert torch.equal(loaded(ids).last_hidden_state, encoder(ids).last_hidden_state)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of huggingface_hub, and no network."""
    cache = tmp_path / "hub"
    for name, value in (("HF_HUB_CACHE", str(cache)), ("HF_HUB_OFFLINE", True)):
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.chdir(tmp_path)
    return cache


@EVERY
def test_a_name_on_the_hub_is_loaded(kind: str, hub: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = hub / "models--me--encoder"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    encoder_folder(root / "snapshots" / commit, kind)
    loaded, tokenizer = load_backbone("me/encoder"), load_tokenizer("me/encoder")
    expected = load_again(kind).state_dict()
    assert expected.keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert tokenizer.get_vocab() == tokenizer_of(kind).get_vocab()


@EVERY
def test_words_are_read_as_in_the_middle_of_a_text(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    pieces = SubTokens(tokenizer)
    words = ["turn", "on", "the", "lights", "in", "zzyzx", "at", "noon"]
    ids = tokenizer(" ".join(words))["input_ids"]
    assert (ids[0], ids[-1]) == (pieces.first, pieces.last)
    rest = [i for word in pieces(words)[1:] for i in word]
    assert ids[-1 - len(rest) : -1] == rest
    # What comes first is read as if it were not.
    assert pieces(["lights", "lights"])[0] == pieces(words)[3]
    special = ["</s>", "[SEP]", "<s>", "[CLS]", "<pad>", "[PAD]", "<mask>", "[MASK]"]
    forbidden = {pieces.first, pieces.last, pieces.pad, tokenizer.mask_token_id}
    assert not any(forbidden & set(word) for word in pieces(special))


def test_a_byte_level_tokenizer_may_add_a_space_of_its_own() -> None:
    tokenizer = copy.deepcopy(tokenizer_of("roberta"))
    words = ["turn", "on", "the", "lights"]
    expected = SubTokens(tokenizer)(words)
    backend: Any = tokenizer.backend_tokenizer
    backend.pre_tokenizer.add_prefix_space = True
    assert tokenizer("turn")["input_ids"][1:-1] == list(expected[0])
    assert SubTokens(tokenizer)(words) == expected


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        # Published models without heads and pooling layers.
        ("distilbert-base", 66_362_880),
        ("mpnet-base", 109_486_464 - (768 * 768 + 768)),
        ("deberta-v3-base", 183_831_552),
        ("modernbert-base", 149_014_272),
        ("roberta-base", 124_645_632 - (768 * 768 + 768)),
        ("xlm-roberta-base", 278_043_648 - (768 * 768 + 768)),
    ],
)
def test_published_shapes(shape: str, parameters: int) -> None:
    backbone = meta_backbone(shape)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    config = ModelConfig(method="lora", tasks=("a",), head="free")
    with torch.device("meta"):
        model = TokenTagger(backbone, config, tags={"a": 3})
    layers = backbone.config.num_hidden_layers
    lora = layers * 2 * (config.lora_rank * 768 * 2)
    assert model.parameter_counts()["trainable"] == lora + 3 * 769


@pytest.mark.parametrize("kind", ["modernbert", "deberta-v3"])
def test_from_the_command_line(kind: str, tmp_path: Path) -> None:
    data, run = write_data(tmp_path / "data"), tmp_path / "run"
    folder = encoder_folder(tmp_path / "encoder", kind)
    given = ("--data", data, "--backbone", folder, "--set", "training.precision=float32")
    done = cli("train", *given, "--method", "hyperloader", "--steps", 3, "--out", run)
    assert done.code == 0, done.err
    scores = json.loads(cli("evaluate", run, "--json").out)
    assert set(scores["tasks"]) == {"dining", "home"}
    done = cli("tag", run, "--task", "home", "--json", "turn off the lamp in the hall")
    assert json.loads(done.out)["words"][:2] == ["turn", "off"], done.err
    assert "no place 'self_prefix'" in refused(
        "train", *given, "--method", "unipelt-bert", "--task", "home", "--out", tmp_path / "no"
    )


def test_a_backbone_of_no_family_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text('{"model_type": "gpt2"}')
    tokenizer_of("roberta").save_pretrained(tmp_path / "gpt2")
    data = write_data(tmp_path / "data")
    said = refused(
        "train", "--data", data, "--backbone", tmp_path / "gpt2", "--out", tmp_path / "o"
    )
    assert "unknown kind of backbone 'gpt2'" in said
    assert "modernbert" in said
    assert said.endswith("choose another one")


def test_a_tokenizer_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = encoder_folder(tmp_path / "slow", "roberta")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "BertweetTokenizer"  # which has no fast form
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="unknown tokenizer 'BertweetTokenizer' \\(known: ") as no:
        load_tokenizer(str(folder))
    assert "\n" not in str(no.value)
    folder = tmp_path / "sentencepiece"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "deberta-v2"}')
    (folder / "tokenizer_config.json").write_text('{"vocab_type": "spm"}')
    (folder / "spm.model").write_bytes(b"no such thing")
    error = ValueError("`tiktoken` is required to read a `tiktoken` file")  # as transformers says
    monkeypatch.setattr(trust, "load_tokenizer", mock.Mock(side_effect=error))
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install sentencepiece") as no:
        load_tokenizer(str(folder))
    assert "\n" not in str(no.value)
