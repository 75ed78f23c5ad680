"""Every kind of encoder, with every method that attaches to it."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from encoders import (
    EVERY,
    KINDS,
    SENTENCES,
    codec_of,
    encoder_of,
    family,
    load_again,
    model_of,
    some_ids,
    states,
    terms,
    windows,
)
from helpers import methods_on
from hyperloader.backbones.places import ENCODER, Place, Site
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS, Group, Method, Part
from hyperloader.modeling.quantised import quantise
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.tagger import Tagger


@EVERY
def test_methods_attach_or_are_refused_by_the_name_of_a_place(kind: str) -> None:
    attached = methods_on(family(kind))
    everywhere = {"hyperloader", "hyperformer++", "hyperformer", "hyperlora", "adapter"}
    everywhere |= {"adapter-dagger", "lora", "unipelt-t5", "full"}
    prefixes = {"unipelt-bert"} if KINDS[kind].family == "BERT" else set()
    assert set(attached) == everywhere | prefixes
    for method in METHODS:
        if method in attached:
            model = model_of(kind, method, random=False)
            layers = model.backbone.config.num_hidden_layers
            weights = set(model.weights(torch.tensor([0])))
            made = [site for site in weights if site.place is not Place.HEAD]
            places = {place for place in model.method.places if place.stacks != ("decoder",)}
            assert sorted(made) == sorted(
                Site(ENCODER, layer, place) for layer in range(layers) for place in places
            )
        else:
            with pytest.raises(ConfigError, match=f"method '{method}' cannot be used here: a"):
                model_of(kind, method)
    if not prefixes:
        with pytest.raises(ConfigError, match=r"has no place 'self_prefix' \(it has: feed_for"):
            model_of(kind, "unipelt-bert")


@EVERY
def test_frozen_weights_stay_bit_by_bit(kind: str) -> None:
    for method in methods_on(family(kind)):
        model = model_of(kind, method, random=False).train()
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        trained = set(model.trainable_names())
        norms = {
            f"backbone.{module}.{name}"
            for module, part in model.backbone.named_modules()
            if isinstance(part, nn.LayerNorm)
            for name, _ in part.named_parameters()
        }
        mine = {name for name in trained if name.startswith("backbone.")}
        trains = model.config.train_backbone
        assert mine == {"none": set(), "layer_norms": norms}.get(trains, mine), method
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
        given = windows(kind, model.config.tasks)
        for _ in range(2):
            optimiser.zero_grad()
            terms(model, kind, given)[0].sum().backward()
            optimiser.step()
        changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert changed <= trained, method
        # Rows of tables that no sentence has asked for, and parts that an encoder never uses.
        idle = {n for n in trained - changed if "embeddings" not in n}
        assert not idle, method


@EVERY
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_a_mixed_batch_is_its_single_task_batches(kind: str, implementation: str) -> None:
    given = windows(kind)
    for method in methods_on(family(kind), several=True):
        backbone = load_again(kind)
        backbone.set_attn_implementation(implementation)
        model = model_of(kind, method, backbone=backbone)
        mixed, index = terms(model, kind, given)
        for i, window in enumerate(given):
            alone, _ = terms(model, kind, [window])
            torch.testing.assert_close(mixed[index == i], alone, atol=1e-5, rtol=1e-5)
        if method != "full":
            other, ids = some_ids(kind, 1), some_ids(kind, 1).expand(2, -1)
            far = states(model, other, "music") - states(model, other, "travel")
            assert far.abs().max() > 1e-3, method
            both = states(model, ids, "music", "travel")
            torch.testing.assert_close(both[0] - both[1], far[0], atol=1e-5, rtol=1e-5)


@EVERY
def test_a_module_that_says_nothing_leaves_the_backbone_as_it_is(kind: str) -> None:
    ids = some_ids(kind)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    with torch.no_grad():
        bare = load_again(kind)(ids, attention_mask=mask).last_hidden_state
    for method in set(methods_on(family(kind))) - {"unipelt-bert"}:
        model = model_of(kind, method)
        tasks = [model.config.tasks[0], model.config.tasks[-1]]
        if method != "full":
            assert (states(model, ids, *tasks, mask=mask) - bare).abs().max() > 1e-2
        with torch.no_grad():
            for parameter in model.source.parameters():
                parameter.zero_()
        ours = states(model, ids, *tasks, mask=mask)
        torch.testing.assert_close(ours, bare, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "mpnet"])
def test_recomputed_layers_have_the_same_gradients(kind: str) -> None:
    for method in methods_on(family(kind)):
        found = []
        for recomputed in (False, True):
            model = model_of(kind, method).train()
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
            if recomputed:
                model.gradient_checkpointing_enable()
            terms(model, kind, windows(kind, model.config.tasks))[0].sum().backward()
            found.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        assert found[0].keys() == found[1].keys()
        for name, gradient in found[0].items():
            torch.testing.assert_close(gradient, found[1][name], atol=1e-5, rtol=1e-5)


def test_what_cannot_be_recomputed_is_said() -> None:
    model = model_of("mpnet", "lora")
    with pytest.raises(ConfigError, match=r"of MPNetModel cannot .* set training\.gradient_ch"):
        model.gradient_checkpointing_enable()


@EVERY
def test_lora_is_the_merged_matrix(kind: str) -> None:
    """Also in a projection of queries, keys and values at once, taken apart here."""
    # Distances go through a shared projection as they were: so give them one of their own.
    changes = {"share_att_key": False} if kind == "deberta-v3" else {}
    merged, model = encoder_of(kind, **changes), model_of(kind, "lora", lora_alpha=4.0)
    if changes:
        shared = load_again(kind).state_dict()
        merged.load_state_dict(shared, strict=False)
        for layer in merged.encoder.layer:
            attention = layer.attention.self
            for name in ("query", "key"):
                mine, theirs = (getattr(attention, f"{n}{name}_proj") for n in ("pos_", ""))
                mine.load_state_dict(theirs.state_dict())
    with torch.no_grad():
        for site, w in model.weights(torch.tensor([0])).items():
            if site.place is not Place.HEAD:
                update = 4.0 / 8 * w.b[0] @ w.a[0]
                assert update.shape == (32, 32)
                rows, matrix = projection(merged, kind, site)
                matrix[rows] += update
    ids = some_ids(kind)
    with torch.no_grad():
        expected = merged(ids).last_hidden_state
    torch.testing.assert_close(states(model, ids, "music"), expected, atol=1e-5, rtol=1e-5)


def projection(encoder: Any, kind: str, site: Site) -> tuple[slice, Tensor]:
    """The rows of a matrix that make the queries or the values of a layer."""
    number = {Place.SELF_QUERY: 0, Place.SELF_VALUE: 2}[site.place]
    rows = slice(None)
    match KINDS[kind].family:
        case "DistilBERT":
            attention = encoder.transformer.layer[site.layer].attention
            names = ("q_lin", "k_lin", "v_lin")
        case "MPNet":
            attention, names = encoder.encoder.layer[site.layer].attention.attn, ("q", "k", "v")
        case "DeBERTa":
            attention = encoder.encoder.layer[site.layer].attention.self
            names = ("query_proj", "key_proj", "value_proj")
        case "ModernBERT":
            attention, names = encoder.layers[site.layer].attn, ("Wqkv",) * 3
            rows = slice(number * 32, number * 32 + 32)
        case _:
            attention = encoder.encoder.layer[site.layer].attention.self
            names = ("query", "key", "value")
    return rows, getattr(attention, names[number]).weight


def test_parts_of_one_projection_are_told_apart() -> None:
    model = model_of("modernbert", "lora")
    fused = model.backbone.layers[1].attn.Wqkv
    x = torch.randn(2, 5, 32)
    weights = model.weights(torch.tensor([0]))
    with torch.no_grad(), model.use("music"):
        q, k, v = fused(x).chunk(3, dim=-1)
        plain = nn.functional.linear(x, fused.weight, fused.bias).chunk(3, dim=-1)
        for place, ours, bare in (("self_query", q, plain[0]), ("self_value", v, plain[2])):
            w = weights[Site(ENCODER, 1, Place(place))]
            assert torch.equal(ours, bare + x @ w.a[0].T @ w.b[0].T)
            assert not torch.equal(ours, bare)
    assert torch.equal(k, plain[1])


def test_distances_have_no_task_and_copies_are_of_themselves() -> None:
    model = model_of("deberta-v3", "hyperlora")
    twin = copy.deepcopy(model)
    ids = some_ids("deberta-v3")
    before = states(twin, ids, "music", "travel")
    with torch.no_grad():
        for parameter in (*model.backbone.parameters(), *model.source.parameters()):
            parameter.mul_(2.0)
    assert torch.equal(states(twin, ids, "music", "travel"), before)
    assert not torch.equal(states(model, ids, "music", "travel"), before)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "modernbert"])
def test_an_adapter_may_stand_at_the_norm(kind: str) -> None:
    method = Method(
        "at-norm",
        "adapters at the norm after the feed-forward",
        (Part("free", (Group("adapter", (Place.FEED_FORWARD_NORM,)),)),),
    )
    config = ModelConfig(method="adapter", tasks=("music",))
    model = TokenTagger(load_again(kind), config, tags={"music": 5}, method=method)
    ids = some_ids(kind)
    with torch.no_grad():
        for name, parameter in model.source.named_parameters():
            if "norm" in name:
                parameter.zero_()
        bare = load_again(kind)(ids).last_hidden_state
        torch.testing.assert_close(states(model, ids, "music"), bare, atol=1e-5, rtol=1e-5)
        for name, parameter in model.source.named_parameters():
            if "norm_bias" in name:
                parameter.fill_(1.0)
    torch.testing.assert_close(states(model, ids, "music"), bare, atol=1e-5, rtol=1e-5)
    with torch.no_grad():  # a norm does not see what is added to all numbers alike
        for name, parameter in model.source.named_parameters():
            if "norm_bias" in name:
                parameter[..., ::2] = -1.0
    assert (states(model, ids, "music") - bare).abs().max() > 0.1


@EVERY
def test_company_and_precision_change_no_answer(kind: str) -> None:
    model, texts = model_of(kind, "hyperloader"), [text for text, *_ in SENTENCES] * 2
    with torch.no_grad():
        (bias,) = (model.get_parameter(n) for n in model.head_names() if n.endswith("bias"))
        bias[..., 0] -= 5  # so that spans are found
    tagger, tasks = Tagger(model, codec_of(kind)), [task for _, task, _ in SENTENCES] * 2

    def found() -> list[Any]:
        return [
            [(s.start, s.end, s.label, pytest.approx(s.score, abs=1e-5)) for s in tagged.spans]
            for tagged in tagger.tag(texts, tasks)
        ]

    together = found()
    for text, task, expected in zip(texts, tasks, together, strict=True):
        alone = tagger.tag(text, task).spans
        assert [(s.start, s.end, s.label, s.score) for s in alone] == expected
    assert any(together)
    assert quantise(model) > 0
    assert len(tagger.tag(texts, tasks)) == len(texts)


@EVERY
def test_it_reads_as_much_as_it_can_and_no_more(kind: str) -> None:
    encoder = load_again(kind)
    most = family(kind).max_tokens(encoder)
    assert most == KINDS[kind].most
    with torch.no_grad():
        encoder(some_ids(kind, 1, most))
        if kind not in ("deberta-v3", "modernbert"):  # which have no table of positions
            with pytest.raises((IndexError, RuntimeError)):
                encoder(some_ids(kind, 1, most + 1))
