"""Weights that depend on the input: rows apart, padding, batches, threads, recomputation."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from helpers import batch_of, run, tiny_codec, tiny_model
from hyperloader.backbones.places import Place, Site
from hyperloader.codec.batch import encode_words
from hyperloader.modeling import active
from hyperloader.modeling.active import NoActiveWeightsError
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.model import TaggingModel

CODEC = tiny_codec()
SITE = Site("decoder", 1, Place.PARALLEL_FEED_FORWARD)


def model_of() -> TaggingModel:
    """One whose answer depends on the generated weights."""
    return tiny_model(CODEC, method="hyperdecoder", random=True)


def test_every_row_has_weights_of_its_own_sentence() -> None:
    model = model_of()
    batch = batch_of("music", "music", "flights", "one")
    with torch.no_grad():
        together = run(model, batch)[0]
        with model.use(batch.tasks):
            model.backbone.encoder(batch.input_ids, attention_mask=batch.attention_mask)
            made = active.current()
        assert made is not None
        up = made[SITE].up_weight
        assert up.shape[0] == 4
        assert min((up[i] - up[j]).abs().max() for i in range(4) for j in range(i)) > 1e-3
        for i in range(4):
            length = int(batch.attention_mask[i].sum())  # without the padding, too
            ids, labels = batch.input_ids[i : i + 1, :length], batch.labels[i : i + 1]
            alone = model(ids, task_ids=torch.tensor([0]), labels=labels).logits
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_the_decoder_waits_for_the_encoder() -> None:
    model = model_of()
    one = torch.ones(1, 1, dtype=torch.long)
    states = torch.zeros(1, 3, 64)
    with torch.no_grad(), model.use("music"):
        with pytest.raises(NoActiveWeightsError, match="run the encoder before the decoder"):
            model.backbone.decoder(one, encoder_hidden_states=states)
        model.backbone.encoder(one)
        model.backbone.decoder(one, encoder_hidden_states=states)
    with pytest.raises(NoActiveWeightsError, match=r"wrap the call in model\.use\(task\)"):
        model.backbone.encoder(one)
    assert active.current() is None


def test_what_is_cached_stays_as_it_was() -> None:
    model = model_of()
    cached = model.cached_weights(model.task_ids("music"))
    before = dict(cached)
    with torch.no_grad(), model.use("music"):
        model.backbone.encoder(batch_of("music").input_ids)
    assert cached == before
    assert SITE not in cached
    assert model.reads_input
    assert not tiny_model(CODEC).reads_input


@pytest.mark.parametrize("beams", [1, 2])
def test_generate_gives_each_row_its_own_answer(beams: int) -> None:
    model = model_of()
    batch = batch_of("music", "flights", "music")
    settings = {"num_beams": beams, "max_new_tokens": 8, "do_sample": False}
    both = {"attention_mask": batch.attention_mask, "task": batch.tasks}
    together = model.generate(batch.input_ids, **both, **settings)
    for i in range(3):
        row = slice(i, i + 1)
        mask = batch.attention_mask[row]
        alone = model.generate(
            batch.input_ids[row], attention_mask=mask, task=batch.tasks[i], **settings
        )[0]
        assert together[i, : len(alone)].tolist() == alone.tolist()


def test_rows_can_be_left_out_between_encoder_and_decoder() -> None:
    model = model_of()
    batch = batch_of("music", "flights", "one")
    decoded = torch.tensor([[0, 5, 7]] * 3)
    row = torch.tensor([2, 0])
    with torch.no_grad(), model.use(batch.tasks):
        states = model.backbone.encoder(batch.input_ids, batch.attention_mask).last_hidden_state

        def decode(rows: Tensor | slice) -> Tensor:
            return model.backbone.decoder(
                decoded[rows],
                encoder_hidden_states=states[rows],
                encoder_attention_mask=batch.attention_mask[rows],
            ).last_hidden_state

        everything = decode(slice(None))
        with active.activate(active.of_rows(active.current() or {}, row)):
            torch.testing.assert_close(decode(row), everything[row], atol=1e-5, rtol=1e-5)
        with pytest.raises(ValueError, match="3 sets of weights do not fit a batch of 2 rows"):
            decode(row)


def test_gradient_checkpointing_recomputes_with_the_weights_of_its_own_batch() -> None:
    gradients = []
    for thrifty in (False, True):
        model = model_of().train()
        if thrifty:
            model.gradient_checkpointing_enable()
        loss = run(model, batch_of("music", "flights"))[1]
        with torch.no_grad():
            run(model, batch_of("one", "one", "flights"))
        loss.backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    assert any(name.startswith("source.sources.1.summary") for name in plain)
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_compiled_without_a_graph_break_it_is_the_same() -> None:
    model = model_of()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    batch = batch_of("music", "flights")
    given = {"task_ids": model.task_ids(batch.tasks), "labels": batch.labels}
    with torch.no_grad():
        ours = compiled(batch.input_ids, batch.attention_mask, **given).logits
        eager = model(batch.input_ids, batch.attention_mask, **given).logits
    torch.testing.assert_close(ours, eager, atol=1e-5, rtol=1e-5)


def test_threads_keep_their_own_input() -> None:
    model = model_of()
    batches = [batch_of("music", "one"), batch_of("one", "flights", "music"), batch_of("flights")]
    inputs = [
        {"input_ids": b.input_ids, "attention_mask": b.attention_mask, "labels": b.labels}
        for b in batches
    ]
    barrier = threading.Barrier(len(batches))
    with torch.no_grad():
        expected = [run(model, batch)[0] for batch in batches]

    def work(number: int) -> bool:
        equal = True
        with torch.no_grad():
            for _ in range(5):
                with model.use(batches[number].tasks):
                    barrier.wait()
                    logits = model.backbone(**inputs[number]).logits
                    equal &= torch.allclose(logits, expected[number], atol=1e-5)
        return equal

    with ThreadPoolExecutor(len(batches)) as pool:
        assert all(pool.map(work, range(len(batches))))


def test_decoding_a_batch_is_decoding_its_sentences() -> None:
    decoder = SentTDecoder(model_of(), CODEC)
    sentences = ["play the song little robin redbreast", "boston to denver", "the best thing is"]
    windows = [w for text in sentences for w in encode_words(CODEC, text.split(), "music")]
    together = decoder.decode(windows)
    assert any(decoded.spans for decoded in together)
    for window, decoded in zip(windows, together, strict=True):
        (alone,) = decoder.decode([window])
        assert [(s.word_start, s.word_end, s.label) for s in alone.spans] == [
            (s.word_start, s.word_end, s.label) for s in decoded.spans
        ]


def test_training_drops_the_feed_forward_but_not_the_adapter() -> None:
    """The block is h + dropout(FF(LN h)) + Adapter(LN h)."""
    model = model_of()
    layer = model.backbone.encoder.block[0].layer[1]
    layer.dropout.p = 1.0
    layer.train()
    x = torch.randn(1, 3, 64)
    with torch.no_grad(), model.use("music"):
        w = active.current()[Site("encoder", 0, Place.PARALLEL_FEED_FORWARD)]
        normed = layer.layer_norm(x)
        inner = torch.relu(normed @ w.down_weight[0].T + w.down_bias[0])
        expected = x + inner @ w.up_weight[0].T + w.up_bias[0]
        torch.testing.assert_close(layer(x), expected)
