"""A backbone from nothing: trained, killed, gone on with, exported and used."""

import json
import os
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
from typer.testing import CliRunner

from helpers import tiny_tokenizer
from hyperloader.cli.pretrain import pretrain
from hyperloader.codec.pieces import WordPieces
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError, TrainingError
from hyperloader.modeling.backbone import load_backbone
from hyperloader.modeling.pretrained import read_tensors
from hyperloader.pretraining.backbone import export_backbone
from hyperloader.pretraining.loop import Pretrainer
from hyperloader.pretraining.recipe import (
    PretrainRecipe,
)
from hyperloader.pretraining.start import finish, resume_pretraining, start_pretraining
from training_helpers import in_process

torch.set_num_threads(1)

FAST: dict[str, Any] = {
    "text": {"held_out": 10},
    "tokenizer": {"vocab_size": 400, "sentinels": 40},
    "backbone": {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 1, "dropout": 0.1},
    "objectives": {"source_tokens": 32, "mix": {"spans": 1, "words": 1}},
    "training": {"steps": 30, "batch_size": 8, "learning_rate": 5e-3, "warmup_steps": 3},
    "evaluation": {"every": 10, "sequences": 8},
}
CHECKPOINT = "checkpoints/step-{:08d}"


def recipe(**changes: Any) -> PretrainRecipe:
    merged = {key: {**value, **changes.pop(key, {})} for key, value in FAST.items()}
    return PretrainRecipe(**merged, **changes)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for name in ("one", "two"):
        lines = [f"{name} please play song {i} of band {i % 7} at nine" for i in range(150)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def prepared(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The text as ids, for all the runs of this file."""
    folder = tmp_path_factory.mktemp("shared") / "prepared"
    start_pretraining(recipe(), text, folder.parent / "unused", prepared=folder)
    return folder


@pytest.fixture(scope="module")
def whole(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    pretrainer = start_pretraining(recipe(), None, out, prepared=prepared)
    pretrainer.train()
    finish(pretrainer)
    return out


def log(run: Path, kind: str = "train") -> list[dict[str, Any]]:
    entries = map(json.loads, (run / "log.jsonl").read_text().splitlines())
    return [entry for entry in entries if entry["kind"] == kind]


def exact(run: Path) -> list[tuple[Any, ...]]:
    """What must be the same in two equal runs."""
    keys = ("step", "objective", "loss", "learning_rate", "gradient_norm", "tokens")
    return [tuple(entry[key] for key in keys) for entry in log(run)]


def assert_same_checkpoint(one: Path, other: Path) -> None:
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = read_tensors(one / name), read_tensors(other / name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    assert json.loads((one / "trainer.json").read_text()) == json.loads(
        (other / "trainer.json").read_text()
    )


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


def test_a_run_stopped_between_goes_on_exactly(whole: Path, prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    pretrainer = start_pretraining(recipe(), None, run, prepared=prepared)
    stop_after(pretrainer, 14)
    with pytest.raises(HyperloaderError, match=r"stopped after step 14; .* --resume"):
        pretrainer.train()
    assert (run / CHECKPOINT.format(14)).is_dir()
    again = resume_pretraining(run)
    assert again.progression.step == 14
    again.train()
    assert exact(run) == exact(whole)
    assert_same_checkpoint(run / CHECKPOINT.format(30), whole / CHECKPOINT.format(30))


def test_a_killed_run_goes_on_exactly(whole: Path, prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    child = in_process(_slow_run, run, prepared)
    deadline = time.monotonic() + 60
    while not _logged(run, 16) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL
    steps = len(log(run))
    assert 16 <= steps < 30
    again = resume_pretraining(run)
    assert again.progression.step == steps // 10 * 10 > 0
    again.train()
    assert exact(run) == exact(whole)
    assert_same_checkpoint(run / CHECKPOINT.format(30), whole / CHECKPOINT.format(30))


def test_two_processes_do_the_same(prepared: Path, tmp_path: Path) -> None:
    """Without dropout, whose draws differ: the same losses, to rounding."""
    one = tmp_path / "one"
    plain = recipe(backbone={"dropout": 0.0}, training={"steps": 4})
    start_pretraining(plain, None, one, prepared=prepared).train()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [
        in_process(
            _run,
            tmp_path / "two",
            prepared,
            plain,
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE="2",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        for rank in range(2)
    ]
    for child in children:
        child.join(90)
    assert [child.exitcode for child in children] == [0, 0]
    ours, theirs = log(one), log(tmp_path / "two")
    assert [entry["tokens"] for entry in ours] == [entry["tokens"] for entry in theirs]
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_accumulation_and_bf16_do_the_same(prepared: Path, tmp_path: Path) -> None:
    losses = {}
    for name, training in {
        "one": {},
        "four": {"gradient_accumulation": 4},
        "bf16": {"precision": "bf16"},
    }.items():
        chosen = recipe(backbone={"dropout": 0.0}, training={"steps": 4, **training})
        start_pretraining(chosen, None, tmp_path / name, prepared=prepared).train()
        losses[name] = [entry["loss"] for entry in log(tmp_path / name)]
    assert losses["four"] == pytest.approx(losses["one"], rel=1e-5)
    assert losses["bf16"] == pytest.approx(losses["one"], rel=2e-2)
    assert losses["bf16"] != losses["one"]


def test_adafactor_is_resumed_exactly(prepared: Path, tmp_path: Path) -> None:
    chosen = recipe(training={"optimizer": "adafactor", "steps": 8, "learning_rate": 0.02})
    start_pretraining(chosen, None, tmp_path / "whole", prepared=prepared).train()
    pretrainer = start_pretraining(chosen, None, tmp_path / "cut", prepared=prepared)
    stop_after(pretrainer, 5)
    with pytest.raises(HyperloaderError, match="stopped after step 5"):
        pretrainer.train()
    resume_pretraining(tmp_path / "cut").train()
    assert exact(tmp_path / "cut") == exact(tmp_path / "whole")
    last = CHECKPOINT.format(8)
    assert_same_checkpoint(tmp_path / "cut" / last, tmp_path / "whole" / last)


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
    assert resume_pretraining(run).progression.step == 2
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
    with pytest.raises(CheckpointError, match="holds no pre-training run"):
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
    assert re.search(
        r"step 3  held-out loss \d.*copy [\d.]+%  [\d,]+ tokens, [\d,]+ tok", done.output
    )
    assert f"--backbone {run / 'backbone'}" in done.output
    again = command("--resume", run)
    assert "after step 3" in again.output
    for arguments, message in (
        (["--text", text, "--recipe", own, "--out", run], "already holds a run"),
        (["--recipe", own], "give --text DIR"),
        (["--resume", run, "--steps", 4], "leave the other options away"),
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


def stop_after(pretrainer: Pretrainer, step: int) -> None:
    """Ask this process to stop, as Ctrl-C would, once ``step`` is logged."""
    written = pretrainer.run.log

    class Log:
        path = pretrainer.run.path

        def __getattr__(self, name: str) -> Any:
            return getattr(run, name)

        def log(self, **entry: Any) -> None:
            written(**entry)
            if entry["step"] == step:
                os.kill(os.getpid(), signal.SIGINT)

    run, pretrainer.run = pretrainer.run, Log()  # type: ignore[assignment]


def _run(run: Path, prepared: Path, chosen: PretrainRecipe) -> None:
    start_pretraining(chosen, None, run, prepared=prepared).train()


def _slow_run(run: Path, prepared: Path) -> None:
    pretrainer = start_pretraining(recipe(), None, run, prepared=prepared)
    step = pretrainer._step

    def slow(*arguments: Any) -> Any:
        time.sleep(0.05)
        return step(*arguments)

    pretrainer._step = slow  # type: ignore[method-assign]
    pretrainer.train()


def _logged(run: Path, step: int) -> bool:
    path = run / "log.jsonl"
    return path.exists() and path.read_text().count("\n") > step
