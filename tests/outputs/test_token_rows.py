"""Sentences that share a row are read as if each had its own."""

from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bert_helpers import bert_encoder, bert_tokenizer
from helpers import methods_on
from hyperloader.backbones.bert.family import Bert
from hyperloader.codec.batch import encode_example, near
from hyperloader.codec.windows import EncodedWindow, Window
from hyperloader.config import TrainingSection
from hyperloader.errors import ConfigError
from hyperloader.modeling.config import ModelConfig
from hyperloader.outputs.registry import output_of
from hyperloader.outputs.token_tags.codec import TokenCodec
from hyperloader.outputs.token_tags.model import TokenTagger
from hyperloader.outputs.token_tags.rows import pack
from hyperloader.types import Example, Span

LABELS = {"music": ("artist", "track"), "travel": ("city",), "empty": ()}
CODEC = TokenCodec(bert_tokenizer(), LABELS)
WORDS = [
    "play",
    "the",
    "song",
    "little",
    "robin",
    "redbreast",
    "show",
    "me",
    "flights",
    "from",
    "boston",
]


def model_of(method: str = "hyperloader", **settings: Any) -> TokenTagger:
    tasks = tuple(LABELS)[:1] if method in ("unipelt-bert", "adapter") else tuple(LABELS)
    config = ModelConfig(method=method, tasks=tasks, **settings)
    torch.manual_seed(0)
    model = TokenTagger(bert_encoder(), config, tags={t: len(CODEC.tags[t]) for t in tasks})
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.source.parameters():
            parameter.normal_(0.0, 0.2, generator=generator)
    return model.eval()


def window(task: str, words: int) -> EncodedWindow:
    text = tuple(WORDS[i % len(WORDS)] for i in range(words))
    spans = (Span(0, min(2, words), LABELS[task][0]),) if LABELS[task] else ()
    (found,) = encode_example(CODEC, Example(text, spans, task))
    return found


MIXED = [
    window(task, 1 + 5 * i % 9)
    for i, task in enumerate(["music", "travel", "empty", "music", "music", "travel", "travel"])
]


@pytest.mark.parametrize("tags", ["sequence", "single"])
@pytest.mark.parametrize("method", methods_on(Bert(), several=True))
def test_packed_rows_have_the_loss_and_the_gradients_of_rows_of_their_own(
    method: str, tags: Literal["sequence", "single"], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(method, tags=tags)
    assert model.packs
    objective = output_of(model).loss(model, CODEC, TrainingSection())
    results = []
    for packs in (True, False):
        monkeypatch.setattr(model, "packs", packs)
        model.zero_grad()
        terms, index = objective.terms(MIXED)
        terms.sum().backward()
        by_window = torch.zeros(len(MIXED)).index_add(0, index, terms.detach())
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        results.append((by_window, gradients))
    (packed, gradients), (alone, expected) = results
    torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == expected.keys() != set()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4)


def test_what_looks_at_a_whole_row_does_not_share_it() -> None:
    assert not model_of("unipelt-bert").packs
    rows = pack(MIXED[:2], pad=0, together=False)
    assert rows.places is None
    assert rows.input_ids.shape == (2, max(len(w.source) for w in MIXED[:2]))


@given(st.lists(st.tuples(st.sampled_from(sorted(LABELS)), st.integers(1, 30)), min_size=1))
def test_every_word_is_in_one_row_with_its_first_sub_token(chosen: list[tuple[str, int]]) -> None:
    windows = [window(task, words) for task, words in chosen]
    rows = pack(windows, pad=CODEC.pieces.pad, together=True)
    sentences, tags, lengths = rows.sentences(rows.first[..., None].float())
    assert lengths.tolist() == [w.words for w in windows]
    for i, w in enumerate(windows):
        (row,) = {r for r in range(len(rows.window)) if (rows.window[r] == i).any()}
        assert rows.tasks[row] == w.task
        places = sentences[i, : w.words, 0].long()
        assert rows.input_ids[row, places].tolist() == [w.source[k] for k in w.first]
        assert rows.places is not None
        assert rows.places[row, places].tolist() == list(w.first)
        assert tags[i, : w.words].tolist() == w.target
        assert (tags[i, w.words :] == -100).all()
        # A token sees its own window and nothing else.
        begins = int(places[0]) - w.first[0]
        seen = (rows.attention_mask[row, 0, places[0]] == 0).nonzero()[:, 0].tolist()
        assert seen == list(range(begins, begins + len(w.source)))


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 50)), max_size=40),
    st.integers(1, 8),
    st.integers(1, 200),
)
def test_batches_for_tagging_hold_every_window_once_within_their_bounds(
    chosen: list[tuple[str, int]], size: int, most: int
) -> None:
    windows = [
        EncodedWindow([0] * length, [], task, ((0,),), Window(0, 1)) for task, length in chosen
    ]
    batches = list(near(windows, size, most))
    assert sorted(i for batch in batches for i in batch) == list(range(len(windows)))
    for batch in batches:
        longest = max(len(windows[i].source) for i in batch)
        assert len(batch) == 1 or (len(batch) <= size and longest * len(batch) <= most)
        tasks = [windows[i].task for i in batch]
        assert tasks == sorted(tasks)


def test_smoothing_is_refused_where_there_is_none() -> None:
    model = model_of()
    with pytest.raises(ConfigError, match=r"label smoothing .* set training.label_smoothing=0"):
        output_of(model).loss(model, CODEC, TrainingSection(label_smoothing=0.1))
