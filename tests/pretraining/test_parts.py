"""The parts of a pre-training run: optimiser, schedule, first weights, recipes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Adafactor

from helpers import tiny_tokenizer
from hyperloader.codec.pieces import WordPieces
from hyperloader.errors import ConfigError
from hyperloader.pretraining.backbone import build_backbone, check_fit
from hyperloader.pretraining.measures import decisions
from hyperloader.pretraining.objectives import Symbols
from hyperloader.pretraining.recipe import (
    BackboneSection,
    PretrainingSection,
    load_pretrain_recipe,
    pretrain_recipe_names,
)
from hyperloader.training.optim import build_optimizer, rate_factor

torch.set_num_threads(1)


def test_adafactor_is_that_of_transformers() -> None:
    """The same steps as another implementation with T5's settings."""
    config = PretrainingSection(optimizer="adafactor", learning_rate=0.01, schedule="constant")
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Linear(6, 5) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizers = [
        build_optimizer(ours, config),
        Adafactor(theirs.parameters(), lr=0.01, relative_step=False, scale_parameter=True),
    ]
    for _ in range(5):
        inputs = torch.randn(3, 6)
        for model, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            # Small gradients: here a wrong epsilon would show.
            (1e-4 * model(inputs).pow(2).sum()).backward()
            optimizer.step()
    before = torch.nn.Linear(6, 5).weight
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)
    assert torch.allclose(ours.bias, theirs.bias, atol=1e-6)
    assert not torch.allclose(ours.weight, before)


def test_scaled_adamw_gives_every_parameter_a_rate_of_its_own_size() -> None:
    config = PretrainingSection(optimizer="adamw_scaled", learning_rate=0.01)
    torch.manual_seed(0)
    ours, theirs = (torch.nn.Linear(6, 5) for _ in range(2))
    for model in (ours, theirs):
        torch.nn.init.constant_(model.bias, 0.0)  # counts as having a size of a thousandth
    theirs.load_state_dict(ours.state_dict())
    optimizer = build_optimizer(ours, config)
    plain = torch.optim.AdamW([{"params": [p]} for p in theirs.parameters()], betas=config.betas)
    for _ in range(4):
        inputs = torch.randn(3, 6)
        for group in plain.param_groups:
            size = float(group["params"][0].detach().square().mean().sqrt())
            group |= {"lr": 0.01 * max(size, 1e-3), "weight_decay": 0.0}
        for model, steps in ((ours, optimizer), (theirs, plain)):
            steps.zero_grad()
            model(inputs).pow(2).sum().backward()
            steps.step()
    assert torch.allclose(ours.weight, theirs.weight)
    assert torch.allclose(ours.bias, theirs.bias)
    assert ours.bias.abs().max() > 0
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {1: 0.25, 4: 1, 100: 1}),
        ("linear", {1: 0.25, 4: 1, 5: 96 / 97, 100: 1 / 97}),
        ("rsqrt", {1: 0.25, 4: 1, 16: 0.5, 100: 0.2}),
    ],
)
def test_schedules(schedule: Any, expected: dict[int, float]) -> None:
    config = PretrainingSection(steps=100, warmup_steps=4, schedule=schedule)
    assert {s: rate_factor(s, config) for s in expected} == pytest.approx(expected)


def test_decisions_are_what_follows_sentinels() -> None:
    tokenizer = tiny_tokenizer()
    symbols = Symbols.of(tokenizer)
    a, b, c = symbols.sentinels[:3].tolist()
    target = torch.tensor([[a, 40, 41, b, 42, c, symbols.eos, symbols.pad]])
    best = torch.tensor([[0, 40, 9, 0, 50, 0, 7, 7]])
    gold, given = decisions(best, target, symbols)
    assert (gold.tolist(), given.tolist()) == ([40, 42], [40, 50])


def test_structured_first_weights() -> None:
    """Sentinels nearly orthogonal, cross-attention queries equal to keys; T5's own not."""
    tokenizer = tiny_tokenizer()
    section = BackboneSection(d_model=64, d_ff=64, d_kv=8, num_layers=1)
    made = build_backbone(section, tokenizer)
    rows = torch.nn.functional.normalize(made.shared.weight[WordPieces(tokenizer).sentinels], dim=1)
    assert (rows[:-1] * rows[1:]).sum(1).abs().max() < 0.3
    attention = made.decoder.block[0].layer[1].EncDecAttention
    assert torch.equal(attention.q.weight, attention.k.weight * section.d_kv**-0.5)
    plain = build_backbone(section.model_copy(update={"first_weights": "t5"}), tokenizer)
    attention = plain.decoder.block[0].layer[1].EncDecAttention
    assert not torch.allclose(attention.q.weight, attention.k.weight * section.d_kv**-0.5)
    assert made.config.vocab_size % 64 == 0
    check_fit(tokenizer, made, "it")


def test_recipes_of_the_package_are_valid() -> None:
    assert pretrain_recipe_names() == ["builtin", "tiny"]
    for name in pretrain_recipe_names():
        found = load_pretrain_recipe(name)
        assert found.tokenizer.sentinels >= 200
        assert sum(found.objectives.mix.values()) == pytest.approx(1)
    assert load_pretrain_recipe("tiny", ["training.steps=5"]).training.steps == 5


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.stepz=5", "unknown key 'training.stepz'; did you mean 'training.steps'"),
        ("objectives.mix={guess: 1}", "objectives.mix"),
        ("objectives.mix={spans: 0}", "one objective needs a share above 0"),
        ("text.weights={a: -1}", "text.weights.a: .*greater than or equal to 0"),
        ("training.steps", "--set takes key=value"),
        ("seed.x=1", "--set seed.x: 'seed' has no keys below it"),
    ],
)
def test_bad_settings_are_named(override: str, message: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=message):
        load_pretrain_recipe(str(own), [override])
    with pytest.raises(ConfigError, match="unknown recipe 'builtn'; did you mean"):
        load_pretrain_recipe("builtn")
