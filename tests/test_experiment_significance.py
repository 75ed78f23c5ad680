"""The paired bootstrap, against resampling written out and against what must hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from hyperloader.experiments.significance import Counts, paired_bootstrap, span_counts
from hyperloader.tags import spans_to_bio
from hyperloader.types import Span


def counts(sentences: int, quality: float, seed: int) -> tuple[Counts, Counts]:
    """Two systems of the given difference in quality on the same made-up gold spans."""
    random = np.random.default_rng(seed)
    gold = random.integers(0, 4, sentences)
    systems = []
    for right in (0.7 + quality, 0.7):
        hits = random.binomial(gold, right)
        systems.append(np.stack([hits, hits + random.integers(0, 2, sentences), gold], axis=1))
    return systems[0], systems[1]


def f1(rows: Counts) -> float:
    correct, predicted, gold = rows.sum(0)
    return 2 * correct / (predicted + gold)


@pytest.mark.parametrize("quality", [0.0, 0.04, 0.2])
def test_against_resampling_written_out(quality: float) -> None:
    corpora = [counts(120, quality, 1), counts(60, quality, 2)]
    found = paired_bootstrap(*zip(*corpora, strict=True))
    random = np.random.default_rng(5)
    drawn = []
    for _ in range(3000):
        differences = []
        for ours, theirs in corpora:
            chosen = random.integers(0, len(ours), len(ours))
            differences.append(f1(ours[chosen]) - f1(theirs[chosen]))
        drawn.append(np.mean(differences))
    assert found.value == pytest.approx(np.mean([f1(a) - f1(b) for a, b in corpora]))
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.006)
    p = 2 * min(np.mean(np.array(drawn) <= 0), np.mean(np.array(drawn) >= 0))
    assert found.p == pytest.approx(min(1.0, p), abs=0.04)


def test_a_large_difference_is_significant_and_none_is_not() -> None:
    better, worse = counts(400, 0.2, 3)
    assert paired_bootstrap([better], [worse]).significant
    same = paired_bootstrap([worse], [worse])
    assert (same.value, same.p, same.significant) == (0.0, 1.0, False)


def test_a_true_null_is_called_significant_about_one_time_in_twenty() -> None:
    wrong = sum(
        paired_bootstrap(*([each] for each in counts(200, 0.0, seed)), resamples=500).significant
        for seed in range(100)
    )
    assert wrong <= 12  # 5 are expected; more than 12 come once in a thousand such tests


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-0.3, 0.25))
def test_exchanging_the_systems_turns_the_difference_around(seed: int, quality: float) -> None:
    first, second = counts(30, quality, seed)
    one = paired_bootstrap([first], [second], resamples=400)
    other = paired_bootstrap([second], [first], resamples=400)
    assert one.value == pytest.approx(-other.value)
    assert one.low <= one.high
    assert 0 < one.p <= 1
    # The draws are others, so p agrees as two samples of 400 do.
    assert one.p == pytest.approx(other.p, abs=0.2)


def test_counts_give_seqevals_f1() -> None:
    random = np.random.default_rng(0)

    def sentence() -> tuple[Span, ...]:
        starts = sorted(random.choice(10, size=random.integers(0, 5), replace=False).tolist())
        return tuple(Span(s, s + 1, "ab"[random.integers(2)]) for s in starts)

    gold, guess = ([sentence() for _ in range(50)] for _ in range(2))
    # A tagger writes a B before each of its spans, so neighbours stay apart in both.
    tags = [[spans_to_bio(spans, 11) for spans in side] for side in (gold, guess)]
    assert f1(span_counts(gold, guess)) == pytest.approx(f1_score(*tags))
