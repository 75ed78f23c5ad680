"""Every kind of encoder, with every method that attaches to it."""

import copy
import json
from pathlib import Path
from typing import Any
from unittest import mock

import huggingface_hub
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForMaskedLM

from encoders import KINDS, encoder_folder, encoder_of, tokenizer_of
from helpers import methods_on, randomise
from hyperloader import trust
from hyperloader.backbones import loading
from hyperloader.backbones.loading import load_backbone, load_tokenizer, meta_backbone
from hyperloader.backbones.places import ENCODER, Place, Site
from hyperloader.backbones.registry import FAMILIES, family_of
from hyperloader.checkpoint import load_checkpoint, save_checkpoint
from hyperloader.codec.batch import encode_example
from hyperloader.codec.pieces import SubTokens
from hyperloader.codec.windows import EncodedWindow
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.modeling.methods import METHODS, Group, Method, Part
from hyperloader.modeling.quantised import quantise
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.tagger import Tagger
from hyperloader.types import Example, Span
from training_helpers import cli, refused, write_data

EVERY = pytest.mark.parametrize("kind", KINDS)
# Different numbers of labels, so that heads are padded.
LABELS = {"music": ("artist", "track"), "travel": ("city",)}
SENTENCES = (
    ("play little robin redbreast", "music", (Span(1, 4, "track"),)),
    ("a flight to oslo now please and back", "travel", (Span(3, 4, "city"),)),
    ("play robin", "music", (Span(1, 2, "artist"),)),
    ("from rome to oslo", "travel", (Span(1, 2, "city"), Span(3, 4, "city"))),
)
SMALL: dict[str, dict[str, Any]] = {"unipelt-bert": {"prefix_length": 3, "prefix_hidden_dim": 8}}


def family(kind: str) -> Any:
    return FAMILIES[KINDS[kind].family]


def codec_of(kind: str, tasks: tuple[str, ...] = tuple(LABELS)) -> TokenCodec:
    return TokenCodec(tokenizer_of(kind), {task: LABELS[task] for task in tasks})


def model_of(
    kind: str, method: str, *, random: bool = True, backbone: Any = None, **settings: Any
) -> TokenTagger:
    """In evaluation mode, with random attached parts; methods for one task get the first one."""
    tasks = tuple(LABELS)[: 1 if METHODS[method].single_task else None]
    tags = {task: len(names) for task, names in codec_of(kind, tasks).tags.items()}
    config = ModelConfig(method=method, tasks=tasks, **{**SMALL.get(method, {}), **settings})
    torch.manual_seed(0)
    model = TokenTagger(backbone or load_again(kind), config, tags=tags)
    if random:
        randomise(model, std=0.2)
    return model.eval()


def load_again(kind: str, **changes: Any) -> Any:
    """The encoder without its pooling layer, as the family makes it."""
    encoder = encoder_of(kind, **changes)
    built = family_of(encoder).build(encoder.config)
    built.load_state_dict(encoder.state_dict(), strict=False)
    return built.eval()


def windows(kind: str, tasks: tuple[str, ...] = tuple(LABELS)) -> list[EncodedWindow]:
    codec = codec_of(kind, tasks)
    return [
        window
        for text, task, spans in SENTENCES
        if task in tasks
        for window in encode_example(codec, Example(tuple(text.split()), spans, task))
    ]


def terms(model: TokenTagger, kind: str, given: list[EncodedWindow]) -> tuple[Tensor, Tensor]:
    """The loss of every word of ``given``, and which window each is of."""
    codec = codec_of(kind, model.config.tasks)
    return output_of(model).loss(model, codec, TrainingSection()).terms(given)


def states(model: TokenTagger, ids: Tensor, *tasks: str, mask: Tensor | None = None) -> Tensor:
    with torch.no_grad(), model.use(list(tasks)):
        return model.backbone(ids, attention_mask=mask).last_hidden_state


def some_ids(kind: str, rows: int = 2, length: int = 11) -> Tensor:
    """Of ordinary tokens."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(6, len(tokenizer_of(kind)) - 8, (rows, length), generator=generator)


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
def test_it_is_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    base = str(encoder_folder(tmp_path / "base", kind))
    trust.trust_backbone(base)
    for method in ("hyperloader", "lora", "full"):
        model = model_of(kind, method, backbone=load_backbone(base))
        model.backbone_name = base
        tasks = model.config.tasks
        for whole in (True, False):
            folder = tmp_path / f"{method}-{whole}"
            save_checkpoint(folder, model, codec_of(kind, tasks))
            loaded = load_checkpoint(folder).model
            given = windows(kind, tasks)
            with torch.no_grad():
                expected = terms(model, kind, given)[0]
                assert torch.equal(terms(loaded, kind, given)[0], expected)


@EVERY
def test_a_folder_is_loaded_as_it_was_and_its_tokenizer_too(kind: str, tmp_path: Path) -> None:
    folder = str(encoder_folder(tmp_path / "base", kind))
    loaded, tokenizer = load_backbone(folder, dropout=0.25), load_tokenizer(folder)
    assert family_of(loaded) is family(kind)
    assert not any("pooler" in name for name, _ in loaded.named_parameters())
    assert getattr(loaded.config, family(kind).dropout) == 0.25
    ids = some_ids(kind)
    with torch.no_grad():
        expected = encoder_of(kind)(ids).last_hidden_state
        assert torch.equal(loaded(ids).last_hidden_state, expected)
    family(kind).check_tokenizer(folder, loaded, tokenizer)
    assert tokenizer.get_vocab() == tokenizer_of(kind).get_vocab()
    meta = meta_backbone(folder)
    assert sum(p.numel() for p in meta.parameters()) == sum(p.numel() for p in loaded.parameters())


@EVERY
def test_what_was_published_with_a_head_is_loaded_without(kind: str, tmp_path: Path) -> None:
    encoder = load_again(kind)
    head = AutoModelForMaskedLM.from_config(encoder.config)
    head.base_model.load_state_dict(encoder.state_dict())
    head.save_pretrained(tmp_path / "whole")
    loaded = load_backbone(str(tmp_path / "whole"))
    assert loaded.state_dict().keys() == encoder.state_dict().keys()
    ids = some_ids(kind)
    with torch.no_grad():
        assert torch.equal(loaded(ids).last_hidden_state, encoder(ids).last_hidden_state)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of huggingface_hub, and no network."""
    cache = tmp_path / "hub"
    for name, value in (("HF_HUB_CACHE", str(cache)), ("HF_HUB_OFFLINE", True)):
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.chdir(tmp_path)
    return cache


@EVERY
def test_a_name_on_the_hub_is_loaded(kind: str, hub: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    root = hub / "models--me--encoder"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    encoder_folder(root / "snapshots" / commit, kind)
    loaded, tokenizer = load_backbone("me/encoder"), load_tokenizer("me/encoder")
    expected = load_again(kind).state_dict()
    assert expected.keys() == loaded.state_dict().keys()
    assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    assert tokenizer.get_vocab() == tokenizer_of(kind).get_vocab()


@EVERY
def test_words_are_read_as_in_the_middle_of_a_text(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    pieces = SubTokens(tokenizer)
    words = ["turn", "on", "the", "lights", "in", "zzyzx", "at", "noon"]
    ids = tokenizer(" ".join(words))["input_ids"]
    assert (ids[0], ids[-1]) == (pieces.first, pieces.last)
    rest = [i for word in pieces(words)[1:] for i in word]
    assert ids[-1 - len(rest) : -1] == rest
    # What comes first is read as if it were not.
    assert pieces(["lights", "lights"])[0] == pieces(words)[3]
    special = ["</s>", "[SEP]", "<s>", "[CLS]", "<pad>", "[PAD]", "<mask>", "[MASK]"]
    forbidden = {pieces.first, pieces.last, pieces.pad, tokenizer.mask_token_id}
    assert not any(forbidden & set(word) for word in pieces(special))


def test_a_byte_level_tokenizer_may_add_a_space_of_its_own() -> None:
    tokenizer = copy.deepcopy(tokenizer_of("roberta"))
    words = ["turn", "on", "the", "lights"]
    expected = SubTokens(tokenizer)(words)
    backend: Any = tokenizer.backend_tokenizer
    backend.pre_tokenizer.add_prefix_space = True
    assert tokenizer("turn")["input_ids"][1:-1] == list(expected[0])
    assert SubTokens(tokenizer)(words) == expected


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


@EVERY
def test_company_and_precision_change_no_answer(kind: str) -> None:
    model, texts = model_of(kind, "hyperloader"), [text for text, *_ in SENTENCES] * 2
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


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        # Published models without heads and pooling layers.
        ("distilbert-base", 66_362_880),
        ("mpnet-base", 109_486_464 - (768 * 768 + 768)),
        ("deberta-v3-base", 183_831_552),
        ("modernbert-base", 149_014_272),
        ("roberta-base", 124_645_632 - (768 * 768 + 768)),
        ("xlm-roberta-base", 278_043_648 - (768 * 768 + 768)),
    ],
)
def test_published_shapes(shape: str, parameters: int) -> None:
    backbone = meta_backbone(shape)
    assert sum(p.numel() for p in backbone.parameters()) == parameters
    config = ModelConfig(method="lora", tasks=("a",), head="free")
    with torch.device("meta"):
        model = TokenTagger(backbone, config, tags={"a": 3})
    layers = backbone.config.num_hidden_layers
    lora = layers * 2 * (config.lora_rank * 768 * 2)
    assert model.parameter_counts()["trainable"] == lora + 3 * 769


@pytest.mark.parametrize("kind", ["modernbert", "deberta-v3"])
def test_from_the_command_line(kind: str, tmp_path: Path) -> None:
    data, run = write_data(tmp_path / "data"), tmp_path / "run"
    folder = encoder_folder(tmp_path / "encoder", kind)
    given = ("--data", data, "--backbone", folder, "--set", "training.precision=float32")
    done = cli("train", *given, "--method", "hyperloader", "--steps", 3, "--out", run)
    assert done.code == 0, done.err
    scores = json.loads(cli("evaluate", run, "--json").out)
    assert set(scores["tasks"]) == {"dining", "home"}
    done = cli("tag", run, "--task", "home", "--json", "turn off the lamp in the hall")
    assert json.loads(done.out)["words"][:2] == ["turn", "off"], done.err
    assert "no place 'self_prefix'" in refused(
        "train", *given, "--method", "unipelt-bert", "--task", "home", "--out", tmp_path / "no"
    )


def test_a_backbone_of_no_family_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text('{"model_type": "gpt2"}')
    tokenizer_of("roberta").save_pretrained(tmp_path / "gpt2")
    data = write_data(tmp_path / "data")
    said = refused(
        "train", "--data", data, "--backbone", tmp_path / "gpt2", "--out", tmp_path / "o"
    )
    assert "unknown kind of backbone 'gpt2'" in said
    assert "modernbert" in said
    assert said.endswith("choose another one")


def test_a_tokenizer_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = encoder_folder(tmp_path / "slow", "roberta")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "BertweetTokenizer"  # which has no fast form
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ConfigError, match="unknown tokenizer 'BertweetTokenizer' \\(known: ") as no:
        load_tokenizer(str(folder))
    assert "\n" not in str(no.value)
    folder = tmp_path / "sentencepiece"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "deberta-v2"}')
    (folder / "tokenizer_config.json").write_text('{"vocab_type": "spm"}')
    (folder / "spm.model").write_bytes(b"no such thing")
    error = ValueError("`tiktoken` is required to read a `tiktoken` file")  # as transformers says
    monkeypatch.setattr(trust, "load_tokenizer", mock.Mock(side_effect=error))
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install sentencepiece") as no:
        load_tokenizer(str(folder))
    assert "\n" not in str(no.value)
