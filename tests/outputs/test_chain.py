"""The search and its probabilities against all sequences of tags, one by one."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.outputs.token_tags.chain import Lattice, gold_score, log_partition


@st.composite
def lattices(draw: st.DrawFn) -> Lattice:
    """Up to three sentences of up to four words, for up to three labels."""
    labels = draw(st.integers(0, 3))
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    seed = draw(st.integers(0, 2**32 - 1))
    scale = draw(st.sampled_from([0.1, 3.0, 100.0]))
    random = np.random.default_rng(seed)
    logits = random.normal(scale=scale, size=(len(lengths), max(lengths), 1 + 2 * labels))
    if labels and draw(st.booleans()):
        logits[0, :, -2:] = -np.inf  # a task with one label fewer
    return Lattice(logits, np.array(lengths))


def is_valid(tags: Sequence[int]) -> bool:
    """Whether every I (an even number) follows the B or the I of its label."""
    pairs = zip((0, *tags), tags, strict=False)
    return all(tag in (0, before, before + before % 2) for before, tag in pairs if tag % 2 == 0)


def sequences(lattice: Lattice, sentence: int) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """All valid sequences of a sentence, and their scores."""
    tags = range(lattice.logits.shape[-1])
    length = int(lattice.lengths[sentence])
    found = [sequence for sequence in itertools.product(tags, repeat=length) if is_valid(sequence)]
    words = range(length)
    scores = [sum(lattice.logits[sentence, w, tags[w]] for w in words) for tags in found]
    return found, np.array(scores)


def spans(tags: Sequence[int]) -> set[tuple[int, int, int]]:
    """Start, end and label of every span, by the plainest reading."""
    found = []
    for word, tag in enumerate(tags):
        if tag % 2:
            found.append((word, word + 1, tag // 2))
        elif tag:
            found[-1] = (found[-1][0], word + 1, found[-1][2])
    return set(found)


@given(lattices())
def test_the_best_sequence_is_valid_and_none_scores_higher(lattice: Lattice) -> None:
    for sentence, best in enumerate(lattice.best()):
        found, scores = sequences(lattice, sentence)
        assert scores[found.index(tuple(best))] == pytest.approx(scores.max(), abs=1e-9)


@given(lattices())
def test_probabilities_are_sums_over_all_sequences(lattice: Lattice) -> None:
    for sentence, length in enumerate(lattice.lengths.tolist()):
        found, scores = sequences(lattice, sentence)
        probability = np.exp(scores - scores.max())
        probability /= probability.sum()
        tags = np.zeros((length, lattice.logits.shape[-1]))
        of_span: dict[tuple[int, int, int], float] = {}
        for sequence, share in zip(found, probability, strict=True):
            tags[np.arange(length), list(sequence)] += share
            for span in spans(sequence):
                of_span[span] = of_span.get(span, 0.0) + share
        np.testing.assert_allclose(lattice.tag_probabilities(sentence), tags, atol=1e-9)
        for (start, end, label), share in of_span.items():
            got = lattice.span_probability(sentence, start, end, label)
            assert got == pytest.approx(share, abs=1e-9)


@given(lattices())
def test_the_loss_normalises_over_the_same_sequences(lattice: Lattice) -> None:
    logits = torch.tensor(lattice.logits, dtype=torch.float32, requires_grad=True)
    lengths = torch.tensor(lattice.lengths)
    expected = [np.logaddexp.reduce(sequences(lattice, k)[1]) for k in range(len(lengths))]
    total = log_partition(logits, lengths)
    np.testing.assert_allclose(total.detach(), expected, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(lattice.log_partition, expected, rtol=1e-6, atol=1e-6)
    # The gradient of the log-partition is the probability of every tag.
    total.sum().backward()
    assert logits.grad is not None
    for sentence, length in enumerate(lattice.lengths.tolist()):
        wanted = lattice.tag_probabilities(sentence)
        np.testing.assert_allclose(logits.grad[sentence, :length], wanted, atol=1e-3)
        assert not logits.grad[sentence, length:].any()


def test_the_score_of_gold_tags_is_the_sum_of_their_logits() -> None:
    logits = torch.arange(18.0).view(2, 3, 3)
    tags = torch.tensor([[0, 1, 2], [2, -100, -100]])
    assert gold_score(logits, tags).tolist() == [0 + 4 + 8, 11]


@given(lattices(), st.integers(1, 40))
def test_the_likeliest_sequences_are_those_of_an_enumeration(lattice: Lattice, count: int) -> None:
    for sentence, best in enumerate(lattice.best()):
        found, scores = sequences(lattice, sentence)
        possible = scores[np.isfinite(scores)]
        expected = np.sort(possible)[::-1][:count]
        likeliest = lattice.likeliest(sentence, count)
        assert len(likeliest) == len(expected) == min(count, len(possible))
        tags = [tuple(tags) for tags, _ in likeliest]
        assert len(set(tags)) == len(tags)
        assert tags[0] == tuple(best) or scores[found.index(tags[0])] == pytest.approx(
            scores[found.index(tuple(best))], abs=1e-9
        )
        assert [scores[found.index(one)] for one in tags] == pytest.approx(expected, abs=1e-9)
        shares = np.exp(possible - possible.max())
        likely = np.sort(shares / shares.sum())[::-1][:count]
        assert [p for _, p in likeliest] == pytest.approx(likely, abs=1e-9)


def test_many_paths_of_a_long_sentence_are_found_at_once() -> None:
    """Of the size of a corpus with eighty labels, against the probabilities of what is in them."""
    random = np.random.default_rng(0)
    lattice = Lattice(random.normal(size=(1, 60, 161)) * 4, np.array([60]))
    likeliest = lattice.likeliest(0, 200)
    probabilities = [p for _, p in likeliest]
    assert len({tuple(tags) for tags, _ in likeliest}) == 200
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(is_valid(tags) for tags, _ in likeliest)
    assert likeliest[0][0] == lattice.best()[0]
    assert sum(probabilities) <= 1
