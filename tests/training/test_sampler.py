"""The task sampler: the published probabilities, whole epochs, and exact resuming."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.training.sampler import TaskSampler

# Training sentences of the seven corpora and the sampling shares that the published code logs.
SIZES = {
    "mtod": 30_521,
    "mtop": 15_667,
    "snips": 13_084,
    "movie": 8_797,
    "movie_trivia": 7_034,
    "restaurant": 6_894,
    "atis": 4_478,
}
SHARES = [0.159, 0.149, 0.146, 0.140, 0.137, 0.137, 0.131]


def test_the_probabilities_are_the_published_ones() -> None:
    sampler = TaskSampler(SIZES, batch_size=32, temperature=10)
    assert np.round(sampler.probabilities, 3).tolist() == SHARES
    assert sampler.probabilities.sum() == pytest.approx(1)


def test_temperature_one_is_proportional_and_extreme_ones_do_not_overflow() -> None:
    total = sum(SIZES.values())
    shares = TaskSampler(SIZES, batch_size=1, temperature=1).probabilities
    assert shares == pytest.approx([size / total for size in SIZES.values()])
    assert TaskSampler(SIZES, batch_size=1, temperature=1e9).probabilities == pytest.approx(1 / 7)
    assert TaskSampler(SIZES, batch_size=1, temperature=1e-3).probabilities[0] == 1


@pytest.mark.parametrize("mixed", [False, True])
def test_tasks_are_drawn_with_their_probabilities(mixed: bool) -> None:
    sampler = TaskSampler(SIZES, batch_size=8, mixed=mixed, replacement=True)
    steps = 8_000 if not mixed else 1_000
    rows = [task for n in range(1, steps + 1) for task, _ in sampler.step(n)[:: 1 if mixed else 8]]
    counts = Counter(rows)
    for task, share in zip(SIZES, SHARES, strict=True):
        # Five standard deviations of a share drawn 8,000 times.
        deviation = (share * (1 - share) / 8_000) ** 0.5
        assert abs(counts[task] / len(rows) - share) < 5 * deviation


def test_a_batch_shares_a_task_unless_mixed() -> None:
    single = TaskSampler(SIZES, batch_size=16)
    assert all(len({task for task, _ in single.step(n)}) == 1 for n in range(1, 50))
    mixed = TaskSampler(SIZES, batch_size=16, mixed=True)
    assert np.mean([len({task for task, _ in mixed.step(n)}) for n in range(1, 50)]) > 4


sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 12), min_size=1)


@given(sizes=sizes, batch=st.integers(1, 7), mixed=st.booleans(), seed=st.integers(0, 5))
def test_every_sentence_comes_once_an_epoch(
    sizes: dict[str, int], batch: int, mixed: bool, seed: int
) -> None:
    sampler = TaskSampler(sizes, batch_size=batch, mixed=mixed, seed=seed)
    drawn: dict[str, list[int]] = {task: [] for task in sizes}
    for number in range(1, 30):
        draws = sampler.step(number)
        assert len(draws) == batch
        for task, index in draws:
            drawn[task].append(index)
    for task, indices in drawn.items():
        size = sizes[task]
        for start in range(0, len(indices) - size + 1, size):
            assert sorted(indices[start : start + size]) == list(range(size))


def test_epochs_come_in_different_orders() -> None:
    sampler = TaskSampler({"a": 50}, batch_size=50)
    orders = [tuple(index for _, index in sampler.step(n)) for n in range(1, 6)]
    assert len(set(orders)) == 5
    other = TaskSampler({"a": 50}, batch_size=50, seed=7)
    assert tuple(index for _, index in other.step(1)) not in orders


@given(
    sizes=sizes,
    mixed=st.booleans(),
    replacement=st.booleans(),
    stop=st.integers(0, 20),
)
def test_a_restored_sampler_goes_on_with_the_same_sequence(
    sizes: dict[str, int], mixed: bool, replacement: bool, stop: int
) -> None:
    def make() -> TaskSampler:
        return TaskSampler(sizes, batch_size=5, mixed=mixed, replacement=replacement)

    whole, first, second = make(), make(), make()
    expected = [whole.step(n) for n in range(1, 41)]
    begun = [first.step(n) for n in range(1, stop + 1)]
    second.restore(first.state())
    assert begun + [second.step(n) for n in range(stop + 1, 41)] == expected


def test_replacement_draws_some_sentences_twice_and_all_in_the_end() -> None:
    sampler = TaskSampler({"a": 20}, batch_size=20, replacement=True)
    first = [index for _, index in sampler.step(1)]
    assert len(set(first)) < 20
    seen = {index for n in range(2, 30) for _, index in sampler.step(n)}
    assert seen == set(range(20))
