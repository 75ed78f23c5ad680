"""A temperature is kept only where sentences that it was not fitted on gain by it."""

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from helpers import tiny_codec, tiny_model
from hyperloader.calibration import Calibration, TaskCalibration
from hyperloader.codec.codec import Codec
from hyperloader.evaluation import calibration as module
from hyperloader.evaluation.calibration import FOLDS, calibrate, outcome
from hyperloader.evaluation.metrics import ScoredExample
from hyperloader.outputs.output import GoldScores
from hyperloader.types import Example, Span

COUNT = 200
# The model, which is asked for nothing, and the codec, which is asked for labels.
STOOD_IN_FOR: Any = (None, SimpleNamespace(labels={"t": ("a", "b"), "u": ("a", "b")}))


def examples(count: int = COUNT, task: str = "t") -> list[Example]:
    """Sentences of one word, told apart by it; every one has a span."""
    return [Example((f"w{i}",), (Span(0, 1, "a"),), task) for i in range(count)]


class World:
    """Stands in for a model: one decision per sentence between two options, and one span.

    ``sure`` is the log-odds that the model claims, ``right`` the share of sentences in which its
    choice is the gold one. ``span_score`` is the score of a span at a temperature.
    """

    def __init__(self, sure: float, right: float, span_score: Any = None) -> None:
        self.sure, self.right = sure, right
        self.span_score = span_score or (lambda t: 1 / (1 + math.exp(-sure / t)))
        self.asked: list[tuple[frozenset[str], float]] = []

    def is_right(self, example: Example) -> bool:
        return (int(example.words[0][1:]) * 37) % 100 < 100 * self.right

    def gold_scores(self, _: Any, __: Any, chosen: Sequence[Example]) -> list[GoldScores]:
        scores = torch.tensor([[self.sure, 0.0]] * len(chosen)).log_softmax(-1)
        choice = torch.tensor([0 if self.is_right(e) else 1 for e in chosen])
        return [GoldScores(scores, choice)] if chosen else []

    def predict(
        self, _: Any, __: Any, chosen: Sequence[Example], *, temperatures: Mapping[str, float]
    ) -> list[ScoredExample]:
        (temperature,) = temperatures.values()
        self.asked.append((frozenset(e.words[0] for e in chosen), temperature))
        score = self.span_score(temperature)
        return [
            ScoredExample(e, (Span(0, 1, "a" if self.is_right(e) else "b", score),)) for e in chosen
        ]

    def calibrate(self, monkeypatch: pytest.MonkeyPatch, **given: list[Example]) -> Calibration:
        monkeypatch.setattr(module, "gold_scores", self.gold_scores)
        monkeypatch.setattr(module, "predict", self.predict)
        return calibrate(*STOOD_IN_FOR, given or {"t": examples()}, source="these")


def test_a_temperature_that_helps_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(sure=4.0, right=0.8)
    found = world.calibrate(monkeypatch).tasks["t"]
    # The log-odds of 80 % are ln 4, so the temperature is 4 / ln 4.
    assert found.kept
    assert found.temperature == found.fitted == pytest.approx(4 / math.log(4), rel=0.01)
    assert (found.sentences, found.decisions, found.spans) == (COUNT, COUNT, COUNT)
    assert found.ece_before == pytest.approx(1 / (1 + math.exp(-4)) - 0.8, abs=1e-4)
    assert found.ece_after < found.ece_before / 2
    odds = torch.tensor([4.0, 0.0]).log_softmax(-1)
    assert found.nll_before == pytest.approx(-(0.8 * odds[0] + 0.2 * odds[1]).item(), rel=1e-3)
    assert found.nll_after is not None
    assert found.nll_after < found.nll_before


def test_one_that_makes_the_spans_worse_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # Decisions are too sure, but spans were right as they were.
    world = World(sure=4.0, right=0.8, span_score=lambda t: 0.8 if t == 1 else 0.3)
    whole = world.calibrate(monkeypatch)
    found = whole.tasks["t"]
    assert not found.kept
    assert found.temperature == 1
    assert found.fitted == pytest.approx(4 / math.log(4), rel=0.01)
    assert found.ece_before == pytest.approx(0, abs=1e-6)
    assert found.ece_after == pytest.approx(0.5, abs=1e-6)
    assert whole.temperatures == {"t": 1.0}
    assert whole.overall.ece_after == whole.overall.ece_before, "what is kept is what counts"


def test_one_that_only_repeats_its_own_sentences_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Folds that disagree: fitted on all it looks better, on held-out sentences it is worse."""
    world = World(sure=1.0, right=0.5)

    def one_fold_all_wrong(example: Example) -> bool:
        return example.words[0] not in wrong

    parts = module._folds(examples(50))
    wrong = {e.words[0] for e in parts[0]} | {e.words[0] for e in parts[1][:3]}
    monkeypatch.setattr(world, "is_right", one_fold_all_wrong)
    found = world.calibrate(monkeypatch, t=examples(50)).tasks["t"]
    assert found.fitted is not None
    assert found.fitted < 1
    assert found.nll_before is not None
    assert found.nll_after is not None
    assert found.nll_after > found.nll_before
    assert (found.kept, found.temperature) == (False, 1.0)


def test_no_sentence_is_judged_at_a_temperature_that_it_was_fitted_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(sure=4.0, right=0.8)
    fits: list[frozenset[str]] = []
    known: dict[int, frozenset[str]] = {}

    def gold_scores(model: Any, codec: Codec, chosen: Sequence[Example]) -> list[GoldScores]:
        made = world.gold_scores(model, codec, chosen)
        known.update({id(part): frozenset(e.words[0] for e in chosen) for part in made})
        kept.extend(made)
        return made

    kept: list[GoldScores] = []
    real = module.fit_temperature

    def fit(gold: Sequence[GoldScores], near: float) -> float:
        fits.append(frozenset().union(*(known[id(part)] for part in gold)))
        return real(gold, near)

    monkeypatch.setattr(module, "fit_temperature", fit)
    monkeypatch.setattr(module, "predict", world.predict)
    monkeypatch.setattr(module, "gold_scores", gold_scores)
    calibrate(*STOOD_IN_FOR, {"t": examples()}, source="these")
    everything = frozenset(e.words[0] for e in examples())
    assert sum(fit == everything for fit in fits) == 1, "the one that is kept"
    held_out = [everything - fit for fit in fits if fit != everything]
    assert len(held_out) == FOLDS
    assert frozenset().union(*held_out) == everything
    assert sum(map(len, held_out)) == COUNT, "no sentence twice"
    judged = [words for words, temperature in world.asked if temperature != 1]
    assert set(judged) == set(held_out)


def test_the_outcome_is_one_line_per_task(monkeypatch: pytest.MonkeyPatch) -> None:
    found = World(sure=4.0, right=0.8).calibrate(monkeypatch, t=examples(), u=examples(20, "u"))
    lines = {name: outcome(name, task) for name, task in found.tasks.items()}
    assert lines["t"].startswith("t: temperature 2.885 kept; held-out NLL 0.8")
    assert "(of all tasks together) " in lines["u"]
    spoilt = World(sure=4.0, right=0.8, span_score=lambda t: 0.8 if t == 1 else 0.3)
    line = outcome("t", spoilt.calibrate(monkeypatch).tasks["t"])
    assert "2.885 not kept, because it does not make held-out scores better (NLL" in line
    assert line.endswith("ECE 0.0000 -> 0.5000); its scores stay as they are")


def test_calibrations_of_earlier_versions_load() -> None:
    old = {
        "temperature": 1.2,
        "shared": False,
        "sentences": 100,
        "decisions": 1000,
        "spans": 90,
        "ece_before": 0.2,
        "ece_after": 0.1,
    }
    task = TaskCalibration(**old)
    assert (task.kept, task.fitted, task.nll_before) == (True, None, None)
    assert outcome("t", task) == "t: temperature 1.200 kept; held-out ECE 0.2000 -> 0.1000"


def test_a_real_model_is_judged_whole() -> None:
    codec = tiny_codec({"t": ("a", "b")})
    model = tiny_model(codec, random=True)
    made = [Example(("play", f"song{i}"), (Span(1, 2, "ab"[i % 2]),), "t") for i in range(60)]
    found = calibrate(model, codec, {"t": made}, source="these").tasks["t"]
    assert found.sentences == 60
    assert found.nll_before is not None
    assert found.nll_after is not None
    better = found.nll_after < found.nll_before and found.ece_after <= found.ece_before
    assert found.kept == better
    assert found.temperature == (found.fitted if better else 1.0)
