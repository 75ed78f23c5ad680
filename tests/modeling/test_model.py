"""The tagging model: tasks, gradients, what is frozen, threads, compilation, backbone families."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertModel,
)

from helpers import LABELS, batch_of, randomise, run, tiny_backbone, tiny_codec, tiny_model
from hyperloader.codec.batch import Batch
from hyperloader.errors import ConfigError, HyperloaderError
from hyperloader.modeling import active
from hyperloader.modeling.active import NoActiveWeightsError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.modules.lora import LoraWeights
from hyperloader.outputs.sentt.model import TaggingModel

CODEC = tiny_codec()
TASKS = tuple(LABELS)
METHODS = ("hyperloader", "hyperformer++", "hyperformer")


def gradients(model: TaggingModel) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor], within: float = 1e-5) -> None:
    """Equal up to ``within`` of the largest entry of each tensor."""
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        largest = max(value.abs().max().item(), 1.0)
        assert (ours[name] - value).abs().max().item() <= within * largest, name


@pytest.mark.parametrize("method", METHODS)
def test_a_mixed_batch_is_its_single_task_batches(method: str) -> None:
    model = tiny_model(CODEC, random=True, method=method, train_backbone="all")
    mixed = batch_of("music", "flights", "music", "one", "flights")
    logits, loss = run(model, mixed)
    loss.backward()
    expected = gradients(model)
    model.zero_grad()
    differ = []
    for task in TASKS:
        rows = [i for i, name in enumerate(mixed.tasks) if name == task]
        assert mixed.labels is not None
        part = Batch(
            mixed.input_ids[rows],
            mixed.attention_mask[rows],
            mixed.labels[rows],
            (task,) * len(rows),
            (),
        )
        alone, part_loss = run(model, part)
        part_loss.backward()
        torch.testing.assert_close(logits[rows], alone, atol=1e-5, rtol=1e-5)
        other = (TASKS.index(task) + 1) % len(TASKS)
        with torch.no_grad():
            wrong = run(model, Batch(*_tensors(part), (TASKS[other],) * len(rows), ()))[0]
        differ.append((wrong - alone).abs().max().item())
    assert_close(gradients(model), expected)
    assert min(differ) > 1e-3  # the tasks do have different weights


def _tensors(batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    return batch.input_ids, batch.attention_mask, batch.labels


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("trained", ["none", "layer_norms"])
def test_training_changes_what_it_may_and_nothing_else(method: str, trained: str) -> None:
    model = tiny_model(CODEC, method=method, train_backbone=trained).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for task in (*TASKS, *TASKS):
        run(model, batch_of(task))[1].backward()
        optimiser.step()
        optimiser.zero_grad()
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == set(model.trainable_names())
    backbone = {name for name in changed if name.startswith("backbone.")}
    assert all("layer_norm" in name for name in backbone)
    assert len(backbone) == (12 if trained == "layer_norms" else 0)  # 2*2 + 2*3 + 2 final


def test_lora_starts_as_identity() -> None:
    model = tiny_model(CODEC)
    batch = batch_of("music")
    initial = model.weights(model.task_ids("music"))
    lora = {site: w for site, w in initial.items() if isinstance(w, LoraWeights)}
    assert len(lora) == 2 * 2 + 2 * 4  # two layers a stack; the decoder has cross-attention too
    inputs = dict(zip(("input_ids", "attention_mask", "labels"), _tensors(batch), strict=True))
    with torch.no_grad():
        expected = run(model, batch)[0]
        for part, same in (("a", True), ("b", False)):
            changed = {s: w._replace(**{part: getattr(w, part) + 1.0}) for s, w in lora.items()}
            with active.activate({**initial, **changed}):
                assert torch.equal(model.backbone(**inputs).logits, expected) is same
    assert all(not w.b.any() and w.a.any() for w in lora.values())


@pytest.mark.parametrize("between", [False, True], ids=["plain", "another task in between"])
def test_gradient_checkpointing_changes_nothing_but_memory(between: bool) -> None:
    plain, thrifty = (tiny_model(CODEC, random=True).train() for _ in range(2))
    thrifty.gradient_checkpointing_enable()
    batch, other = batch_of("music", "flights"), batch_of("one", "one")
    results = []
    for model in (plain, thrifty):
        loss = run(model, batch)[1]
        if between:
            with torch.no_grad():
                run(model, other)
        loss.backward()
        results.append((loss.detach(), gradients(model)))
    torch.testing.assert_close(results[0][0], results[1][0])
    assert_close(results[1][1], results[0][1])


def test_checkpointed_blocks_are_really_computed_again() -> None:
    calls = []
    model = tiny_model(CODEC, random=True).train()
    model.gradient_checkpointing_enable()
    layer = model.backbone.encoder.block[1].layer[0].SelfAttention.q
    layer.register_forward_hook(lambda *_: calls.append(1))
    loss = run(model, batch_of("music"))[1]
    loss.backward(retain_graph=True)
    assert len(calls) == 2
    first = gradients(model)
    model.zero_grad()
    loss.backward()
    assert_close(gradients(model), first)


def test_bf16_autocast_trains_and_stays_near_float32() -> None:
    model = tiny_model(CODEC, random=True)
    for tasks in (("music", "music"), ("music", "flights")):
        exact = run(model, batch_of(*tasks))[1]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = run(model, batch_of(*tasks))[1]
        loss.backward()
        assert all(torch.isfinite(g).all() for g in gradients(model).values())
        torch.testing.assert_close(loss, exact, rtol=0.03, atol=0.0)


def test_what_autocast_generated_serves_float32_too() -> None:
    model = tiny_model(CODEC, random=True)
    batch = batch_of("music")
    exact = run(model, batch)[0]
    inputs = dict(zip(("input_ids", "attention_mask", "labels"), _tensors(batch), strict=True))
    with torch.no_grad():
        with torch.autocast("cpu", dtype=torch.bfloat16), model.use("music"):
            model.backbone(**inputs)
        with model.use("music"):
            logits = model.backbone(**inputs).logits
    torch.testing.assert_close(logits, exact)


def test_the_backbone_alone_refuses_to_answer() -> None:
    model = tiny_model(CODEC)
    with pytest.raises(NoActiveWeightsError, match=r"wrap the call in model\.use\(task\)"):
        model.backbone(input_ids=torch.ones(1, 2, dtype=torch.long), decoder_input_ids=_one())
    with model.use("music"):
        model.backbone(input_ids=_one(), decoder_input_ids=_one())
    with pytest.raises(NoActiveWeightsError):
        model.backbone(input_ids=_one(), decoder_input_ids=_one())


def _one() -> Tensor:
    return torch.ones(1, 1, dtype=torch.long)


def test_user_errors_say_what_to_do() -> None:
    model = tiny_model(CODEC)
    with pytest.raises(HyperloaderError, match=r"'musik'; did you mean 'music'\? \(known: music,"):
        model.task_ids(["one", "musik"])
    with pytest.raises(ConfigError, match="already has modules attached; load a fresh one"):
        TaggingModel(model.backbone, ModelConfig(tasks=("a",), method="hyperformer"))
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    bert = BertModel(BertConfig(vocab_size=9, intermediate_size=16, **size))
    with pytest.raises(ConfigError, match="written by a decoder, which a BERT backbone lacks"):
        TaggingModel(bert, ModelConfig(tasks=("a",)))
    assert not any(module._forward_hooks for module in bert.modules())


def _step(model: TaggingModel) -> None:
    model.source.task_embeddings.weight.grad = torch.ones_like(model.source.task_embeddings.weight)
    torch.optim.AdamW(model.source.parameters(), lr=0.1).step()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_step, id="optimiser step"),
        pytest.param(lambda model: randomise(model, 7), id="in place"),
        pytest.param(lambda model: model.load_state_dict(_other_state()), id="load_state_dict"),
        pytest.param(lambda model: model.double(), id="dtype"),
    ],
)
def test_cached_weights_are_dropped_when_a_parameter_changes(
    change: Callable[[TaggingModel], object],
) -> None:
    model = tiny_model(CODEC, random=True)
    ids = model.task_ids("music")
    before = model.cached_weights(ids)
    assert model.cached_weights(ids) is before
    change(model)
    after, fresh = model.cached_weights(ids), model.weights(ids)
    assert after is not before
    for site, weights in fresh.items():
        for ours, theirs in zip(after[site], weights, strict=True):
            torch.testing.assert_close(ours, theirs)
            assert ours is None or not ours.requires_grad


def _other_state() -> dict[str, Tensor]:
    return tiny_model(CODEC, random=True, seed=5).state_dict()


def test_the_cache_holds_a_task_once_however_many_rows_ask_for_it() -> None:
    model = tiny_model(CODEC, random=True)
    ids = model.task_ids(["music", "one", "music", "one", "one"])
    for site, weights in model.cached_weights(ids).items():
        for ours, theirs in zip(weights, model.weights(ids)[site], strict=True):
            torch.testing.assert_close(ours, theirs)
    for kept in model._cached.values():
        assert {w[0].shape[0] for w in kept.values()} == {2}


def test_the_backbone_is_wrapped_not_copied() -> None:
    backbone = tiny_backbone(CODEC)
    names = [name for name, _ in backbone.named_parameters()]
    before = {n: p.clone() for n, p in backbone.state_dict().items()}
    model = TaggingModel(backbone, ModelConfig(tasks=TASKS))
    assert model.backbone is backbone
    assert [name for name, _ in backbone.named_parameters()] == names
    assert all(torch.equal(p, before[n]) for n, p in backbone.state_dict().items())
