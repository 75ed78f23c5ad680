"""Encoders with tagging heads for many tasks: every method that attaches, in mixed batches."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bert_helpers import bert_encoder, bert_folder, bert_tokenizer
from helpers import methods_on
from hyperloader.backbones.bert.family import Bert
from hyperloader.backbones.places import Place
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.batch import encode_example
from hyperloader.codec.codec import CodecConfig
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.modeling.attached import HEAD
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.tagger import Tagger
from hyperloader.types import Example, Span
from training_helpers import (
    assert_resumes,
    cli,
    corpora,
    make_trainer,
    write_data,
)

# Different numbers of labels, so that heads are padded.
LABELS = {"music": ("artist", "track"), "travel": ("city",), "empty": ()}
MANY = methods_on(Bert(), several=True)
SENTENCES = (
    ("play little robin redbreast", "music", (Span(1, 4, "track"),)),
    ("a flight to oslo now", "travel", (Span(3, 4, "city"),)),
    ("play robin", "music", (Span(1, 2, "artist"),)),
    ("nothing of note", "empty", ()),
    ("from rome to oslo", "travel", (Span(1, 2, "city"), Span(3, 4, "city"))),
)


def codec_of(**config: Any) -> TokenCodec:
    return TokenCodec(bert_tokenizer(), LABELS, CodecConfig(**config))


def model_of(method: str, *, random: bool = True, **settings: Any) -> TokenTagger:
    tags = {task: len(names) for task, names in codec_of().tags.items()}
    config = ModelConfig(method=method, tasks=tuple(LABELS), **settings)
    torch.manual_seed(0)
    model = TokenTagger(bert_encoder(), config, tags=tags)
    if random:
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in model.source.parameters():
                parameter.normal_(0.0, 0.2, generator=generator)
    return model.eval()


def windows() -> list[EncodedWindow]:
    return [
        window
        for text, task, spans in SENTENCES
        for window in encode_example(codec_of(), Example(tuple(text.split()), spans, task))
    ]


def test_the_methods_are_those_that_need_no_decoder() -> None:
    several = {"hyperloader", "hyperformer++", "hyperformer", "hyperlora", "adapter-dagger", "full"}
    assert set(MANY) == several
    one = {"adapter", "lora", "unipelt-t5", "unipelt-bert"}
    assert set(methods_on(Bert())) == several | one
    assert set(METHODS) - set(methods_on(Bert())) == {"hyperdecoder"}


@pytest.mark.parametrize("head", ["free", "generated"])
@pytest.mark.parametrize("method", MANY)
def test_a_mixed_batch_is_its_single_task_batches(method: str, head: str) -> None:
    model, codec = model_of(method, head=head), codec_of()
    loss = output_of(model).loss(model, codec, TrainingSection())
    terms, index = loss.terms(windows())
    terms.sum().backward()
    mixed = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    total = torch.zeros(())
    for i, window in enumerate(windows()):
        alone, _ = loss.terms([window])
        if method != "full":  # padding reaches nothing but gates
            torch.testing.assert_close(terms[index == i], alone, atol=1e-5, rtol=1e-5)
        total = total + alone.sum()
    torch.testing.assert_close(terms.sum(), total, atol=1e-4, rtol=1e-5)
    total.backward()
    assert mixed
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(mixed[name], parameter.grad, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("method", MANY)
def test_answers_do_not_depend_on_company_and_are_tags_of_their_task(method: str) -> None:
    model, codec = model_of(method), codec_of()
    tagger = Tagger(model, codec)
    texts, tasks = [s[0] for s in SENTENCES] * 2, [s[1] for s in SENTENCES] * 2
    together = tagger.tag(texts, tasks)
    for text, task, tagged in zip(texts, tasks, together, strict=True):
        alone = tagger.tag(text, task)
        assert {s.label for s in tagged.spans} <= set(LABELS[task])
        assert [(s.start, s.end, s.label) for s in alone.spans] == [
            (s.start, s.end, s.label) for s in tagged.spans
        ]
        scores = [span.score for span in alone.spans]
        assert [s.score for s in tagged.spans] == pytest.approx(scores, abs=1e-5)
    assert any(tagged.spans for tagged in together)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("method", methods_on(Bert()))
def test_a_step_trains_what_it_should_and_nothing_else(method: str, checkpointing: bool) -> None:
    single = METHODS[method].single_task
    labels = {"music": LABELS["music"]} if single else LABELS
    codec = TokenCodec(bert_tokenizer(), labels)
    tags = {task: len(names) for task, names in codec.tags.items()}
    torch.manual_seed(0)
    config = ModelConfig(method=method, tasks=tuple(labels))
    model = TokenTagger(bert_encoder(), config, tags=tags).train()
    if checkpointing:
        model.gradient_checkpointing_enable()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = output_of(model).loss(model, codec, TrainingSection())
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-2)
    batch = [w for w in windows() if w.task in labels]
    for _ in range(2):  # LoRA's A has a gradient once B is not zero
        optimiser.zero_grad()
        loss(batch).backward()
        optimiser.step()
    after = dict(model.named_parameters())
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved <= set(model.trainable_names())
    silent = {n for n in set(model.trainable_names()) - moved if "embeddings" not in n}
    assert not silent


def test_adapters_stand_where_a_sublayer_leaves_and_lora_on_queries_and_values() -> None:
    model = model_of("hyperloader")
    places = {site.place for site in model.weights(torch.tensor([0]))} - {HEAD.place}
    assert places == {
        *(Place.FEED_FORWARD, Place.SELF_ATTENTION, Place.SELF_QUERY, Place.SELF_VALUE)
    }
    # No embedding and no generator for the cross-attention that an encoder has not.
    hypernetwork = model.source.get_submodule("sources.0.encoder")
    assert hypernetwork.get_parameter("position_embeddings.weight").shape == (4, 64)
    hooked = {n for n, m in model.backbone.named_modules() if m._forward_hooks}
    assert hooked == {
        f"encoder.layer.{i}.{name}"
        for i in range(2)
        for name in ("output.dense", "attention.output.dense", "attention.self.query",
                     "attention.self.value")
    }  # fmt: skip


@pytest.mark.parametrize("head", ["free", "generated"])
def test_a_checkpoint_brings_everything_back(head: str, tmp_path: Path) -> None:
    model, codec = model_of("hyperloader", head=head), codec_of(overlap=3)
    save_checkpoint(tmp_path / "c", model, codec)
    loaded = load_checkpoint(tmp_path / "c")
    texts, tasks = [s[0] for s in SENTENCES], [s[1] for s in SENTENCES]
    expected = Tagger(model, codec).tag(texts, tasks)
    assert Tagger(loaded.model, loaded.codec).tag(texts, tasks) == expected


@pytest.mark.parametrize("head", ["free", "generated"])
def test_one_model_learns_three_tasks_from_the_command_line(head: str, tmp_path: Path) -> None:
    """A random encoder, all of which is trained: what counts is that head and tasks are learnt."""
    write_data(tmp_path / "data")
    backbone = bert_folder(tmp_path / "bert")
    options = {
        "model.train_backbone": "all", "model.head": head, "training.steps": 120,
        "training.learning_rate": 5e-3, "training.batch_size": 16, "data.batches": "mixed",
        "validation.every": 120, "dropout": 0.0, "model.lora_alpha": 1,
    }  # fmt: skip
    sets = [part for key, value in options.items() for part in ("--set", f"{key}={value}")]
    done = cli(
        *("train", "--data", tmp_path / "data", "--out", tmp_path / "run", "--recipe", "builtin"),
        *("--backbone", backbone, "--method", "hyperloader", *sets),
    )
    assert done.code == 0, done
    scored = cli("evaluate", tmp_path / "run", "--data", tmp_path / "data", "--split", "train")
    assert scored.code == 0, scored
    tagger = Tagger.from_pretrained(tmp_path / "run")
    assert set(tagger.tasks) == set(corpora())
    right = total = 0
    for task, corpus in corpora().items():
        examples = corpus.splits["train"]
        for example, tagged in zip(
            examples, tagger.tag([" ".join(e.words) for e in examples], task), strict=True
        ):
            found = {(s.word_start, s.word_end, s.label) for s in tagged.spans}
            gold = {(s.word_start, s.word_end, s.label) for s in example.spans}
            right, total = right + len(found & gold), total + len(gold)
    assert right / total > 0.5


def test_training_resumes_bit_for_bit(tmp_path: Path) -> None:
    backbone = str(bert_folder(tmp_path / "bert"))
    settings: dict[str, Any] = {
        "backbone": backbone,
        "model": {"method": "hyperloader", "head": "generated"},
        "training": {"steps": 4, "batch_size": 8, "learning_rate": 1e-3},
        "validation": {"every": 2},
        "data": {"batches": "mixed"},
    }
    make_trainer(tmp_path / "whole", **settings).train()
    assert_resumes(tmp_path / "whole", tmp_path / "cut", **settings)
