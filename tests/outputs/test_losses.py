"""Losses against torch's own, and the rates of a schedule."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from helpers import LABELS, tiny_codec, tiny_model
from hyperloader.codec.batch import collate, encode_example
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.outputs.loss import choice_loss, token_loss
from hyperloader.outputs.sentt.decisions import Decisions, find_decisions
from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.outputs.sentt.loss import SentTLoss, decision_scores
from hyperloader.training.optim import rate_factor
from hyperloader.types import Example, Span

CODEC = tiny_codec()


def decision_loss(
    states: torch.Tensor,
    decisions: Decisions,
    grammar: Grammar,
    output: torch.Tensor,
    scale: float,
    smoothing: float,
) -> torch.Tensor:
    scores = decision_scores(states, decisions, grammar, output, scale)
    return choice_loss(scores, decisions.allowed, decisions.choice, smoothing)


def by_hand(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """The published criterion: (1 - e) times the nll plus e times the mean over the vocabulary."""
    scores = logits.log_softmax(-1)
    nll, spread = -scores[labels], -scores.mean()
    return (1 - smoothing) * nll + smoothing * spread


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_token_loss_is_the_cross_entropy_of_each_token(smoothing: float) -> None:
    logits, labels = torch.randn(7, 11), torch.randint(11, (7,))
    found = token_loss(logits, labels, smoothing)
    for i in range(7):
        each = by_hand(logits[i], labels[i], smoothing)
        torch.testing.assert_close(found[i], each)
    mean = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    torch.testing.assert_close(found.mean(), mean)


def windows(*tagged: tuple[str, list[Span], str]) -> list[EncodedWindow]:
    return [
        window
        for text, spans, task in tagged
        for window in encode_example(CODEC, Example(tuple(text.split()), tuple(spans), task))
    ]


BATCH = windows(
    ("play the song", [Span(1, 3, "TRACK_TITLE")], "music"),
    ("O I TRACK", [Span(0, 1, "TRACK"), Span(1, 2, "ITEM"), Span(2, 3, "ARTIST")], "music"),
    ("show me flights to denver", [Span(4, 5, "toloc.city_name")], "flights"),
)
GRAMMAR = Grammar(CODEC.tag_ids)


def states_and_output(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    length = max(len(w.target) for w in BATCH)
    return (
        torch.randn(len(BATCH), length, 8, generator=generator),
        torch.randn(len(CODEC.tokenizer), 8, generator=generator),
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_decision_loss_with_everything_allowed_is_cross_entropy(smoothing: float) -> None:
    states, output = states_and_output()
    found = find_decisions(BATCH, CODEC, GRAMMAR)
    free = Decisions(
        found.row, found.position, torch.ones_like(found.allowed), found.closing, found.choice
    )
    chosen = states[free.row, free.position] * 0.5
    columns = [chosen @ output[GRAMMAR.tokens].T, (chosen * output[free.closing]).sum(-1)[:, None]]
    expected = F.cross_entropy(
        torch.cat(columns, 1), free.choice, label_smoothing=smoothing, reduction="sum"
    )
    loss = decision_loss(states, free, GRAMMAR, output, 0.5, smoothing).sum()
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_decision_loss_is_the_full_softmax_without_the_forbidden_tokens(smoothing: float) -> None:
    states, output = states_and_output()
    decisions = find_decisions(BATCH, CODEC, GRAMMAR)
    loss = decision_loss(states, decisions, GRAMMAR, output, 1.0, smoothing).sum()
    total = torch.zeros(())
    for n in range(len(decisions.row)):
        logits = states[decisions.row[n], decisions.position[n]] @ output.T
        ids = torch.cat([GRAMMAR.tokens, decisions.closing[n : n + 1]])[decisions.allowed[n]]
        target = BATCH[decisions.row[n]].target[decisions.position[n]]
        scores = logits[ids].log_softmax(-1)
        total -= (1 - smoothing) * scores[ids.tolist().index(target)] + smoothing * scores.mean()
    torch.testing.assert_close(loss, total)


def test_forbidden_tokens_and_forced_places_do_not_matter() -> None:
    states, output = states_and_output()
    music = BATCH[:2]
    decisions = find_decisions(music, CODEC, GRAMMAR)
    before = decision_loss(states, decisions, GRAMMAR, output, 1.0, 0.1)
    possible = {int(t) for row in decisions.allowed[:, :-1] for t in GRAMMAR.tokens[row]} | set(
        decisions.closing.tolist()
    )
    forbidden = [i for i in range(len(output)) if i not in possible]
    assert set(GRAMMAR.tokens.tolist()) & set(forbidden), "tokens of other tasks are forbidden"
    output[forbidden] += 100.0
    decided = set(zip(decisions.row.tolist(), decisions.position.tolist(), strict=True))
    for row in range(states.shape[0]):
        for place in range(states.shape[1]):
            if (row, place) not in decided:
                states[row, place] = float("nan")
    assert torch.equal(decision_loss(states, decisions, GRAMMAR, output, 1.0, 0.1), before)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_gradients_of_the_decision_loss_are_those_of_differences(smoothing: float) -> None:
    states, output = (t.double().requires_grad_() for t in states_and_output())
    decisions = find_decisions(BATCH, CODEC, GRAMMAR)
    used = output.detach().clone()

    def loss(columns: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        full = used.index_copy(0, GRAMMAR.tokens, rows)
        # The loss is computed in float32 inside, so the check is as fine as that allows.
        return decision_loss(columns, decisions, GRAMMAR, full, 1.0, smoothing).sum()

    inputs = (states, used[GRAMMAR.tokens].clone().requires_grad_())
    gradients = torch.autograd.grad(loss(*inputs), inputs)
    generator = torch.Generator().manual_seed(1)
    for k, gradient in enumerate(gradients):
        assert bool(gradient.isfinite().all())
        direction = torch.randn(gradient.shape, generator=generator).double()
        moved = [
            [t + e * direction if i == k else t for i, t in enumerate(inputs)]
            for e in (1e-2, -1e-2)
        ]
        slope = (loss(*moved[0]) - loss(*moved[1])) / 2e-2
        expected = (gradient * direction).sum()
        assert slope.item() == pytest.approx(expected.item(), rel=1e-2)


def test_an_objective_counts_what_it_sums() -> None:
    """With all logits equal each term is the logarithm of its number of options."""
    model = tiny_model(CODEC)
    with torch.no_grad():
        model.backbone.shared.weight.zero_()
    full = SentTLoss(model, CODEC, TrainingSection(loss="full"))
    batch = collate(BATCH, CODEC.pieces.pad)
    assert full.count(BATCH) == int((batch.labels != -100).sum())
    expected = torch.log(torch.tensor(float(model.backbone.config.vocab_size)))
    assert full(BATCH).item() / full.count(BATCH) == pytest.approx(float(expected), rel=1e-5)
    few = SentTLoss(model, CODEC, TrainingSection(loss="decisions"))
    options = find_decisions(BATCH, CODEC, few.grammar).allowed.sum(1).float()
    assert few.count(BATCH) == len(options) < full.count(BATCH)
    assert few(BATCH).item() == pytest.approx(float(options.log().sum()), rel=1e-5)
    assert set(LABELS) == set(model.config.tasks)


def rates(**config: Any) -> list[float]:
    section = TrainingSection(**config)
    return [rate_factor(step, section) for step in range(1, section.steps + 1)]


def test_a_constant_rate_warms_up_and_stays() -> None:
    assert rates(steps=5) == [1.0] * 5
    assert rates(steps=6, warmup_steps=4) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_a_linear_rate_falls_to_zero_after_the_last_step() -> None:
    assert rates(steps=4, schedule="linear") == pytest.approx([1.0, 0.75, 0.5, 0.25])
    expected = [0.5, 1.0, 0.75, 0.5, 0.25]
    assert rates(steps=5, warmup_steps=2, schedule="linear") == pytest.approx(expected)


@given(
    steps=st.integers(1, 60),
    warmup=st.integers(0, 80),
    schedule=st.sampled_from(["constant", "linear"]),
)
def test_rates_rise_to_at_most_the_peak_then_never_rise(
    steps: int, warmup: int, schedule: str
) -> None:
    found = rates(steps=steps, warmup_steps=warmup, schedule=schedule)
    assert all(0 < rate <= 1 for rate in found)
    rising, falling = found[:warmup], found[max(0, warmup - 1) :]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
