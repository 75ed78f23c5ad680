"""What keeps a tagger from learning its training sentences by heart: hidden tokens, averages."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from bert_helpers import bert_folder, bert_tokenizer
from helpers import tiny_codec
from hyperloader.checkpoint import load_checkpoint
from hyperloader.codec.batch import encode_example
from hyperloader.codec.codec import Codec
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.errors import CheckpointError, ConfigError
from hyperloader.modeling.pretrained import read_tensors, write_tensors
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.training.start import resume_run
from hyperloader.training.token_dropout import hide_tokens
from training_helpers import corpora, log, losses, make_trainer

STEPS = 6
NAMES = {"dining": corpora()["dining"].labels(), "home": corpora()["home"].labels()}
CODECS: dict[str, Codec[Any]] = {
    "sentt": tiny_codec(NAMES),
    "sentt with tasks": tiny_codec(NAMES, task_prefix=True),
    "token_tags": TokenCodec(bert_tokenizer(), NAMES),
}


def windows(codec: Codec[Any]) -> list[EncodedWindow]:
    return [
        window
        for corpus in corpora().values()
        for example in corpus.splits["train"]
        for window in encode_example(codec, example)
    ]


def hidden_places(before: Sequence[EncodedWindow], after: Sequence[EncodedWindow]) -> np.ndarray:
    """Of every sub-token of a word whether it was replaced; all else has to be as it was."""
    found = []
    for one, other in zip(before, after, strict=True):
        assert (other.target, other.pieces, other.task) == (one.target, one.pieces, one.task)
        of_words = [
            start + i
            for start, ids in zip(one.first, one.pieces, strict=True)
            for i in range(len(ids))
        ]
        assert [one.source[i] for i in of_words] == [i for ids in one.pieces for i in ids]
        around = set(range(len(one.source))) - set(of_words)
        assert all(one.source[i] == other.source[i] for i in around)
        found += [one.source[i] != other.source[i] for i in of_words]
    return np.array(found)


@pytest.mark.parametrize("name", CODECS)
def test_a_share_of_the_words_sub_tokens_is_hidden(name: str) -> None:
    codec = CODECS[name]
    hidden = codec.pieces.hidden
    assert codec.tokenizer.convert_ids_to_tokens(hidden) == (
        "[MASK]" if name == "token_tags" else codec.tokenizer.unk_token
    )
    given = windows(codec)
    some = hide_tokens(given, 0.2, hidden, seed=1, step=3)
    replaced = hidden_places(given, some)
    assert replaced.mean() == pytest.approx(0.2, abs=4 * (0.16 / len(replaced)) ** 0.5)
    assert hide_tokens(given, 0.2, hidden, seed=1, step=3) == some
    for seed, step in ((1, 4), (2, 3)):
        again = hidden_places(given, hide_tokens(given, 0.2, hidden, seed=seed, step=step))
        assert (again != replaced).any()


@pytest.mark.parametrize("parts", [1, 4])
def test_tokens_are_hidden_in_training_and_not_in_validation(tmp_path: Path, parts: int) -> None:
    changes = {"token_dropout": 0.3, "gradient_accumulation": parts, "steps": 2}
    trainer = make_trainer(tmp_path / "r", dropout=0, training=changes, validation={"every": 2})
    seen: dict[bool, list[EncodedWindow]] = {True: [], False: []}

    def look(module: torch.nn.Module, args: tuple[Any, ...]) -> None:
        seen[module.training].extend(args[0])

    trainer.objective.register_forward_pre_hook(look)
    trainer.train()
    known = {tuple(w.source) for ws in trainer.train_windows.values() for w in ws}
    assert len(seen[True]) == 16
    assert sum(tuple(w.source) in known for w in seen[True]) < 8
    validation = [w for ws in trainer.validation_windows.values() for w in ws]
    assert sorted(w.source for w in seen[False]) == sorted(w.source for w in validation)
    # What is hidden does not depend on how a step is cut into parts.
    make_trainer(
        tmp_path / "whole", dropout=0, training={**changes, "gradient_accumulation": 1}
    ).train()
    for one, other in zip(log(tmp_path / "r"), log(tmp_path / "whole"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-5)


def test_the_average_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    """Computed again here, in float64, from the weights after every step."""
    followed: dict[str, torch.Tensor] = {}
    trainer = make_trainer(
        tmp_path / "r", training={"steps": STEPS, "average": 0.5}, validation={"every": STEPS}
    )
    named = {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}
    expected = {n: p.detach().double().clone() for n, p in named.items()}

    def follow(kind: str, entry: dict[str, Any]) -> None:
        if kind == "train":
            step = entry["step"]
            decay = min(0.5, (1 + step) / (10 + step))
            for name, p in named.items():
                expected[name] = decay * expected[name] + (1 - decay) * p.detach().double()
                followed[name] = p.detach().clone()

    trainer.listeners = [follow]
    trainer.train()
    kept = load_checkpoint(tmp_path / "r" / "checkpoints" / f"step-{STEPS:08d}")
    moved = 0
    for name, parameter in kept.model.named_parameters():
        if name in expected:
            torch.testing.assert_close(parameter.double(), expected[name], atol=1e-6, rtol=1e-5)
            moved += not torch.equal(parameter, followed[name])
    assert moved > 10, "the average is not where training ended"
    loss = output_of(kept.model).loss(kept.model, kept.codec, trainer.recipe.training)
    for task, mine in trainer.validation_windows.items():
        found = log(tmp_path / "r", "validation")[0]["loss_by_task"][task]
        with torch.no_grad():
            again = float(loss(mine)) / loss.count(mine)
        assert again == pytest.approx(found, abs=1e-5)
    # Training itself goes on as it would without.
    for name, parameter in trainer.model.named_parameters():
        assert name not in followed or torch.equal(parameter, followed[name])
    make_trainer(tmp_path / "plain", training={"steps": STEPS}).train()
    assert losses(tmp_path / "r") == losses(tmp_path / "plain")


def test_what_training_goes_on_from_has_to_be_there(tmp_path: Path) -> None:
    make_trainer(tmp_path / "r", training={"steps": 2, "average": 0.5}).train()
    (file,) = (tmp_path / "r").glob("checkpoints/step-00000002/trained.safetensors")
    kept = read_tensors(file)
    trainer = make_trainer(tmp_path / "other", training={"steps": 2, "average": 0.5})
    assert trainer.average is not None
    write_tensors(tmp_path / "trained.safetensors", {**kept, "more": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="of another model"):
        trainer.average.read(tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match="all checkpoints"):
        resume_run(tmp_path / "r", corpora())


def encoder_trainer(out: Path, **training: Any) -> Any:
    """A BERT with a tagging head, in training."""
    return make_trainer(
        out,
        backbone=str(bert_folder(out.parent / f"{out.name}-bert")),
        dropout=training.pop("dropout", 0.1),
        model={"method": "hyperloader", "head_dropout": training.pop("head_dropout", None)},
        training={"steps": 2, **training},
    )


@pytest.mark.parametrize("tags", ["sequence", "single"])
def test_two_passes_are_drawn_together(tmp_path: Path, tags: str) -> None:
    """Against scipy's divergence, with the same two drops of dropout."""
    trainer = encoder_trainer(tmp_path / "r", consistency=0.7)
    model, codec = trainer.model, trainer.codec
    object.__setattr__(model, "config", model.config.model_copy(update={"tags": tags}))
    given = [windows[0] for windows in trainer.train_windows.values()]
    plain = output_of(model).loss(model, codec, TrainingSection())
    loss = output_of(model).loss(model, codec, TrainingSection(consistency=0.7))
    for one in (plain.train(), loss.train()):
        assert not one.consistency or one.training
    torch.manual_seed(3)
    terms, index = loss.terms(given)
    torch.manual_seed(3)
    rows = pack(given, pad=codec.pieces.pad, together=model.packs)
    passes = []
    for _ in range(2):
        state = torch.get_rng_state()
        alone, _ = plain.terms(given)
        torch.set_rng_state(state)
        words = model.read(rows).detach()[rows.window >= 0].softmax(-1).double().numpy()
        passes.append((alone.detach().double().numpy(), words))
    (one, p), (other, q) = passes
    far = (rel_entr(p, q).sum(-1) + rel_entr(q, p).sum(-1)) / 2
    assert far.min() > 0
    assert terms.detach().numpy() == pytest.approx((one + other) / 2 + 0.7 * far, abs=1e-5)
    terms.sum().backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    # Validation has one pass, and the plain loss.
    with torch.no_grad():
        torch.testing.assert_close(loss.eval().terms(given)[0], plain.eval().terms(given)[0])
    assert index.tolist() == plain.terms(given)[1].tolist()


def test_consistency_needs_dropout_and_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"and there is none; set dropout, or model.head_dropout"):
        encoder_trainer(tmp_path / "a", consistency=1, dropout=0.0)
    encoder_trainer(tmp_path / "b", consistency=1, dropout=0.0, head_dropout=0.1).train()
    with pytest.raises(ConfigError, match="taggers on encoders"):
        make_trainer(tmp_path / "c", training={"consistency": 1})
