"""Temperatures: fitted where the gold decisions are likeliest, and no answer changes by them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bert_helpers import HEAD_WEIGHT, bert_encoder, bert_tokenizer, tag_logits
from helpers import LABELS, SENTENCES, tiny_codec, tiny_model
from hyperloader.calibration import Calibration, SpanCalibration, TaskCalibration
from hyperloader.checkpoint import calibrate_checkpoint, load_checkpoint, save_checkpoint
from hyperloader.codec.batch import encode_example, encode_words
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import CheckpointError, DataError
from hyperloader.evaluation.calibration import (
    ENOUGH,
    calibrate,
    fit_temperature,
    gold_scores,
)
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.output import GoldScores
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.decoding.search import Scorer
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.store import check_folder
from hyperloader.tagger import Tagger
from hyperloader.types import Example, Span
from slow_decoder import oracle, sharpened
from training_helpers import corpora

CODEC = tiny_codec()
MODEL = sharpened(CODEC, 1)
HOT = {"music": 3.0, "flights": 0.5}


def token_tagger() -> tuple[TokenTagger, TokenCodec]:
    codec = TokenCodec(bert_tokenizer(), {"music": ("artist", "track")})
    config = ModelConfig(method="unipelt-bert", tasks=("music",), prefix_hidden_dim=8)
    torch.manual_seed(4)
    model = TokenTagger(bert_encoder(), config, tags={"music": len(codec.tags["music"])})
    with torch.no_grad():
        model.source.get_parameter(HEAD_WEIGHT).normal_(0.0, 0.5)
    return model.eval(), codec


def drawn(temperature: float, count: int = 20_000) -> GoldScores:
    """Decisions of up to seven options that follow softmax(scores / temperature)."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(count, 7, generator=generator) * 3
    logits[torch.rand(count, 7, generator=generator) < 0.3] = -torch.inf
    logits[:, 0] = 0.0
    choice = torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator)[:, 0]
    return GoldScores(logits.log_softmax(-1), choice)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_decisions_were_drawn_with_is_found(temperature: float) -> None:
    assert fit_temperature([drawn(temperature)]) == pytest.approx(temperature, rel=0.03)


def test_it_is_what_torchs_own_optimiser_finds() -> None:
    parts = [drawn(1.7, 500), drawn(0.8, 300)]
    log = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log], line_search_fn="strong_wolfe", max_iter=100)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        total = torch.zeros(())
        for scores, choice in parts:
            total = total + torch.nn.functional.cross_entropy(
                scores.clamp(min=-1e4) / log.exp(), choice, reduction="sum"
            )
        total.backward()
        return total

    optimizer.step(loss)
    assert fit_temperature(parts) == pytest.approx(log.exp().item(), rel=1e-3)


def test_a_temperature_stays_in_its_range() -> None:
    scores = torch.tensor([[-0.1, -2.3], [-2.3, -0.1]])
    assert fit_temperature([GoldScores(scores, torch.tensor([0, 1]))]) == pytest.approx(
        0.1, rel=1e-4
    )
    assert fit_temperature([GoldScores(scores, torch.tensor([1, 0]))]) == pytest.approx(
        10, rel=1e-4
    )
    assert fit_temperature([]) == 1


def examples() -> list[Example]:
    spans = {"music": "TRACK_TITLE", "flights": "airline_code", "one": "thing"}
    return [
        Example(tuple(text.split()), (Span(1, 3, label),), task)
        for text in SENTENCES[:3]
        for task, label in spans.items()
    ]


def test_gold_scores_are_those_of_a_walk_along_the_gold_tags() -> None:
    for task in LABELS:
        chosen = [e for e in examples() if e.task == task]
        found = [
            scores[i, choice[i]].item()
            for scores, choice in gold_scores(MODEL, CODEC, chosen)
            for i in range(len(choice))
        ]
        expected = []
        for example in chosen:
            (window,) = encode_example(CODEC, example)
            walk = oracle(MODEL, CODEC, window, target=window.target)
            expected += [log_probability for _, log_probability in walk.choices]
        assert sorted(found) == pytest.approx(sorted(expected), abs=1e-3)


def test_gold_scores_of_a_head_are_its_softmax() -> None:
    model, codec = token_tagger()
    example = Example(("play", "robin", "redbreast"), (Span(1, 3, "artist"),), "music")
    (found,) = gold_scores(model, codec, [example])
    logits = tag_logits(model, codec, example.words, "music")
    torch.testing.assert_close(found.scores.exp(), logits.softmax(-1))
    assert [codec.tags["music"][n] for n in found.choice.tolist()] == ["O", "B-artist", "I-artist"]
    lengths = [Example(("a",) * n, (), "music") for n in (3, 1, 3, 2)]
    assert sorted(len(s.choice) for s in gold_scores(model, codec, lengths)) == [1, 2, 6]


# What a temperature does to an answer


class Divided:
    """A scorer that divides what another one says."""

    def __init__(self, scorer: Scorer, by: float) -> None:
        self.scorer, self.by = scorer, by

    def __call__(self, *asked: Any) -> Tensor:
        return self.scorer(*asked) / self.by


def test_temperatures_change_scores_and_no_answer() -> None:
    tasks = [*LABELS, *LABELS]
    windows = [
        w for s, t in zip(SENTENCES, tasks, strict=False) for w in encode_words(CODEC, s.split(), t)
    ]
    plain = SentTDecoder(MODEL, CODEC).decode(windows, alternatives=3)
    hot = SentTDecoder(MODEL, CODEC, temperatures=HOT).decode(windows, alternatives=3)
    for window, before, after in zip(windows, plain, hot, strict=True):
        assert before.spans == after.spans  # without their scores
        # The same model with its logits divided beforehand.
        divided = SentTDecoder(MODEL, CODEC)
        divided.scorer = Divided(divided.scorer, HOT.get(window.task, 1.0))
        (expected,) = divided.decode([window], alternatives=3)
        for span, other in zip(after.spans, expected.spans, strict=True):
            assert span.score == pytest.approx(other.score, rel=1e-3)
        assert after.alternatives is not None
        assert expected.alternatives is not None
        for ours, theirs in zip(after.alternatives, expected.alternatives, strict=True):
            assert [p for _, p in ours] == pytest.approx([p for _, p in theirs], abs=1e-4)
    scores = [[s.score for found in both for s in found.spans] for both in (plain, hot)]
    assert len(scores[0]) > 3
    assert scores[0] != scores[1]


def test_a_heads_scores_and_alternatives_are_a_softmax_at_its_temperature() -> None:
    model, codec = token_tagger()
    tags = codec.tags["music"]
    words = ["play", "it", "by", "me", "or", "by", "no", "one"]
    (window,) = encode_words(codec, words, "music")
    logits = tag_logits(model, codec, words, "music")
    truth = (logits / 2.0).softmax(-1)
    plain, hot = (
        output_of(model).decoder(model, codec, temperatures).decode([window], alternatives=3)[0]
        for temperatures in (None, {"music": 2.0})
    )
    assert plain.spans == hot.spans
    assert hot.spans
    for span in hot.spans:
        expected = truth.max(-1).values[span.word_start : span.word_end].prod().item()
        if span.word_end < len(words):
            expected *= 1 - truth[span.word_end, tags.index(f"I-{span.label}")].item()
        assert span.score == pytest.approx(expected, rel=1e-5)
    assert hot.alternatives is not None
    for row, choices in zip(truth, hot.alternatives, strict=True):
        best = row.sort(descending=True)
        assert [tags.index(tag) for (tag,), _ in choices] == best.indices[:3].tolist()
        assert [p for _, p in choices] == pytest.approx(best.values[:3].tolist())
    assert output_of(model).decoder(model, codec).decode([window])[0].alternatives is None
    (everything,) = output_of(model).decoder(model, codec).decode([window], alternatives=99)
    assert {len(choices) for choices in everything.alternatives or ()} == {len(tags)}


# A whole calibration


def sentences(counts: Mapping[str, int]) -> dict[str, Sequence[Example]]:
    made = corpora(160)
    return {name: made[name].splits["train"][:count] for name, count in counts.items()}


def test_tasks_with_few_sentences_share_the_temperature_of_all() -> None:
    labels = {name: corpus.labels() for name, corpus in corpora().items()}
    codec = tiny_codec(labels)
    model = tiny_model(codec, random=True)
    seen: list[str] = []
    given_ = sentences({"dining": 60, "home": 10})
    found = calibrate(model, codec, given_, source="these", tell=seen.append)
    assert list(found.tasks) == ["dining", "home"]
    assert dict.fromkeys(seen) == dict.fromkeys(found.tasks)
    dining, home = found.tasks["dining"], found.tasks["home"]
    assert (dining.shared, home.shared) == (False, True)
    assert (dining.sentences, home.sentences, found.fitted_on) == (60, 10, "these")
    gold = {name: gold_scores(model, codec, part) for name, part in given_.items()}
    assert dining.decisions == sum(len(part.choice) for part in gold["dining"])
    together = fit_temperature([*gold["dining"], *gold["home"]])
    assert home.fitted == pytest.approx(together, rel=1e-3)
    assert dining.fitted == pytest.approx(fit_temperature(gold["dining"]), rel=1e-3)
    assert found.overall.spans == dining.spans + home.spans
    some = calibrate(model, codec, given_, source="these", sentences=50)
    assert some.tasks["dining"].sentences == 50


def test_a_task_with_very_many_labels_is_calibrated_on_fewer_sentences() -> None:
    few = corpora()["dining"].labels()
    codec = tiny_codec({"dining": (*few, *(f"label {n}" for n in range(200 - len(few))))})
    given_ = sentences({"dining": 150})
    model = tiny_model(codec)
    found = calibrate(model, codec, given_, source="these", sentences=140)
    assert found.tasks["dining"].sentences == 70
    found = calibrate(model, codec, given_, source="these", sentences=60)
    assert found.tasks["dining"].sentences == 50


def test_too_few_sentences_are_refused_in_one_line() -> None:
    codec = tiny_codec({name: corpus.labels() for name, corpus in corpora().items()})
    few = sentences({"dining": ENOUGH - 10, "home": 9})
    with pytest.raises(DataError, match="49 validation sentences are too few") as caught:
        calibrate(tiny_model(codec), codec, few, source="these")
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="0 validation sentences"):
        calibrate(tiny_model(codec), codec, {"dining": ()}, source="these")


def made(**temperatures: float) -> Calibration:
    tasks = {
        name: TaskCalibration(
            temperature=value,
            shared=False,
            sentences=70,
            decisions=700,
            spans=90,
            ece_before=0.2,
            ece_after=0.1,
        )
        for name, value in temperatures.items()
    }
    overall = SpanCalibration(spans=90, ece_before=0.2, ece_after=0.1)
    return Calibration(tasks=tasks, overall=overall, fitted_on="these")


def test_a_checkpoint_keeps_its_calibration_and_may_have_none(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    save_checkpoint(folder, MODEL, CODEC)
    assert load_checkpoint(folder).calibration is None
    assert Tagger.from_pretrained(folder).temperatures == {}
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    for calibration in (made(music=2.0), made(**HOT)):  # the second takes the place of the first
        calibrate_checkpoint(folder, calibration)
        check_folder(folder)
        assert load_checkpoint(folder).calibration == calibration
    after = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    assert after.keys() - before.keys() == {"calibration.json"}
    assert all(after[name] == before[name] for name in before if name != "manifest.json")
    assert [p.name for p in tmp_path.iterdir()] == ["c"], "nothing is left beside it"
    tagger = Tagger.from_pretrained(folder)
    assert tagger.temperatures == HOT
    tagger.save_pretrained(tmp_path / "copy")
    assert load_checkpoint(tmp_path / "copy").calibration == made(**HOT)
    text = SENTENCES[0]
    plain = Tagger(MODEL, CODEC).tag(text, "music")
    calibrated = tagger.tag(text, "music")
    shown = [[(s.start, s.end, s.label) for s in found.spans] for found in (plain, calibrated)]
    assert shown[0] == shown[1] != []
    assert plain.spans != calibrated.spans, "scores"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"tasks": {}}', json.dumps(made(a=1.0).model_dump()).replace("1.0", "-1")]
)
def test_a_damaged_calibration_is_one_line(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "c"
    save_checkpoint(folder, MODEL, CODEC)
    (folder / "calibration.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"calibration\.json") as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


@settings(max_examples=20)
@given(temperature=st.floats(0.1, 10.0))
def test_any_temperature_keeps_probabilities_probabilities(temperature: float) -> None:
    windows = encode_words(CODEC, SENTENCES[3].split(), "music")
    decoder = SentTDecoder(MODEL, CODEC, temperatures={"music": temperature})
    (found,) = decoder.decode(windows, alternatives=99)
    assert all(0 <= (span.score or 0) <= 1 for span in found.spans)
    for choices in found.alternatives or ():
        assert sum(p for _, p in choices) == pytest.approx(1, abs=1e-4)


def test_what_ships_is_calibrated_for_real_sentences(shared: Path) -> None:
    """Gold decisions of test sentences are likelier at the temperatures that ship than at 1."""
    checkpoint = load_checkpoint(Path("builtin-t5"))
    assert checkpoint.calibration is not None
    found = checkpoint.calibration
    assert tuple(found.tasks) == checkpoint.model.config.tasks
    assert found.overall.ece_after < found.overall.ece_before
    (corpus,) = load_corpora(shared / "data/labelled", ["restaurant"]).values()
    gold = gold_scores(checkpoint.model, checkpoint.codec, corpus.splits["test"][::20])

    def unlikely(temperature: float) -> float:
        return sum(
            torch.nn.functional.nll_loss(
                (scores / temperature).log_softmax(-1), choice, reduction="sum"
            ).item()
            for scores, choice in gold
        )

    assert unlikely(found.temperatures["restaurant"]) < unlikely(1.0)
