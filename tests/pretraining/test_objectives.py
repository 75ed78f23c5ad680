"""What pre-training hides can be put together again, exactly, and in T5's own amounts."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import tiny_codec, tiny_tokenizer
from hyperloader.errors import ConfigError
from hyperloader.pretraining.batches import Corruption
from hyperloader.pretraining.objectives import (
    Ids,
    Symbols,
    Words,
    copy_words,
    corrupt_spans,
    hide_words,
    noise_counts,
    padded,
    pick_words,
    segment_length,
    shuffle_words,
    split_words,
)
from hyperloader.pretraining.recipe import ObjectivesSection

SENTINELS = np.arange(999, 899, -1)  # reversed, as in T5's vocabulary
# Of the ids 10-99, those below 40 begin a word; O takes two pieces.
SYMBOLS = Symbols(SENTINELS, outside=(11, 60), eos=1, pad=0, begins=np.arange(1000) < 40)

seeds = st.integers(0, 2**32 - 1)
texts = st.lists(st.integers(10, 99), min_size=1, max_size=120).map(np.array)
worded = st.lists(
    st.tuples(st.integers(10, 39), st.lists(st.integers(40, 99), max_size=3)).map(
        lambda word: [word[0], *word[1]]
    ),
    min_size=1,
    max_size=99,
)


def as_words(words: list[list[int]]) -> Words:
    lengths = np.array([len(word) for word in words])
    return Words(np.array([i for word in words for i in word]), np.cumsum(lengths) - lengths)


def parts(ids: Ids) -> dict[int, list[int]]:
    """What stands after each sentinel of a sequence that ends in </s>."""
    *body, end = ids.tolist()
    assert end == SYMBOLS.eos
    found: dict[int, list[int]] = {-1: []}
    last = -1
    for token in body:
        if token in SENTINELS:
            last = token
            assert last not in found, "a sentinel occurs twice"
            found[last] = []
        else:
            found[last].append(token)
    return found


def restored_spans(source: Ids, target: Ids) -> list[int]:
    answers = parts(target)
    assert answers.pop(-1) == []
    whole: list[int] = []
    for token in source[:-1].tolist():
        whole += answers.pop(token) if token in SENTINELS else [token]
    assert not answers, "an answer without a question"
    return whole


def restored_words(source: Ids, target: Ids) -> list[list[int]]:
    shown, answers = parts(source), parts(target)
    assert list(shown) == list(answers)
    *slots, last = [slot for slot in shown if slot != -1]
    assert shown[last] == answers[last] == shown[-1] == answers[-1] == []
    return [shown[slot] or answers[slot] for slot in slots]


@pytest.mark.parametrize(("source", "expected"), [(512, (568, 114)), (256, (284, 58))])
def test_lengths_are_those_of_t5(source: int, expected: tuple[int, int]) -> None:
    """568 and 114 are what T5's published configuration gives for 512 (15%, spans of 3)."""
    assert segment_length(source, 0.15, 3.0) == expected


@pytest.mark.parametrize(
    ("length", "expected"), [(0, (0, 0)), (1, (0, 0)), (2, (1, 1)), (100, (15, 5)), (568, (85, 28))]
)
def test_noise_counts(length: int, expected: tuple[int, int]) -> None:
    assert noise_counts(length, 0.15, 3.0) == expected


@given(texts, seeds, st.floats(0.05, 0.55), st.floats(1, 8), st.integers(0, 30))
def test_spans_restore_the_text(
    ids: Ids, seed: int, noise: float, mean_span: float, first: int
) -> None:
    random = np.random.default_rng(seed)
    pair = corrupt_spans(ids, SYMBOLS, random, noise=noise, mean_span=mean_span, first=first)
    assert restored_spans(pair.source, pair.target) == ids.tolist()
    hidden, spans = noise_counts(len(ids), noise, mean_span)
    used = [i for i in pair.source if i in SENTINELS]
    assert used == SENTINELS[first : first + spans].tolist()
    assert len(pair.target) == hidden + spans + 1
    assert len(pair.source) == len(ids) - hidden + spans + 1
    assert all(len(run) >= 1 for key, run in parts(pair.target).items() if key != -1)


def test_every_place_but_the_first_is_sometimes_hidden() -> None:
    ids = np.arange(10, 100)
    hidden: Counter[int] = Counter()
    for seed in range(400):
        pair = corrupt_spans(ids, SYMBOLS, np.random.default_rng(seed))
        hidden.update(i for i in pair.target.tolist() if i < 100)
    assert hidden[10] == 0
    assert set(hidden) == {SYMBOLS.eos, *range(11, 100)}
    # Spans have random lengths, not only the mean one.
    lengths = Counter(
        len(run)
        for seed in range(100)
        for run in parts(
            corrupt_spans(ids, SYMBOLS, np.random.default_rng(seed), noise=0.3).target
        ).values()
    )
    assert {1, 2, 3, 4} <= set(lengths)


def test_too_few_sentinels_is_said() -> None:
    with pytest.raises(ValueError, match="more than there are"):
        corrupt_spans(np.arange(10, 90), SYMBOLS, np.random.default_rng(0), first=99)
    with pytest.raises(ValueError, match="more than there are"):
        copy_words(as_words([[10]] * 100), SYMBOLS)
    with pytest.raises(ConfigError, match=r"hidden spans.*lower objectives.source_tokens"):
        Corruption(SYMBOLS, ObjectivesSection(source_tokens=2048))


@given(worded, seeds, st.floats(0.01, 0.99))
def test_hidden_words_restore_the_text(words: list[list[int]], seed: int, share: float) -> None:
    pair = hide_words(as_words(words), SYMBOLS, np.random.default_rng(seed), share=share)
    assert restored_words(pair.source, pair.target) == words
    shown, answers = parts(pair.source), parts(pair.target)
    slots = [slot for slot in shown if slot != -1][:-1]
    assert slots == SENTINELS[: len(words)].tolist()
    hidden = [i for i, slot in enumerate(slots) if not shown[slot]]
    assert len(hidden) == max(round(len(words) * share), 1)
    for i, slot in enumerate(slots):
        assert answers[slot] == (words[i] if i in hidden else list(SYMBOLS.outside))


@given(worded, seeds, st.floats(0.01, 0.99), st.floats(0, 1), st.booleans())
def test_swapped_words_are_asked_for_where_they_belong(
    words: list[list[int]], seed: int, share: float, swapped: float, restore: bool
) -> None:
    pair = hide_words(
        as_words(words),
        SYMBOLS,
        np.random.default_rng(seed),
        share=share,
        swapped=swapped,
        restore=restore,
    )
    slots = SENTINELS[: len(words)].tolist()
    shown, answers = parts(pair.source), parts(pair.target)
    hidden = max(round(len(words) * share), 1)
    moved = round(hidden * swapped) if round(hidden * swapped) > 1 else 0
    empty = [i for i, slot in enumerate(slots) if not shown[slot]]
    assert len(empty) == hidden - moved
    # The words that are shown are those of the text, each once, whatever their places.
    rest = [word for i, word in enumerate(words) if i not in empty]
    assert Counter(tuple(shown[s]) for s in slots if shown[s]) == Counter(map(tuple, rest))
    untouched = [i for i, slot in enumerate(slots) if shown[slot] == words[i]]
    assert len(untouched) >= len(words) - hidden
    outside = list(SYMBOLS.outside)
    asked = [slot for i, slot in enumerate(slots) if answers[slot] == words[i] != outside]
    if restore:
        assert len(asked) == sum(word != outside for word in words)
    else:
        assert len(asked) <= hidden
        assert all(answers[s] == outside for s in slots if s not in asked)
        wrong = [s for i, s in enumerate(slots) if shown[s] != words[i] != outside]
        assert set(wrong) <= set(asked)


@given(worded, seeds)
def test_copying_asks_for_every_word(words: list[list[int]], seed: int) -> None:
    pair = copy_words(as_words(words), SYMBOLS)
    assert restored_words(pair.source, pair.target) == words
    assert (pair.source == pair.target).all()
    mixed = shuffle_words(as_words(words), np.random.default_rng(seed))
    order = [list(w) for w in np.split(mixed.ids, mixed.starts[1:])]
    assert Counter(map(tuple, order)) == Counter(map(tuple, words))


@given(worded, st.lists(st.integers(40, 99), max_size=4))
def test_words_are_split_at_their_beginnings(words: list[list[int]], stray: list[int]) -> None:
    """The tail of a word that was cut off is left out, nothing else is."""
    ids = np.array([*stray, *(i for word in words for i in word)])
    found = split_words(ids, SYMBOLS)
    assert [list(w) for w in np.split(found.ids, found.starts[1:])] == words


def test_text_without_any_beginning_is_one_word() -> None:
    found = split_words(np.array([50, 51]), SYMBOLS)
    assert (found.ids.tolist(), found.starts.tolist()) == ([50, 51], [0])


@given(worded, seeds, st.integers(16, 200))
def test_picked_words_are_neighbours_and_fit(words: list[list[int]], seed: int, room: int) -> None:
    picked = pick_words(as_words(words), SYMBOLS, np.random.default_rng(seed), room)
    chosen = [list(w) for w in np.split(picked.ids, picked.starts[1:])]
    assert any(words[i : i + len(chosen)] == chosen for i in range(len(words)))
    costs = [max(len(word), len(SYMBOLS.outside)) + 1 for word in words]
    pair = copy_words(picked, SYMBOLS)
    assert len(pair.source) <= room
    if sum(costs) + 2 <= room and len(words) < len(SENTINELS):
        assert chosen == words  # everything fits, so everything is taken


def test_every_word_is_picked_sometimes() -> None:
    words = as_words([[10 + i % 30, 40 + i] for i in range(50)])
    seen: Counter[int] = Counter()
    for seed in range(200):
        picked = pick_words(words, SYMBOLS, np.random.default_rng(seed), 40)
        seen.update(i - 40 for i in picked.ids.tolist() if i >= 40)
    assert set(seen) == set(range(50))


def test_a_word_that_does_not_fit_is_cut() -> None:
    long = as_words([[10, *[50] * 300]])
    picked = pick_words(long, SYMBOLS, np.random.default_rng(0), 32)
    assert len(copy_words(picked, SYMBOLS).source) == 32


@given(texts, seeds, st.sampled_from(["spans", "words", "copy"]), st.booleans())
def test_pairs_fit_their_shape(ids: Ids, seed: int, objective: str, shuffled: bool) -> None:
    corruption = Corruption(SYMBOLS, ObjectivesSection(source_tokens=64, random_first=0.5))
    ids = ids[: corruption.segment]
    random = np.random.default_rng(seed)
    pair = corruption.pair(objective, ids, random, shuffled=shuffled)  # type: ignore[arg-type]
    batch = corruption.batch(objective, [pair, pair])  # type: ignore[arg-type]
    width = corruption.span_target if objective == "spans" else 64
    assert batch.source.shape == (2, 64)
    assert batch.target.shape == (2, width)
    assert batch.source[0, : len(pair.source)].tolist() == pair.source.tolist()
    assert (batch.source[0, len(pair.source) :] == SYMBOLS.pad).all()


def test_full_segments_need_no_padding_and_train_every_sentinel() -> None:
    corruption = Corruption(SYMBOLS, ObjectivesSection(source_tokens=64))
    used: Counter[int] = Counter()
    ids = np.arange(corruption.segment) % 90 + 10
    for seed in range(300):
        pair = corruption.pair("spans", ids, np.random.default_rng(seed))
        assert (len(pair.source), len(pair.target)) == (64, corruption.span_target)
        used.update(i for i in pair.source.tolist() if i in SENTINELS)
    assert set(used) == set(SENTINELS.tolist())


def test_padding_never_cuts() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        padded([np.arange(5)], 4, 0)


def test_the_layout_is_the_taggers() -> None:
    """A copied text is what the tagger's codec makes of the same words."""
    codec, tokenizer = tiny_codec(), tiny_tokenizer()
    symbols = Symbols.of(tokenizer)
    words = ["play", "the", "<extra_id_3>", "song", "O", "that", "İ", "like", "東京"]
    ids = np.array([i for word in codec.pieces(words) for i in word])
    made = copy_words(split_words(ids, symbols), symbols)
    assert made.source.tolist() == codec.encode_source(words)
    assert symbols.outside == codec.tag_ids["one"]["O"]
