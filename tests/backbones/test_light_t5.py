"""The T5 without transformers is the T5 of transformers: names, encoder, answers, files."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration
from transformers.activations import ACT2FN

from helpers import LABELS, SENTENCES, batch_of, randomise, tiny_codec
from hyperloader.backbones.activations import OWN, activation
from hyperloader.backbones.t5.family import output_scale
from hyperloader.backbones.t5.light import light_t5
from hyperloader.backbones.t5.light_model import LightT5
from hyperloader.codec.batch import encode_words
from hyperloader.errors import ConfigError, HyperloaderError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.model import TaggingModel

CODEC = tiny_codec()
V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
FAMILIES: dict[str, dict[str, Any]] = {
    "t5": {},
    "v1.1": V1_1,
    "v1.1 silu": {**V1_1, "feed_forward_proj": "gated-silu"},
    "deep decoder": {"num_decoder_layers": 3, "feed_forward_proj": "gelu"},
    "few buckets": {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 20},
}


@dataclass(frozen=True)
class Pair:
    """One T5 twice: ``theirs`` is transformers', ``ours`` has a copy of its weights."""

    theirs: T5ForConditionalGeneration
    ours: LightT5


def reference(**changes: Any) -> T5ForConditionalGeneration:
    """A random T5 whose norms and position biases matter."""
    torch.manual_seed(3)
    shape = {"d_model": 48, "d_ff": 64, "num_layers": 2, "num_heads": 4, "d_kv": 16}
    config = T5Config(
        vocab_size=len(CODEC.tokenizer),
        pad_token_id=CODEC.pieces.pad,
        eos_token_id=CODEC.pieces.eos,
        decoder_start_token_id=CODEC.pieces.pad,
        **{**shape, **changes},
    )
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "bias" in name:
                parameter.normal_(1.0, 0.5)
    return model


def tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


@pytest.fixture(params=FAMILIES)
def pair(request: pytest.FixtureRequest) -> Pair:
    theirs = reference(**FAMILIES[request.param])
    ours = light_t5(theirs.config.to_dict(), tensors(theirs))
    assert ours is not None
    return Pair(theirs, ours)


def test_names_values_and_their_order_are_the_same(pair: Pair) -> None:
    theirs, ours = list(pair.theirs.named_parameters()), list(pair.ours.named_parameters())
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        assert torch.equal(one, other)
        assert one.data_ptr() != other.data_ptr()
    assert pair.ours.state_dict().keys() == pair.theirs.state_dict().keys()
    assert pair.ours.config.to_dict() == pair.theirs.config.to_dict()
    assert not pair.ours.training


@torch.no_grad()
def test_the_encoder_gives_the_same_states(pair: Pair) -> None:
    """300 tokens reach beyond the farthest distance; rows are padded differently."""
    torch.manual_seed(0)
    ids = torch.randint(3, 300, (3, 300))
    mask = (torch.arange(300) < torch.tensor([[300], [170], [2]])).long()
    expected = pair.theirs.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
    found = pair.ours.encoder(input_ids=ids, attention_mask=mask)
    seen = mask.bool()
    torch.testing.assert_close(found.last_hidden_state[seen], expected[seen], atol=1e-5, rtol=1e-5)
    assert found[0] is found.last_hidden_state
    alone = pair.ours.encoder(ids).last_hidden_state
    expected = pair.theirs.encoder(input_ids=ids).last_hidden_state
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_every_distance_has_the_bias_that_it_has_there(pair: Pair, stack: str) -> None:
    theirs, ours = (
        model.get_submodule(stack).block[0].layer[0].SelfAttention
        for model in (pair.theirs, pair.ours)
    )
    for shape in ((1, 1), (600, 600), (5, 40)):
        assert torch.equal(ours.compute_bias(*shape), theirs.compute_bias(*shape))
    assert len(theirs.compute_bias(600, 600)[0, 0].unique()) > 6


@pytest.mark.parametrize("method", ["hyperloader", "hyperdecoder", "adapter-dagger"])
def test_answers_are_the_same_for_every_kind_of_weights(pair: Pair, method: str) -> None:
    """Hooks on linear layers, on whole sublayers, and on the encoder."""
    torch.manual_seed(1)
    config = ModelConfig(method=method, tasks=tuple(LABELS))
    theirs, ours = TaggingModel(pair.theirs, config), TaggingModel(pair.ours, config)
    randomise(theirs)
    ours.source.load_state_dict(theirs.source.state_dict())
    assert ours.trainable_names() == theirs.trainable_names()
    assert output_scale(pair.ours.config) == output_scale(pair.theirs.config)
    windows = [
        window
        for i, sentence in enumerate(SENTENCES)
        for window in encode_words(CODEC, sentence.split(), sorted(LABELS)[i % 3])
    ]
    decoders = [SentTDecoder(model.eval(), CODEC, learn=False) for model in (theirs, ours)]
    expected, found = (decoder.decode(windows) for decoder in decoders)
    assert any(window.spans for window in expected)
    for one, other in zip(found, expected, strict=True):
        assert one.spans == other.spans
        for ours_span, their_span in zip(one.spans, other.spans, strict=True):
            assert ours_span.score == pytest.approx(their_span.score, abs=1e-5)


def test_an_output_embedding_of_its_own_is_kept() -> None:
    theirs = reference(**V1_1)
    head = torch.randn(theirs.shared.weight.shape)
    ours = light_t5(theirs.config.to_dict(), {**tensors(theirs), "lm_head.weight": head})
    assert ours is not None
    assert torch.equal(ours.lm_head.weight, head)
    assert torch.equal(ours.shared.weight, theirs.shared.weight)
    # The same values written twice are one embedding.
    twice = {**tensors(theirs), "lm_head.weight": theirs.shared.weight.detach().clone()}
    tied = light_t5(theirs.config.to_dict(), twice)
    assert tied is not None
    assert tied.lm_head.weight is tied.shared.weight


def test_what_it_is_not_sure_to_compute_alike_is_refused() -> None:
    model = reference()
    settings, given = model.config.to_dict(), tensors(model)
    assert light_t5(settings, given) is not None
    for changed in (
        {"model_type": "mt5"},
        {"model_type": None},
        {"dense_act_fn": "quick_gelu"},
        {"scale_decoder_outputs": None},  # as older configurations are written
        {"d_ff": 65},
    ):
        assert light_t5({**settings, **changed}, given) is None, changed
    assert light_t5(settings, {n: t for n, t in given.items() if "final" not in n}) is None
    other = torch.zeros_like(given["shared.weight"])
    assert light_t5(settings, {**given, "encoder.embed_tokens.weight": other}) is None


def test_what_it_cannot_do_is_said_in_one_line() -> None:
    backbone = light_t5(reference().config.to_dict(), tensors(reference()))
    assert backbone is not None
    model, batch = TaggingModel(backbone, ModelConfig(tasks=tuple(LABELS))), batch_of("music")
    ids = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    task = model.task_ids("music")
    for call in (
        lambda: model(**ids, task_ids=task, labels=batch.labels),
        lambda: model.decoder_states(**ids, task_ids=task, labels=batch.labels),
        lambda: model.decoder_states(**ids, task_ids=task, decoder_input_ids=batch.input_ids),
        lambda: model.generate(batch.input_ids, task="music"),
        lambda: model.generation_config,
        lambda: model.gradient_checkpointing_enable(),
    ):
        with pytest.raises(HyperloaderError, match="loaded for tagging only") as caught:
            call()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_activations_are_bit_by_bit_those_of_transformers(name: str, dtype: torch.dtype) -> None:
    x = torch.linspace(-12, 12, 4097).to(dtype)
    assert torch.equal(activation(name)(x), ACT2FN[name](x))


def test_activations_beyond_our_own_are_those_of_transformers() -> None:
    x = torch.linspace(-3, 3, 7)
    assert "mish" not in OWN
    assert torch.equal(activation("mish")(x), ACT2FN["mish"](x))
    with pytest.raises(ConfigError, match="unknown activation 'gelu_nev'; did you mean 'gelu_new'"):
        activation("gelu_nev")
