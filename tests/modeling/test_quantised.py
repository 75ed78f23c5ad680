"""int8: near float32 and valid, parameters untouched, refused where it cannot be."""

from pathlib import Path

import pytest
import torch
from torch import nn

from helpers import batch_of, run, tiny_codec, tiny_model
from hyperloader.benchmarks.models import run_subject
from hyperloader.codec.batch import collate, encode_words
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import ConfigError
from hyperloader.modeling.quantised import quantise
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.tagger import Tagger


def test_products_are_near_those_in_float32_and_generated_weights_act() -> None:
    model = tiny_model(random=True)
    batch = batch_of("music", "flights", "one")
    before = run(model, batch)[0]
    names = {name: p.clone() for name, p in model.named_parameters()}
    changed = quantise(model)
    # 2 encoder layers of 4 + 3 products, 2 decoder layers of 8 + 3; not the output embedding.
    assert changed == 2 * 7 + 2 * 11
    after = run(model, batch)[0]
    assert not torch.equal(after, before)
    assert (after - before).norm() < 0.05 * before.norm()
    assert names.keys() == dict(model.named_parameters()).keys()
    assert all(torch.equal(p, names[name]) for name, p in model.named_parameters())


def test_a_product_is_the_one_of_rounded_weights_and_inputs() -> None:
    torch.manual_seed(0)
    model = tiny_model()
    linear = model.backbone.encoder.block[0].layer[0].SelfAttention.k
    x = torch.randn(3, 5, linear.in_features)
    quantise(model)
    weight = linear.weight.detach()
    scale = weight.abs().amax(1, keepdim=True) / 127
    x[1] *= 1000  # of which the others must not suffer
    exact = nn.functional.linear(x, weight)
    step = 2 * x.abs().amax(-1, keepdim=True) / 127  # seven bits
    # Rounding moves every input by half a step and every weight by half a scale at most; the
    # zero point may cost another half step.
    most = scale[:, 0] / 2 * x.abs().sum(-1, keepdim=True) + step * (weight.abs() + scale).sum(1)
    assert ((linear(x) - exact).abs() <= most).all()


def test_a_saved_model_is_the_one_before(tmp_path: Path) -> None:
    model = tiny_model(random=True)
    quantise(model)
    model.save_pretrained(tmp_path / "saved", whole=True)
    again = type(model).from_pretrained(tmp_path / "saved")
    for (name, mine), (other, its) in zip(
        model.named_parameters(), again.named_parameters(), strict=True
    ):
        assert name == other
        assert torch.equal(mine, its)


def test_what_cannot_be_is_refused() -> None:
    model = tiny_model().to(torch.bfloat16)
    with pytest.raises(ConfigError, match=r"starts from float32, not from torch\.bfloat16 on cpu"):
        quantise(model)


def test_answers_stay_valid_with_random_weights() -> None:
    codec = tiny_codec()
    model = tiny_model(codec, random=True)
    quantise(model)
    windows = encode_words(codec, ("play", "the", "song", "little", "robin"), "music")
    (found,) = SentTDecoder(model, codec).decode(windows)
    assert all(
        0 <= s.word_start < s.word_end <= 5 and s.label in codec.labels["music"]
        for s in found.spans
    )


def test_the_builtin_tagger_finds_nearly_the_same(shared: Path) -> None:
    subject = run_subject(Path("builtin-t5"), shared / "data" / "labelled", "restaurant")
    codec = subject.codec
    gold = load_corpora(shared / "data" / "labelled", ["restaurant"])["restaurant"]
    examples = gold.splits["test"][:96]
    windows = [window for e in examples for window in encode_words(codec, e.words, "restaurant")]
    batch = collate(windows, codec.pieces.pad)

    def right() -> tuple[list[list[object]], int]:
        found = SentTDecoder(subject.model, codec).decode_batch(batch)
        spans = [[(s.word_start, s.word_end, s.label) for s in f.spans] for f in found]
        truth = [[(s.word_start, s.word_end, s.label) for s in e.spans] for e in examples]
        return spans, sum(len(set(a) & set(b)) for a, b in zip(spans, truth, strict=True))

    exact, hits = right()
    quantise(subject.model)
    rounded, rounded_hits = right()
    assert sum(a == b for a, b in zip(exact, rounded, strict=True)) >= 0.8 * len(exact)
    assert abs(hits - rounded_hits) <= 0.03 * sum(len(e.spans) for e in examples)


def test_the_tagger_takes_a_precision() -> None:
    text = "any good thai place near the harbour open after ten"
    exact = Tagger.from_pretrained("builtin-t5").tag(text, "restaurant")
    for precision in ("int8", "bfloat16"):
        tagger = Tagger.from_pretrained("builtin-t5", precision=precision)
        found = tagger.tag(text, "restaurant")
        assert [(s.start, s.end, s.label) for s in found.spans] == [
            (s.start, s.end, s.label) for s in exact.spans
        ]
        assert [s.score for s in found.spans] != [s.score for s in exact.spans]
    with pytest.raises(ConfigError, match="did you mean 'int8'"):
        Tagger.from_pretrained(precision="int-8")
