"""The paired bootstrap, against resampling written out and against what must hold."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score

from hyperloader.errors import HyperloaderError
from hyperloader.experiments.analyse.significance import (
    Difference,
    over_seeds,
    paired_bootstrap,
    resample,
)
from hyperloader.experiments.run.counts import Counts, read_counts, span_counts, write_counts
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


def compare(*corpora: tuple[Counts, Counts], resamples: int = 10_000) -> Difference:
    """The difference between two systems, of each corpus (the counts of one, of the other)."""
    totals = [
        np.split(resample(np.concatenate(pair, axis=1), resamples=resamples, seed=seed), 2, axis=1)
        for seed, pair in enumerate(corpora)
    ]
    return paired_bootstrap(*zip(*totals, strict=True))


@pytest.mark.parametrize("quality", [0.0, 0.04, 0.2])
def test_against_resampling_written_out(quality: float) -> None:
    corpora = [counts(120, quality, 1), counts(60, quality, 2)]
    found = compare(*corpora)
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
    assert compare((better, worse)).significant
    same = compare((worse, worse))
    assert (same.value, same.p, same.significant) == (0.0, 1.0, False)


def test_a_true_null_is_called_significant_about_one_time_in_twenty() -> None:
    wrong = sum(compare(counts(200, 0.0, seed), resamples=500).significant for seed in range(100))
    assert wrong <= 12  # 5 are expected; more than 12 come once in a thousand such tests


@settings(max_examples=25)
@given(st.integers(0, 1000), st.floats(-0.3, 0.25))
def test_exchanging_the_systems_turns_the_difference_around(seed: int, quality: float) -> None:
    first, second = counts(30, quality, seed)
    one = compare((first, second), resamples=400)
    other = compare((second, first), resamples=400)
    assert one.value == pytest.approx(-other.value)
    assert one.low <= one.high
    assert 0 < one.p <= 1
    # The draws are the same, so all else turns around too.
    assert one.p == pytest.approx(other.p)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_counts_give_seqevals_f1() -> None:
    random = np.random.default_rng(0)

    def sentence() -> tuple[Span, ...]:
        starts = sorted(random.choice(10, size=random.integers(0, 5), replace=False).tolist())
        return tuple(Span(s, s + 1, "ab"[random.integers(2)]) for s in starts)

    gold, guess = ([sentence() for _ in range(50)] for _ in range(2))
    # A tagger writes a B before each of its spans, so neighbours stay apart in both.
    tags = [[spans_to_bio(spans, 11) for spans in side] for side in (gold, guess)]
    assert f1(span_counts(gold, guess)) == pytest.approx(f1_score(*tags))


def test_a_t_test_over_seeds_against_published_quantiles() -> None:
    # Student's t, two-sided 5 %: 12.7062 with one degree of freedom, 4.3027 with two.
    two, three = over_seeds([0.01, 0.03]), over_seeds([0.01, 0.02, 0.06])
    assert two is not None
    assert three is not None
    assert two.value == pytest.approx(0.02)
    assert two.high - two.value == pytest.approx(12.7062 * 0.01, rel=1e-4)
    # With one degree of freedom t is Cauchy's: p = 1 - 2 arctan(t) / pi, here t = 2.
    assert two.p == pytest.approx(1 - 2 * np.arctan(2) / np.pi)
    error = np.std([0.01, 0.02, 0.06], ddof=1) / np.sqrt(3)
    assert three.value - three.low == pytest.approx(4.3027 * error, rel=1e-4)
    assert not three.significant


def test_one_seed_says_nothing_about_others() -> None:
    assert over_seeds([0.3]) is None
    assert over_seeds([]) is None


def test_differences_without_spread() -> None:
    always, never = over_seeds([0.02, 0.02]), over_seeds([0.0, 0.0, 0.0])
    assert always is not None
    assert never is not None
    assert (always.low, always.high, always.p) == (0.02, 0.02, 0.0)
    assert (never.value, never.p) == (0.0, 1.0)


def test_over_seeds_a_true_null_is_called_significant_about_one_time_in_twenty() -> None:
    random = np.random.default_rng(0)
    found = [over_seeds(random.normal(0, 0.01, 3).tolist()) for _ in range(1000)]
    assert 25 <= sum(each is not None and each.significant for each in found) <= 80


def test_counts_are_read_as_they_were_written(tmp_path: Path) -> None:
    one, other = counts(40, 0.1, 1)
    many = {
        "a": {"x": one, "y/z": counts(7, 0.1, 2)[0]},
        "b-0.1": {"x": other},
        "c": {"x": 100 * one},  # more than a byte holds
    }
    for kept in (many, {}):
        write_counts(tmp_path / "counts.npz", kept)
        found = read_counts(tmp_path / "counts.npz")
        assert {run: set(each) for run, each in found.items()} == {
            run: set(each) for run, each in kept.items()
        }
        for run, each in kept.items():
            for task, rows in each.items():
                assert np.array_equal(found[run][task], rows)


def test_without_scipy_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(HyperloaderError, match=r"pip install 'hyperloader\[experiments\]'"):
        over_seeds([0.01, 0.03])
