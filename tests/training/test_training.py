"""The training loop: what is trained, what is not, and what stops it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from transformers.models.t5.modeling_t5 import T5LayerNorm

from hyperloader.checkpoint import best_checkpoint, load_checkpoint
from hyperloader.corpora.corpus import Corpus
from hyperloader.errors import ConfigError, DataError, TrainingError
from hyperloader.training import processes
from hyperloader.training.loop import Trainer
from hyperloader.types import Example, Span
from training_helpers import corpora, evaluator, log, losses, make_trainer, tensors


def test_training_makes_the_loss_smaller_and_logs_every_step(tmp_path: Path) -> None:
    make_trainer(tmp_path / "r", dropout=0, training={"steps": 16}, validation={"every": 8}).train()
    entries = log(tmp_path / "r")
    assert [entry["step"] for entry in entries] == list(range(1, 17))
    assert all(entry.keys() >= {"loss", "tasks", "learning_rate"} for entry in entries)
    assert {task for entry in entries for task in entry["tasks"]} == {"dining", "home"}
    first, last = (sum(e["loss"] for e in part) for part in (entries[:4], entries[-4:]))
    assert last < 0.75 * first
    validations = log(tmp_path / "r", "validation")
    assert [entry["step"] for entry in validations] == [8, 16]
    assert validations[0]["loss"] == pytest.approx(sum(validations[0]["loss_by_task"].values()) / 2)
    for line in (tmp_path / "r" / "log.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


@pytest.mark.parametrize("train_backbone", ["none", "layer_norms"])
def test_what_is_frozen_stays_bit_identical_and_the_rest_moves(
    tmp_path: Path, train_backbone: str
) -> None:
    trainer = make_trainer(
        tmp_path / "r",
        model={"train_backbone": train_backbone},
        training={"steps": 8, "weight_decay": 0.1},
    )
    model = trainer.model
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trained = set(model.trainable_names())
    norms = {f"{name}.weight" for name, m in model.named_modules() if isinstance(m, T5LayerNorm)}
    expected = norms if train_backbone == "layer_norms" else set()
    assert {name for name in trained if name.startswith("backbone.")} == expected
    assert len(norms) == 2 * (2 + 3) + 2, "two stacks of two layers, and their final ones"
    trainer.train()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == trained


@pytest.mark.parametrize("kind", ["full", "decisions"])
@pytest.mark.parametrize("batches", ["per_task", "mixed"])
def test_accumulation_changes_nothing_but_memory(tmp_path: Path, kind: str, batches: str) -> None:
    found = []
    for parts in (1, 4):
        out = tmp_path / str(parts)
        make_trainer(
            out,
            dropout=0,
            data={"batches": batches},
            training={"steps": 4, "gradient_accumulation": parts, "loss": kind},
        ).train()
        found.append(log(out))
    for one, four in zip(*found, strict=True):
        assert one["tasks"] == four["tasks"]
        assert one["loss"] == pytest.approx(four["loss"], abs=1e-5)
        assert one["gradient_norm"] == pytest.approx(four["gradient_norm"], rel=1e-4)
    assert (any(len(e["tasks"]) == 2 for e in found[0])) == (batches == "mixed")


def test_gradient_checkpointing_changes_nothing_but_memory(tmp_path: Path) -> None:
    for on in (False, True):
        make_trainer(
            tmp_path / str(on),
            data={"batches": "mixed"},
            training={"steps": 4, "gradient_checkpointing": on},
        ).train()
    plain, saved = log(tmp_path / "False"), log(tmp_path / "True")
    assert [e["loss"] for e in plain] == pytest.approx([e["loss"] for e in saved], rel=1e-6)
    assert [e["gradient_norm"] for e in plain] == pytest.approx(
        [e["gradient_norm"] for e in saved], rel=1e-5
    )


def test_bf16_trains_close_to_float32_and_both_run_in_one_process(tmp_path: Path) -> None:
    found = []
    for precision in ("float32", "bfloat16", "float32"):
        out = tmp_path / f"{precision}{len(found)}"
        trainer = make_trainer(out, dropout=0, training={"steps": 4, "precision": precision})
        trainer.train()
        assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
        found.append([entry["loss"] for entry in log(out)])
    assert found[0] == found[2]
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], rel=0.05)


def test_losses_summed_over_tokens_train_too_and_smoothing_raises_them(tmp_path: Path) -> None:
    first = {}
    for smoothing in (0.0, 0.1):
        out = tmp_path / str(smoothing)
        training = {"steps": 1, "label_smoothing": smoothing, "loss": "full"}
        make_trainer(out, dropout=0, training=training).train()
        first[smoothing] = log(out)[0]["loss"]
        make_trainer(out / "sum", dropout=0, training={**training, "loss_reduction": "sum"}).train()
        assert log(out / "sum")[0]["loss"] > 50 * first[smoothing]
    assert first[0.0] != first[0.1]


@torch.no_grad()
def poison(trainer: Trainer) -> None:
    next(trainer.model.source.parameters()).fill_(float("nan"))


def test_a_nan_names_step_and_task_and_leaves_a_good_checkpoint(tmp_path: Path) -> None:
    out = tmp_path / "r"
    trainer = make_trainer(out, validation={"every": 2}, harm=(3, poison))
    with pytest.raises(
        TrainingError, match=r"not finite at step 4 \(task (home|dining)\)"
    ) as caught:
        trainer.train()
    assert str(best_checkpoint(out)) in str(caught.value)
    assert "\n" not in str(caught.value)
    kept = load_checkpoint(out)
    assert all(bool(p.isfinite().all()) for p in kept.model.parameters())
    assert best_checkpoint(out).name == "step-00000002"
    assert log(out)[-1]["step"] == 3


def test_a_nan_that_validation_finds_is_not_saved(tmp_path: Path) -> None:
    out = tmp_path / "r"
    trainer = make_trainer(out, validation={"every": 2}, harm=(4, poison))
    with pytest.raises(TrainingError, match="validation loss is not finite at step 4"):
        trainer.train()
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-00000002"]


def test_the_best_checkpoint_is_the_one_that_was_asked_for(tmp_path: Path) -> None:
    """F1 is told here (0.2, 0.9, 0.9, 0.4); the loss gets worse after step 2 (a spoilt model)."""
    told = {1: 0.2, 2: 0.9, 3: 0.9, 4: 0.4}
    best = {}
    for select in ("loss", "f1", "last"):
        calls: list[int] = []

        def evaluate(model: Any, calls: list[int] = calls) -> dict[str, float]:
            calls.append(1)
            return {"home": told[len(calls)]}

        out = tmp_path / select
        make_trainer(
            out,
            training={"steps": 4},
            validation={"every": 1, "select": select},
            make_evaluate=lambda *_, e=evaluate: e,
            harm=(2, spoil),
        ).train()
        best[select] = int(best_checkpoint(out).name.removeprefix("step-"))
        by_loss = {entry["step"]: entry["loss"] for entry in log(out, "validation")}
    assert best == {"loss": min(by_loss, key=by_loss.__getitem__), "f1": 2, "last": 4}
    assert best["loss"] == 1


@torch.no_grad()
def spoil(trainer: Trainer) -> None:
    for parameter in trainer.model.backbone.parameters():
        parameter += 0.5 * torch.randn(parameter.shape)


def test_without_validation_sentences_the_newest_checkpoint_is_taken(tmp_path: Path) -> None:
    bare = {
        name: Corpus(name, {**corpus.splits, "validation": ()})
        for name, corpus in corpora().items()
    }
    out = tmp_path / "r"
    for select in ("loss", "f1"):
        make_trainer(
            out / select,
            on=bare,
            validation={"every": 3, "select": select},
            make_evaluate=evaluator,
        ).train()
        assert best_checkpoint(out / select).name == "step-00000006"
        assert log(out / select, "validation")[0]["loss"] is None


def test_rates_of_source_and_backbone_are_told_apart(tmp_path: Path) -> None:
    trainer = make_trainer(
        tmp_path / "r",
        training={"learning_rate": 1e-4, "backbone_learning_rate": 1e-2, "warmup_steps": 4},
    )
    groups = trainer.optimizer.param_groups
    source = {id(p) for p in trainer.model.source.parameters()}
    for group in groups:
        inside = {id(p) for p in group["params"]} & source
        assert group["peak"] == (1e-4 if inside else 1e-2)
    assert sum(len(group["params"]) for group in groups) == len(trainer.model.trainable_names())
    trainer.train()
    assert [e["learning_rate"] for e in log(tmp_path / "r")][:4] == pytest.approx(
        [1e-4 * k / 4 for k in (1, 2, 3, 4)]
    )


def test_a_fraction_trains_on_that_share(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "r", data={"fraction": 0.5})
    assert trainer.sampler.sizes == {"dining": 6, "home": 12}


def test_the_same_seed_trains_the_same_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 42), ("b", 42), ("c", 43)):
        make_trainer(tmp_path / name, seed=seed, training={"steps": 3}).train()
    a, b, c = (losses(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c
    last = "checkpoints/step-00000003"
    ours, theirs = tensors(tmp_path / "a" / last), tensors(tmp_path / "b" / last)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def refusal(error: type[Exception], work: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_trained_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "r"
    message = refusal(ConfigError, lambda: make_trainer(out, training={"gradient_accumulation": 3}))
    assert "batch_size 8 does not divide into 1 processes x 3 parts" in message
    empty = {"home": Corpus("home", {"train": (), "validation": (), "test": ()})}
    message = refusal(DataError, lambda: make_trainer(out, on=empty))
    assert "'home' has no training sentences" in message
    clash = Corpus(
        "clash",
        {
            "train": (
                Example(("a", "b"), (Span(0, 1, "ITEM_NAME"), Span(1, 2, "item.name")), "clash"),
            ),
            "validation": (),
            "test": (),
        },
    )
    message = refusal(ConfigError, lambda: make_trainer(out, on={"clash": clash}))
    assert "'ITEM_NAME' and 'item.name' would both be written 'item name'" in message
    assert not out.exists()


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path) -> None:
    make_trainer(tmp_path / "r")
    assert "--resume" in refusal(ConfigError, lambda: make_trainer(tmp_path / "r"))


def test_auto_is_bfloat16_only_where_there_are_instructions_for_it(tmp_path: Path) -> None:
    ends = {}
    for name, precision, able in (
        ("auto on a processor that can", "auto", True),
        ("bfloat16", "bfloat16", False),
        ("auto on one that cannot", "auto", False),
        ("float32", "float32", False),
    ):
        with mock.patch.object(processes, "has_bfloat16", lambda device, able=able: able):
            make_trainer(tmp_path / name, training={"steps": 2, "precision": precision}).train()
        ends[name] = losses(tmp_path / name)
    assert ends["auto on a processor that can"] == ends["bfloat16"]
    assert ends["auto on one that cannot"] == ends["float32"]
    assert ends["bfloat16"] != ends["float32"]
