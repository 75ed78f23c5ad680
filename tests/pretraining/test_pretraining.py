"""A backbone from nothing: trained, exported and used."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from typer.testing import CliRunner

from helpers import tiny_tokenizer
from hyperloader.backbones.loading import load_backbone
from hyperloader.cli.pretrain import pretrain
from hyperloader.codec.pieces import WordPieces
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError, TrainingError
from hyperloader.modeling.pretrained import read_tensors
from hyperloader.pretraining.backbone import export_backbone
from hyperloader.pretraining.recipe import (
    PretrainRecipe,
)
from hyperloader.pretraining.start import resume_pretraining, start_pretraining
from pretraining_helpers import CHECKPOINT, FAST, log, recipe

torch.set_num_threads(1)


def test_the_loss_falls_and_everything_is_logged(whole: Path) -> None:
    entries, found = log(whole), log(whole, "evaluation")
    assert [entry["step"] for entry in entries] == list(range(1, 31))
    assert [entry["step"] for entry in found] == [10, 20, 30]
    assert found[-1]["loss"] < found[0]["loss"] - 0.1
    assert found[-1]["words_loss"] < found[0]["words_loss"] - 0.1
    assert all(0 <= entry[key] <= 1 for entry in found for key in ("copy", "hidden_words"))
    assert {entry["objective"] for entry in entries} == {"spans", "words"}
    # 8 sources of 32 tokens, and targets on top.
    assert 30 * 8 * 32 < entries[-1]["tokens"] < 30 * 8 * 64
    assert all(entry["tokens_per_second"] > 0 for entry in entries)
    assert [path.name for path in (whole / "checkpoints").iterdir()] == ["step-00000030"]


def test_the_export_is_a_backbone(whole: Path) -> None:
    folder = whole / "backbone"
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    backbone, tokenizer = load_backbone(str(folder)), AutoTokenizer.from_pretrained(folder)
    trained = read_tensors(whole / CHECKPOINT.format(30) / "model.safetensors")
    for name, parameter in backbone.named_parameters():
        assert torch.equal(parameter, trained[name].bfloat16().float())
    assert len(WordPieces(tokenizer).sentinels) == 40
    assert tokenizer("please play")["input_ids"][-1] == backbone.config.eos_token_id
    ids = torch.tensor([tokenizer("please play")["input_ids"]])
    made = backbone.generate(ids, max_new_tokens=4, do_sample=False)
    assert made[0, 0] == backbone.config.decoder_start_token_id == tokenizer.pad_token_id
    assert not list(folder.glob("*.bin"))


def test_a_tokenizer_that_does_not_fit_is_refused(whole: Path, tmp_path: Path) -> None:
    backbone = load_backbone(str(whole / "backbone"))
    other = tiny_tokenizer(vocab_size=800, sentinels=200)
    with pytest.raises(ConfigError, match=r"does not fit the backbone .*: it has \d+ pieces"):
        export_backbone(tmp_path / "out", backbone, other)
    assert not (tmp_path / "out").exists()


def test_going_on_from_a_backbone(whole: Path, text: Path, tmp_path: Path) -> None:
    folder = str(whole / "backbone")
    chosen = PretrainRecipe(**{**FAST, "backbone": {"start": folder}, "tokenizer": {}})
    pretrainer = start_pretraining(chosen, text, tmp_path / "run")
    assert pretrainer.prepared.tokenizer.get_vocab() == (
        AutoTokenizer.from_pretrained(folder).get_vocab()
    )
    for name, parameter in pretrainer.denoiser.backbone.named_parameters():
        assert torch.equal(parameter, load_backbone(folder).get_parameter(name))
    # As many pieces, but not the same ones.
    stranger = tmp_path / "stranger"
    AutoTokenizer.from_pretrained(folder).save_pretrained(stranger)
    pieces = (stranger / "tokenizer.json").read_text(encoding="utf-8")
    (stranger / "tokenizer.json").write_text(pieces.replace('"s"', '"\u00df"'), encoding="utf-8")
    section = {"start": folder}
    wrong = PretrainRecipe(**{**FAST, "backbone": section, "tokenizer": {"folder": str(stranger)}})
    with pytest.raises(
        ConfigError, match=r"does not fit the backbone .*: it is not the one in that folder"
    ):
        start_pretraining(wrong, text, tmp_path / "wrong")


def test_a_loss_that_is_not_finite_stops_the_run(prepared: Path, tmp_path: Path) -> None:
    pretrainer = start_pretraining(recipe(), None, tmp_path / "run", prepared=prepared)
    with torch.no_grad():
        pretrainer.denoiser.backbone.shared.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss is not finite at step 1; .*learning_rate"):
        pretrainer.train()


def test_other_text_is_not_gone_on_with(text: Path, tmp_path: Path) -> None:
    """The run's own prepared text is enough; a changed one is refused."""
    other = tmp_path / "text"
    other.mkdir()
    (other / "one.txt").write_text((text / "one.txt").read_text())
    run = tmp_path / "run"
    pretrainer = start_pretraining(recipe(training={"steps": 2}), other, run)
    pretrainer.train()
    (other / "one.txt").unlink()
    assert resume_pretraining(run).state.step == 2
    about = yaml.safe_load((run / "pretrain.yaml").read_text())
    about["prepared"] = str(tmp_path / "elsewhere")
    (run / "pretrain.yaml").write_text(yaml.safe_dump(about))
    changed = start_pretraining(recipe(), text, tmp_path / "other", prepared=tmp_path / "elsewhere")
    assert changed.prepared.folder == tmp_path / "elsewhere"
    with pytest.raises(TrainingError, match=r"is not what .* was trained on"):
        resume_pretraining(run)


def test_damaged_checkpoints_are_refused(prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrainer = start_pretraining(recipe(training={"steps": 1}), None, run, prepared=prepared)
    pretrainer.train()
    (run / CHECKPOINT.format(1) / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(CheckpointError, match=r"all checkpoints of .* are damaged"):
        resume_pretraining(run)
    with pytest.raises(CheckpointError, match="holds no run"):
        resume_pretraining(tmp_path)


def command(*arguments: object) -> Any:
    app = typer.Typer()
    app.command()(pretrain)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command(text: Path, tmp_path: Path) -> None:
    own, run = tmp_path / "own.yaml", tmp_path / "run"
    own.write_text(yaml.safe_dump(FAST))
    done = command("--text", text, "--recipe", own, "--out", run, "--steps", 3)
    assert done.exit_code == 0, done.output
    assert re.search(r"[\d,]+ parameters, [\d,]+ sub-tokens of text in 2 sources", done.output)
    assert re.search(r"step 3  held-out loss \d.*copy [\d.]+%  [\d,]+ tokens", done.output)
    assert f"--backbone {run / 'backbone'}" in done.output
    again = command("--resume", run)
    assert "after step 3" in again.output
    for arguments, message in (
        (["--text", text, "--recipe", own, "--out", run], "already holds a run"),
        (["--recipe", own], "give --text DIR"),
        (["--resume", run, "--steps", 4], "omit the other options"),
        (
            ["--text", tmp_path / "absent", "--recipe", own, "--out", tmp_path / "x"],
            "no such folder",
        ),
    ):
        failed = command(*arguments)
        assert isinstance(failed.exception, HyperloaderError)
        assert message in str(failed.exception)
        assert "\n" not in str(failed.exception)
    assert not (tmp_path / "x").exists()  # nothing stands in the way of the next try
