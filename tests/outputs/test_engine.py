"""The few wide passes of the decoder find what one token at a time finds, whatever was drafted."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from helpers import LABELS, SENTENCES, tiny_codec, tiny_model
from hyperloader.codec.batch import collate, encode_words
from hyperloader.codec.windows import EncodedWindow, Window
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import HyperloaderError
from hyperloader.outputs.decoded import tag_words
from hyperloader.outputs.sentt.decoding import search as search_module
from hyperloader.outputs.sentt.decoding.decoder import SentTDecoder, _batches
from hyperloader.outputs.sentt.decoding.draft import Layout
from hyperloader.outputs.sentt.decoding.search import search
from hyperloader.outputs.sentt.model import TaggingModel
from hyperloader.tags import sbio_to_spans
from hyperloader.types import check_spans
from slow_decoder import TIE, Answer, assert_same, options, oracle, sharpened

CODEC = tiny_codec()


def tied(seed: int, *, gap: float = 0.0) -> TaggingModel:
    """A random model for which many options are equal, or closer than rounding can tell."""
    model = sharpened(CODEC, seed)
    generator = torch.Generator().manual_seed(seed)
    rows = model.backbone.shared.weight
    tokens = sorted({i for tags in CODEC.tag_ids.values() for ids in tags.values() for i in ids})
    with torch.no_grad():
        for token in tokens:
            other = tokens[int(torch.randint(len(tokens), (1,), generator=generator))]
            rows[token] = rows[other] * (1 + gap)
        for sentinel in CODEC.pieces.sentinels[1::2]:
            rows[sentinel] = rows[tokens[sentinel % len(tokens)]]
    return model


MODELS = [*(sharpened(CODEC, seed) for seed in range(6)), *(tied(seed) for seed in range(4))]
MODELS += [tied(4, gap=1e-7), tied(5, gap=1e-6)]
WORDS = [word for sentence in SENTENCES for word in sentence.split()]


@st.composite
def batches(draw: st.DrawFn) -> list[EncodedWindow]:
    """Windows of ragged lengths, each with a task of its own."""
    windows = []
    for _ in range(draw(st.integers(1, 5))):
        words = draw(st.lists(st.sampled_from(WORDS), max_size=9))
        windows += encode_words(CODEC, words, draw(st.sampled_from(sorted(LABELS))))
    return windows


@settings(max_examples=15)
@given(windows=batches(), seed=st.integers(0, len(MODELS) - 1), size=st.integers(1, 5))
def test_the_answer_is_that_of_one_token_at_a_time(
    windows: list[EncodedWindow], seed: int, size: int
) -> None:
    model = MODELS[seed]
    answers = [oracle(model, CODEC, window) for window in windows]
    decoder = SentTDecoder(model, CODEC)
    for _ in range(2):  # the second time with a memory of the first
        for found, answer in zip(decoder.decode(windows, batch_size=size), answers, strict=True):
            assert_same(found.spans, answer)
    mixed = decoder.decode_batch(collate(windows, CODEC.pieces.pad))
    for found, answer in zip(mixed, answers, strict=True):
        assert_same(found.spans, answer)


@settings(max_examples=12)
@given(data=st.data(), windows=batches(), seed=st.integers(0, len(MODELS) - 1))
def test_no_draft_however_wrong_changes_the_answer(
    data: st.DataObject, windows: list[EncodedWindow], seed: int
) -> None:
    model, decoder = MODELS[seed], SentTDecoder(MODELS[seed], CODEC)
    width = max(1, *(window.words for window in windows))
    draft = [  # any tags of the task, also I where no span is open
        [
            decoder.paths.first[window.task]
            + data.draw(st.integers(0, len(CODEC.tag_ids[window.task]) - 1))
            for _ in range(width)
        ]
        for window in windows
    ]
    batch = collate(windows, CODEC.pieces.pad)
    sentinels = torch.tensor(CODEC.pieces.sentinels)
    with torch.no_grad():
        answer = search(
            model,
            decoder.paths,
            sentinels,
            batch,
            torch.tensor(draft),
            scorer=decoder.scorer,
        )
    for window, row in zip(windows, answer.tags.tolist(), strict=True):
        tags = [decoder.paths.names[tag] for tag in row[: window.words]]
        assert tags == oracle(model, CODEC, window).tags


def test_a_drafted_inside_without_a_span_is_no_label_that_begins_like_it() -> None:
    (window,) = encode_words(CODEC, ["denver"], "flights")
    decoder = SentTDecoder(MODELS[0], CODEC)
    first = decoder.paths.first["flights"]
    tags = {tag: first + i for i, tag in enumerate(CODEC.tag_ids["flights"])}
    begins = decoder.paths.choices[tags["I_stop"], 0]
    assert begins == decoder.paths.choices[tags["I"], 0]

    def scorer(hidden: Tensor, layout: Layout, live: Tensor, now: Tensor) -> Tensor:
        wanted = torch.zeros(len(hidden), len(decoder.paths.tokens) + 1)
        wanted[:, begins] = 9.0
        return wanted

    batch, draft = collate([window], CODEC.pieces.pad), torch.tensor([[tags["I"]]])
    sentinels = torch.tensor(CODEC.pieces.sentinels)
    answer = search(MODELS[0], decoder.paths, sentinels, batch, draft, scorer=scorer)
    assert answer.tags.tolist() == [[tags["I_stop"]]]


@pytest.mark.parametrize("ahead", [1, 2, 5, 1000])
def test_how_far_a_pass_looks_ahead_does_not_matter(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "AHEAD", ahead)
    monkeypatch.setattr(search_module, "CHEAP", {"cpu": 1})
    windows = [
        w
        for s, t in zip(SENTENCES, LABELS, strict=False)
        for w in encode_words(CODEC, s.split(), t)
    ]
    for model in (MODELS[0], MODELS[7]):
        for found, window in zip(SentTDecoder(model, CODEC).decode(windows), windows, strict=True):
            assert_same(found.spans, oracle(model, CODEC, window))


@pytest.mark.parametrize("corpus", ["atis", "movie_trivia", "snips"])
def test_real_sentences_with_their_label_sets(corpus: str, shared: Path) -> None:
    (loaded,) = load_corpora(shared / "data/labelled" / corpus, None, require=()).values()
    labels = {corpus: loaded.labels("train")}
    examples = loaded.splits["train"][:: len(loaded.splits["train"]) // 2]
    for codec in (tiny_codec(labels), tiny_codec(labels, label_text="readable")):
        model = sharpened(codec, 2)
        windows = [w for e in examples for w in encode_words(codec, e.words[:8], corpus)]
        decoded = SentTDecoder(model, codec).decode(windows, batch_size=4)
        for found, window in zip(decoded, windows, strict=True):
            assert_same(found.spans, oracle(model, codec, window))
        assert any(found.spans for found in decoded)


def test_a_thousand_labels_with_shared_prefixes() -> None:
    codec = tiny_codec(
        {"t": tuple(f"{a}_{b}_{c}" for a in "xyz" for b in range(18) for c in range(19))}
    )
    assert len(codec.labels["t"]) > 1000
    model = sharpened(codec, 1)
    windows = [w for s in SENTENCES[:2] for w in encode_words(codec, s.split(), "t")]
    for found, window in zip(SentTDecoder(model, codec).decode(windows), windows, strict=True):
        assert_same(found.spans, oracle(model, codec, window))


def test_a_sentence_longer_than_any_window_is_tagged_to_its_end() -> None:
    codec = tiny_codec(max_words=6, overlap=2)
    windows = encode_words(codec, WORDS, "music")
    assert len(windows) > 4
    decoder = SentTDecoder(MODELS[0], codec)
    (spans,) = tag_words(decoder, [windows])
    check_spans(spans, len(WORDS))
    assert spans[-1].word_end > windows[0].window.end
    for found, window in zip(decoder.decode(windows), windows, strict=True):
        assert_same(found.spans, oracle(MODELS[0], codec, window))
    whole = encode_words(CODEC, WORDS * 8, "music")  # more words than there are sentinels
    assert len(whole) > 1
    check_spans(tag_words(decoder, [whole])[0], len(WORDS) * 8)


def test_a_draft_that_is_right_takes_few_passes() -> None:
    model = tiny_model(CODEC, random=True)
    decoder = SentTDecoder(model, CODEC)
    windows = [w for s in SENTENCES for w in encode_words(CODEC, s.split(), "flights")]
    decoder.decode(windows, batch_size=1)
    tokens = sum(2 * window.words for window in windows)
    first, decoder.work.passes = decoder.work.passes, 0
    decoder.decode(windows, batch_size=1)
    assert decoder.work.passes <= first < tokens
    assert decoder.work.passes <= 2 * len(windows)  # a memory of just these sentences
    forgetful = SentTDecoder(model, CODEC, learn=False)
    forgetful.decode(windows, batch_size=1)
    once = forgetful.work.passes
    forgetful.decode(windows, batch_size=1)
    assert forgetful.work.passes == 2 * once > 2 * decoder.work.passes


def brute_force(answer: Answer, window: EncodedWindow, model: TaggingModel) -> list[dict]:
    """For every word the probability of each tag, from forced walks along all of its tags."""
    tag_ids, distributions = CODEC.tag_ids[window.task], []
    for i in range(window.words):
        found = {}
        opened = i > 0 and answer.tags[i - 1] != "O"
        for tag in tag_ids:
            if tag == "I" and not opened:
                continue
            tags = [*answer.tags[:i], tag, *["O"] * (window.words - i - 1)]
            target = CODEC.encode_target(sbio_to_spans(tags), window.words, window.task)
            found[tag] = oracle(model, CODEC, window, target).scores[i]
        distributions.append(found)
    return distributions


@pytest.mark.parametrize("task", sorted(LABELS))
def test_alternatives_are_the_probabilities_of_the_other_tags(task: str) -> None:
    words = SENTENCES[1].split()[:3]
    for model in (MODELS[1],):
        (window,) = encode_words(CODEC, words, task)
        (found,) = SentTDecoder(model, CODEC).decode([window], alternatives=100)
        assert found.alternatives is not None
        answer = oracle(model, CODEC, window)
        expected = brute_force(answer, window, model)
        for i, (alternatives, truth) in enumerate(zip(found.alternatives, expected, strict=True)):
            assert sorted(tag for a in alternatives for tag in a.tags) == sorted(truth)
            assert sum(a.probability for a in alternatives) == pytest.approx(1, abs=1e-4)
            for tags, probability in alternatives:
                together = sum(truth[tag] for tag in tags)
                assert probability == pytest.approx(together, abs=1e-4, rel=1e-3)
            chosen = next(a for a in alternatives if answer.tags[i] in a.tags)
            assert chosen.tags == (answer.tags[i],)
        (best,) = SentTDecoder(model, CODEC).decode([window], alternatives=1)
        assert best.alternatives == [a[:1] for a in found.alternatives]


def test_the_order_of_ties_is_by_token_id() -> None:
    # Otherwise the oracle above would not fix what a tie means.
    following = options(CODEC, "flights", (), True, 0)
    assert list(following) == sorted(following)
    assert 0 < TIE < 1e-3


def test_weights_are_generated_once_for_all_rows_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    model, asked = sharpened(CODEC, 0), []
    forward = model.source.forward

    def spy(task_ids: torch.Tensor, tags: int | None) -> object:
        asked.append(task_ids.tolist())
        return forward(task_ids, tags)

    monkeypatch.setattr(model.source, "forward", spy)
    tasks = sorted(LABELS) * 3
    windows = [encode_words(CODEC, SENTENCES[i % 5].split(), t)[0] for i, t in enumerate(tasks)]
    SentTDecoder(model, CODEC).decode_batch(collate(windows, CODEC.pieces.pad))
    assert [sorted(ids) for ids in asked] == [sorted(set(model.task_ids(tasks).tolist()))]


def test_bfloat16_gives_valid_spans() -> None:
    model = sharpened(CODEC, 0).to(torch.bfloat16)
    tasks = sorted(LABELS)
    sentences = [encode_words(CODEC, s.split(), tasks[i % 3]) for i, s in enumerate(SENTENCES)]
    for sentence, spans in zip(
        SENTENCES, tag_words(SentTDecoder(model, CODEC), sentences), strict=True
    ):
        check_spans(spans, len(sentence.split()))
        assert all(0 < span.score <= 1.001 for span in spans if span.score is not None)


def test_scores_that_are_no_numbers_are_an_error() -> None:
    model = tiny_model(CODEC)
    with torch.no_grad():
        model.backbone.decoder.final_layer_norm.weight.fill_(torch.nan)
    with pytest.raises(HyperloaderError, match="not finite"):
        SentTDecoder(model, CODEC).decode(encode_words(CODEC, ["a"], "music"))


@settings(max_examples=50)
@given(
    sizes=st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abc")), max_size=40),
    batch_size=st.integers(1, 9),
    max_tokens=st.integers(1, 200),
)
def test_batches_hold_every_window_once_within_their_limits(
    sizes: Sequence[tuple[int, str]], batch_size: int, max_tokens: int
) -> None:
    windows = [
        EncodedWindow([0] * (2 * words + 2), [], task, ((0,),) * words, Window(0, words))
        for words, task in sizes
    ]
    found = list(_batches(windows, batch_size, max_tokens))
    assert sorted(i for batch in found for i in batch) == list(range(len(windows)))
    for batch in found:
        assert 1 <= len(batch) <= batch_size
        widest = max(len(windows[i].source) for i in batch)
        assert len(batch) == 1 or len(batch) * widest <= max_tokens
