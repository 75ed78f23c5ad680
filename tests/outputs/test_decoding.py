"""The decoder against a slow oracle, and the decisions that training shares with it."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import LABELS, SENTENCES, tiny_codec, tiny_model
from hyperloader.codec.batch import collate, encode_example, encode_words
from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.decoded import tag_words
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.decisions import find_decisions
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder
from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tags import sbio_to_spans, spans_to_sbio
from hyperloader.types import Example, check_spans
from slow_decoder import assert_same, oracle, sharpened

CODEC = tiny_codec()


def windows_of(codec: SentTCodec, tasks: Sequence[str]) -> list[EncodedWindow]:
    sentences = [*SENTENCES, "", "one", "a b c d e f g h i j"]
    return [
        window
        for i, task in enumerate(tasks)
        for window in encode_words(codec, sentences[i % len(sentences)].split(), task)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_decoding_is_what_the_oracle_finds(seed: int) -> None:
    model = sharpened(CODEC, seed)
    windows = windows_of(CODEC, [*LABELS] * 2)
    answers = [oracle(model, CODEC, window) for window in windows]
    decoder = SentTDecoder(model, CODEC)
    for batch_size in (1, 3, 64):
        decoded = decoder.decode(windows, batch_size=batch_size)
        for found, answer in zip(decoded, answers, strict=True):
            assert_same(found.spans, answer)
    mixed = decoder.decode_batch(collate(windows, CODEC.pieces.pad))
    for found, answer in zip(mixed, answers, strict=True):
        assert_same(found.spans, answer)


def test_the_random_models_use_labels_of_several_pieces_and_shared_prefixes() -> None:
    # Otherwise the comparison above would compare little.
    used = set()
    windows = windows_of(CODEC, [*LABELS] * 2)
    for seed in range(3):
        for found, window in zip(
            SentTDecoder(sharpened(CODEC, seed), CODEC).decode(windows), windows, strict=True
        ):
            used |= {
                (window.task, span.label, span.word_end - span.word_start > 1)
                for span in found.spans
            }
    labels = {label for _, label, _ in used}
    assert {"TRACK", "TRACK_TITLE"} & labels
    assert {"I_stop", "O_fare", "ITEM"} & labels
    assert any(longer for _, _, longer in used)


def test_a_label_that_begins_like_inside_never_ends_as_inside_without_a_span() -> None:
    # "▁I" is the tag I, and the first piece of ITEM: where no span is open only ITEM may follow.
    codec = tiny_codec({"t": ("I_stop", "I_stop_too")})
    inside = codec.tag_ids["t"]["I"]
    assert codec.tag_ids["t"]["I_stop"][: len(inside)] == inside
    model = tiny_model(codec, random=True)
    with torch.no_grad():  # a strong wish for I and for ending the tag at once
        model.backbone.shared.weight[inside[0]] *= 50
        model.backbone.shared.weight[codec.pieces.sentinels] *= 20
    windows = [w for s in SENTENCES for w in encode_words(codec, s.split(), "t")]
    for found, window in zip(SentTDecoder(model, codec).decode(windows), windows, strict=True):
        assert_same(found.spans, oracle(model, codec, window))


def test_three_hundred_labels() -> None:
    labels = tuple(f"{kind}_{place}" for kind in range(30) for place in range(10))
    codec = tiny_codec({"t": labels})
    model = sharpened(codec, 1)
    windows = [w for s in SENTENCES for w in encode_words(codec, s.split(), "t")]
    decoded = SentTDecoder(model, codec).decode(windows)
    for found, window in zip(decoded, windows, strict=True):
        assert_same(found.spans, oracle(model, codec, window))
    assert len({span.label for found in decoded for span in found.spans}) > 1


def test_a_task_without_labels_is_all_outside_and_certain() -> None:
    codec = tiny_codec({"none": ()})
    model = tiny_model(codec, random=True)
    windows = encode_words(codec, ["a", "b"], "none")
    assert SentTDecoder(model, codec).decode(windows)[0].spans == []
    with_target = encode_example(codec, Example(("a", "b"), (), "none"))
    decisions = find_decisions(with_target, codec, Grammar(codec.tag_ids))
    assert len(decisions.choice) == 0
    assert decisions.row.dtype == decisions.choice.dtype == torch.long


def test_an_empty_sentence_has_no_spans() -> None:
    model = tiny_model(CODEC, random=True)
    decoder = SentTDecoder(model, CODEC)
    windows = encode_words(CODEC, [], "music")
    assert decoder.decode(windows)[0].spans == []
    assert decoder.decode([]) == []
    assert tag_words(decoder, [windows, []]) == [[], []]


@settings(max_examples=25)
@given(
    words=st.lists(st.text(max_size=6), max_size=25),
    task=st.sampled_from(sorted(LABELS)),
    seed=st.integers(0, 3),
    max_words=st.integers(3, 9),
)
def test_any_words_get_valid_spans(words: list[str], task: str, seed: int, max_words: int) -> None:
    codec = tiny_codec(max_words=max_words, overlap=2)
    (spans,) = tag_words(SentTDecoder(MODELS[seed], codec), [encode_words(codec, words, task)])
    check_spans(spans, len(words))
    for span in spans:
        assert span.label in LABELS[task]
        assert span.score is not None
        assert 0 < span.score <= 1


MODELS = [sharpened(CODEC, seed) for seed in range(4)]


def test_decoding_leaves_the_model_in_its_mode() -> None:
    model = tiny_model(CODEC, random=True, dropout=0.5).train()
    windows = windows_of(CODEC, ["music"] * 2)
    first, second = (SentTDecoder(model, CODEC).decode(windows) for _ in range(2))
    assert first == second  # no dropout
    assert model.training


def test_weights_changed_by_training_change_the_answer() -> None:
    model = sharpened(CODEC, 0)
    decoder, windows = SentTDecoder(model, CODEC), windows_of(CODEC, ["music"] * 4)
    before = decoder.decode(windows)
    with torch.no_grad():
        model.source.task_embeddings.weight.add_(3.0)
    after = decoder.decode(windows)
    for found, window in zip(after, windows, strict=True):
        assert_same(found.spans, oracle(model, CODEC, window))
    assert [d.spans for d in before] != [d.spans for d in after] or [
        s.score for d in before for s in d.spans
    ] != [s.score for d in after for s in d.spans]


@st.composite
def examples(draw: st.DrawFn) -> Example:
    task = draw(st.sampled_from(sorted(LABELS)))
    tags: list[str] = []
    for tag in draw(st.lists(st.sampled_from(["O", "I", *LABELS[task]]), max_size=6)):
        tags.append("O" if tag == "I" and (not tags or tags[-1] == "O") else tag)
    return Example(tuple(f"w{i}" for i in range(len(tags))), sbio_to_spans(tags), task)


@settings(max_examples=10)
@given(found=st.lists(examples(), min_size=1, max_size=3))
def test_decisions_are_the_choices_of_the_oracle(found: list[Example]) -> None:
    model, grammar = MODELS[0], Grammar(CODEC.tag_ids)
    windows = [window for example in found for window in encode_example(CODEC, example)]
    decisions = find_decisions(windows, CODEC, grammar)
    answers = [oracle(model, CODEC, w, w.target) for w in windows]
    expected = [(r, *choice) for r, a in enumerate(answers) for choice in a.choices]
    assert decisions.row.tolist() == [row for row, _, _ in expected]
    assert decisions.position.tolist() == [position for _, position, _ in expected]
    for example, answer in zip(found, answers, strict=True):
        assert answer.tags == spans_to_sbio(example.spans, len(example.words))
    scores = decision_scores(model, grammar, windows)
    torch.testing.assert_close(
        scores, torch.tensor([score for _, _, score in expected]), atol=1e-3, rtol=1e-3
    )


@torch.no_grad()
def decision_scores(model: TaggingModel, grammar: Grammar, windows: list[EncodedWindow]) -> Tensor:
    """Log-probabilities of the decisions of ``windows`` from one forward pass over all."""
    decisions = find_decisions(windows, CODEC, grammar)
    batch = collate(windows, CODEC.pieces.pad)
    logits = model(
        batch.input_ids,
        batch.attention_mask,
        task_ids=model.task_ids(batch.tasks),
        labels=batch.labels,
    ).logits[decisions.row, decisions.position]
    closing = logits.gather(1, decisions.closing[:, None])
    allowed = torch.cat([logits[:, grammar.tokens], closing], dim=1)
    scores = allowed.masked_fill(~decisions.allowed, -torch.inf).log_softmax(-1)
    return scores.gather(1, decisions.choice[:, None])[:, 0]
