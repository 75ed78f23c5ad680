"""Labels that a tagger was never trained on: label sets that change in training, and asking."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_helpers import bert_folder
from encoders import KINDS, LABELS, SENTENCES, codec_of, load_again, model_of, windows
from helpers import tiny_codec, tiny_model
from hyperloader.checkpoint import load_checkpoint
from hyperloader.codec.labels import label_text
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError, HyperloaderError
from hyperloader.evaluation.similarity import task_similarity
from hyperloader.modeling.attached import HEAD
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.label_sets import LabelSet, asked, random_set
from hyperloader.outputs.token_tags.label_vectors import label_vectors
from hyperloader.tagger import Tagger
from training_helpers import (
    assert_resumes,
    cli,
    make_trainer,
    refused,
)

ZERO: dict[str, Any] = {"head": "text", "train_backbone": "none", "task_embeddings": "shared"}
NAMES = ("fromloc.city_name", "toloc.city_name", "artist", "music_item", "date")


def zero_shot_model(**settings: Any) -> Any:
    """A model whose vectors are those of its labels' texts, as if it had been trained."""
    model, codec = model_of("bert", "hyperloader", **{**ZERO, **settings}), codec_of("bert")
    for source in model.label_texts:
        for number, task in enumerate(LABELS):
            vectors = label_vectors(model.backbone, codec.pieces, codec.labels[task])
            source.read(number, vectors)
    return model


@given(st.lists(st.sampled_from(NAMES), min_size=1, unique=True), st.integers(0, 10_000))
def test_sets_ask_for_labels_by_words_of_their_own(labels: list[str], seed: int) -> None:
    chosen = random_set(labels, np.random.default_rng(seed))
    assert 1 <= len(chosen.texts) == len(set(chosen.texts)) <= len(labels)
    assert {place for place in chosen.place if place is not None} == set(range(len(chosen.texts)))
    for label, place in zip(labels, chosen.place, strict=True):
        if place is not None:
            words = label_text(label, "readable").split()
            parts = [part.split() for part in chosen.texts[place].split(" or ")]
            assert any([w for w in words if w in part] == part for part in parts)


def test_sets_leave_out_shorten_and_join() -> None:
    found = [random_set(NAMES, np.random.default_rng(seed)) for seed in range(300)]
    texts = {text for one in found for text in one.texts}
    assert {"fromloc city name", "artist", "city name", "fromloc"} <= texts
    assert any(" or " in text for text in texts)
    assert {None} < {place for one in found for place in one.place}
    joined = [one for one in found if one.place[0] is not None and one.place[0] == one.place[1]]
    assert any("city" in one.texts[one.place[0] or 0] for one in joined)
    assert len({one.place for one in found}) > 20


def test_of_very_many_labels_the_batch_has_its_own_and_some_others() -> None:
    labels, met = [f"label {number}" for number in range(1500)], {0, 700, 1499}
    found = [random_set(labels, np.random.default_rng(seed), met) for seed in range(200)]
    asked_for = [{i for i, place in enumerate(one.place) if place is not None} for one in found]
    assert max(map(len, asked_for)) <= 13
    for label in met:  # as often as a label of a task with few: from 30 % to all
        assert 100 < sum(label in one for one in asked_for) < 180
    assert len(set().union(*asked_for)) > 500  # and others in turn


def test_answers_follow_the_set() -> None:
    (window,) = (w for w in windows("bert") if w.words == 4 and w.task == "music")
    assert window.target == [0, 3, 4, 4]
    assert asked(window, LabelSet(("song",), (None, 0))).target == [0, 1, 2, 2]
    assert asked(window, LabelSet(("artist",), (0, None))).target == [0, 0, 0, 0]
    assert asked(window, LabelSet(("a", "b", "c"), (0, 2))).target == [0, 5, 6, 6]


def test_a_changed_set_has_the_loss_of_a_model_with_those_labels() -> None:
    """Asked for the labels it has, in any order, a model says what it says anyway."""
    model, codec = zero_shot_model(), codec_of("bert")
    given = windows("bert")
    loss = output_of(model).loss(model, codec, TrainingSection(label_sets="random")).eval()
    expected, _ = loss.terms(given)
    vectors = {
        task: label_vectors(model.backbone, codec.pieces, labels[::-1])
        for task, labels in LABELS.items()
    }
    turned = {"music": LabelSet(("track", "artist"), (1, 0)), "travel": LabelSet(("city",), (0,))}
    object.__setattr__(
        loss,
        "_asked",
        lambda ws: (
            [asked(w, turned[w.task]) for w in ws],
            lambda rows: model.read_for(rows, vectors),
        ),
    )
    found, _ = loss.terms(given)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_step_draws_its_sets_by_its_seed_and_validation_has_none() -> None:
    model, codec = zero_shot_model(), codec_of("bert")
    loss = output_of(model).loss(model, codec, TrainingSection(label_sets="random"))
    found = []
    for seed in (1, 1, *range(2, 8)):
        torch.manual_seed(seed)
        found.append(float(loss.train()(windows("bert")).detach()))
    assert found[0] == found[1]
    assert len(set(found)) > 3
    plain = output_of(model).loss(model, codec, TrainingSection())
    assert torch.equal(loss.eval()(windows("bert")), plain.eval()(windows("bert")))


def test_asking_for_its_own_labels_gives_its_own_answers() -> None:
    model, codec = zero_shot_model(word_state="mean", layer_mix=True), codec_of("bert")
    tagger = Tagger(model, codec)
    some = 0
    for task, labels in LABELS.items():
        texts = [text for text, t, _ in SENTENCES if t == task]
        expected = tagger.tag(texts, task, alternatives=2, sequences=2)
        found = tagger.tag(texts, labels=labels, alternatives=2, sequences=2)
        for one, other in zip(found, expected, strict=True):
            assert one.task == "zero-shot"
            assert (one.zero_shot, other.zero_shot) == (True, False)
            assert one.to_dict()["zero_shot"]
            assert "zero_shot" not in other.to_dict()
            assert [(s.start, s.end, s.label) for s in one.spans] == [
                (s.start, s.end, s.label) for s in other.spans
            ]
            scores = [s.score for s in other.spans]
            assert [s.score for s in one.spans] == pytest.approx(scores, abs=1e-5)
            some += len(one.spans)
    assert some


def test_other_labels_have_rows_of_their_own_and_leave_the_tagger_as_it_is() -> None:
    model, codec = zero_shot_model(), codec_of("bert")
    tagger = Tagger(model, codec)
    before = tagger.tag("play robin", "music", alternatives=9)
    asked_for = tagger.for_labels(["city", "opening hours", "city"])
    assert asked_for.tasks == ("zero-shot",)
    assert asked_for.labels() == ("city", "opening hours")
    tagged = asked_for.tag_words(["from", "rome", "to", "oslo"], alternatives=9)
    assert {tags[0] for tags, _ in (tagged.alternatives or ())[0]} == {
        *("O", "B-city", "I-city", "B-opening hours", "I-opening hours")
    }
    assert next(asked_for.pipe(["play robin"])).zero_shot
    assert tagger.tag("play robin", "music", alternatives=9) == before
    named = tagger.for_labels(["city"], task="travel")
    data = {"travel": {"test": [{"words": ["to", "oslo"], "spans": []}]}}
    assert set(named.evaluate(data).to_dict()["tasks"]) == {"travel"}
    with pytest.raises(ConfigError, match="save the one that it was made of"):
        asked_for.save_pretrained("nowhere")


@pytest.mark.parametrize(
    ("kind", "method"),
    [*((kind, "hyperloader") for kind in KINDS), ("bert", "unipelt-bert")],
)
def test_what_is_attached_does_not_act_on_names(kind: str, method: str) -> None:
    pieces = codec_of(kind).pieces
    attached = model_of(kind, method, head="text")
    found = label_vectors(attached.backbone, pieces, ("city", "opening hours"))
    expected = label_vectors(load_again(kind), pieces, ("city", "opening hours"))
    assert torch.equal(found, expected)
    assert not torch.equal(found[0], found[1])


def test_a_label_is_read_by_its_description() -> None:
    tagger = Tagger(zero_shot_model(), codec_of("bert"))
    described = tagger.for_labels({"x": "Music, item", "y": "date"})
    assert described.labels() == ("x", "y")
    for text, _, _ in SENTENCES:
        found = described.tag(text, alternatives=5)
        same = tagger.tag(text, labels=["music_item", "date"], alternatives=5)
        for one, other in zip(found.alternatives or (), same.alternatives or (), strict=True):
            assert [c.probability for c in one] == [c.probability for c in other]
    assert {"x", "y"} == {tag[2:] for c in (found.alternatives or ())[0] for tag in c.tags} - {""}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no labels are asked for"),
        ("dish", "not one string"),
        (["dish", " "], "label 1 is blank"),
        (["a_b", "a b"], "have the same text"),
        ([1], "not a string but of type int"),
        ({"dish": "food", "meal": "food"}, "'dish' and 'meal' have one description"),
        ({"dish": ""}, "what describes label 0 is blank"),
        ({"dish": None}, "not a string but of type NoneType"),
    ],
)
def test_labels_that_cannot_be_asked_for(labels: Any, message: str) -> None:
    with pytest.raises(HyperloaderError, match=message):
        Tagger(zero_shot_model(), codec_of("bert")).for_labels(labels)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head": "free"}, r"its head is 'free'.*model.head=text"),
        ({"head": "generated+text"}, r"its head is 'generated\+text'"),
        ({"train_backbone": "layer_norms"}, r"was trained too.*model.train_backbone=none"),
        ({"task_embeddings": "per_task"}, r"modules of its own \(model.task_embeddings=shared\)"),
    ],
)
def test_what_is_not_made_for_it_says_so(settings: Any, message: str) -> None:
    model, codec = model_of("bert", "hyperloader", **{**ZERO, **settings}), codec_of("bert")
    with pytest.raises(ConfigError, match=message) as caught:
        Tagger(model, codec).tag("play", labels=["dish"])
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=message):
        output_of(model).loss(model, codec, TrainingSection(label_sets="random"))


def test_a_tagger_that_writes_its_tags_says_so() -> None:
    codec = tiny_codec()
    tagger = Tagger(tiny_model(codec), codec)
    with pytest.raises(ConfigError, match="only taggers on encoders with a head of label texts"):
        tagger.tag("play", labels=["dish"])
    with pytest.raises(HyperloaderError, match="a task, or labels in place of it"):
        tagger.tag("play", "music", labels=["dish"])


def test_shared_embeddings_are_one_set_of_modules() -> None:
    model = zero_shot_model()
    assert model.source.get_parameter("sources.0.task_embeddings.weight").shape[0] == 1
    made = model.weights(torch.tensor([0, 1]))
    shared = {part.shape[0] for site, w in made.items() if site != HEAD for part in w
              if part is not None}  # fmt: skip
    assert shared == {1}
    assert made[HEAD].weight.shape[0] == 2
    with pytest.raises(ConfigError, match="all tasks share one embedding"):
        task_similarity(model)


def test_tasks_that_share_an_embedding_come_and_go() -> None:
    model = model_of("bert", "hyperloader", task_embeddings="shared")
    tagger = Tagger(model, codec_of("bert"))
    before = tagger.tag("play robin", "music", alternatives=5)
    tagger.remove("travel")
    assert tagger.tasks == ("music",)
    after = tagger.tag("play robin", alternatives=5)
    for one, other in zip(after.alternatives or (), before.alternatives or (), strict=True):
        assert {c.tags: c.probability for c in one} == pytest.approx(
            {c.tags: c.probability for c in other}, abs=1e-6
        )


def test_it_is_trained_resumed_and_asked_from_the_command_line(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "backbone": str(bert_folder(tmp_path / "bert")),
        "model": {"method": "hyperloader", **ZERO},
        "training": {"steps": 4, "label_sets": "random"},
        "validation": {"every": 2},
        "data": {"batches": "mixed"},
    }
    make_trainer(tmp_path / "whole", **settings).train()
    assert_resumes(tmp_path / "whole", tmp_path / "cut", **settings)
    given = ("tag", tmp_path / "whole", "--label", "dish", "--label", "opening hours")
    done = cli(*given, "--json", "a table for two")
    assert done.code == 0, done.err
    assert "zero-shot: the tagger was not trained on these labels" in done.err
    described = ("--label", "dish", "--label", "hours=Opening hours")
    assert cli("tag", tmp_path / "whole", *described, "--json", "a table for two").code == 0
    twice = refused("tag", tmp_path / "whole", *described, "--label", "hours=when", "a table")
    assert "--label hours is described twice" in twice
    document = json.loads(done.out)
    loaded = load_checkpoint(tmp_path / "whole")
    expected = Tagger(loaded.model, loaded.codec).tag(
        "a table for two", labels=["dish", "opening hours"]
    )
    assert document["zero_shot"] is True
    assert [s["label"] for s in document["spans"]] == [s.label for s in expected.spans]
    assert "not both" in refused(*given, "--task", "dining", "a table")
