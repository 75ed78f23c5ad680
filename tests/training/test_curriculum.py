"""Easy first: the pool grows as published, tasks and sentences come in order, nothing is lost."""

import json
import math
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyperloader.codec.windows import EncodedWindow, Window
from hyperloader.corpora.registry import load_corpora
from hyperloader.errors import ConfigError
from hyperloader.training.curriculum import Curriculum, Order, Pacing, length_order, loss_order
from hyperloader.training.sampler import TaskSampler, build_sampler
from hyperloader.training.setup import build, encode, select_data
from training_helpers import (
    cli,
    in_process,
    log,
    make_trainer,
    recipe,
    run_main,
    settings,
    write_data,
)


def pools(order: Order, pacing: Pacing, steps: int) -> list[dict[str, list[int]]]:
    """What each step may draw, everything written out."""
    curriculum = Curriculum(order, pacing)
    found = [curriculum.pool(step) for step in range(1, steps + 1)]
    return [
        {task: list(map(int, mine)) for task, mine in (order if pool is None else pool).items()}
        for pool in found
    ]


def test_the_share_grows_as_the_square_root() -> None:
    pacing = Pacing(start=0.01, steps=100)
    # Platanios et al. 2019, equation 8: c(t) = min(1, sqrt(t (1 - c0^2) / T + c0^2)).
    for t in range(0, 130):
        expected = min(1.0, math.sqrt(t * (1 - 0.01**2) / 100 + 0.01**2))
        assert pacing.share(t + 1) == pytest.approx(expected)
    late = Pacing(start=0.01, steps=100, after=7)
    assert [late.share(step) for step in range(1, 8)] == [1.0] * 7
    assert [late.share(step + 7) for step in range(1, 120)] == [
        pacing.share(step) for step in range(1, 120)
    ]


orders = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 30), min_size=1).map(
    lambda sizes: {task: list(range(size))[::-1] for task, size in sizes.items()}
)


@given(order=orders, start=st.floats(0.01, 1), steps=st.integers(1, 40), after=st.integers(0, 5))
def test_the_pool_only_grows_easiest_first_until_it_is_everything(
    order: Order, start: float, steps: int, after: int
) -> None:
    pacing = Pacing(start, steps, after)
    grown = pools(order, pacing, after + steps + 3)
    assert grown[:after] == [order] * after, "nothing is left out before it begins"
    assert grown[after + steps :] == [order] * 3, "nor after its end"
    for before, now in zip(grown[after:], grown[after + 1 :], strict=False):
        assert list(now)[: len(before)] == list(before)
        assert all(now[task][: len(mine)] == mine for task, mine in before.items())
    for step, pool in enumerate(grown[after : after + steps], start=after + 1):
        share = pacing.share(step)
        assert list(pool) == list(order)[: math.ceil(share * len(order))]
        for task, mine in pool.items():
            assert mine == order[task][: math.ceil(share * len(order[task]))] != []


def sampler_of(order: Order, *, replacement: bool = False, mixed: bool = True) -> TaskSampler:
    sizes = {task: len(order[task]) for task in sorted(order)}
    made = TaskSampler(sizes, batch_size=64, mixed=mixed, replacement=replacement)
    made.curriculum = Curriculum(order, Pacing(0.1, 20, after=2))
    return made


ORDER: Order = {"b": list(range(9, -1, -1)), "a": list(range(40)), "c": list(range(20))}


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("replacement", [False, True])
def test_batches_stay_in_the_pool_and_reach_all_of_it(mixed: bool, replacement: bool) -> None:
    sampler = sampler_of(ORDER, replacement=replacement, mixed=mixed)
    allowed = pools(ORDER, Pacing(0.1, 20, after=2), 60)
    seen: dict[str, set[int]] = {task: set() for task in ORDER}
    for step in range(1, 61):
        draws = sampler.step(step)
        assert len(draws) == 64
        assert {task for task, _ in draws} <= allowed[step - 1].keys()
        assert all(index in allowed[step - 1][task] for task, index in draws)
        if step == 3:
            assert set(draws) == {("b", 9)}, "the easiest tenth of the easiest task"
        if step > 22:
            for task, index in draws:
                seen[task].add(index)
    assert {task: len(found) for task, found in seen.items()} == {"a": 40, "b": 10, "c": 20}


def test_tasks_in_the_pool_keep_their_weights() -> None:
    sizes = {"a": 1000, "b": 10, "c": 100}
    order: Order = {task: list(range(sizes[task])) for task in ("b", "a", "c")}
    sampler = TaskSampler(sizes, batch_size=20_000, mixed=True, temperature=2)
    sampler.curriculum = Curriculum(order, Pacing(0.5, 10))  # the two easiest of three
    drawn = [task for task, _ in sampler.step(1)]
    share = 1000**0.5 / (1000**0.5 + 10**0.5)
    assert drawn.count("a") / len(drawn) == pytest.approx(share, abs=0.015)
    assert drawn.count("c") == 0
    extreme = TaskSampler(sizes, batch_size=5, temperature=1e-3)
    extreme.curriculum = Curriculum(order, Pacing(0.1, 10))
    assert {task for task, _ in extreme.step(1)} == {"b"}, "though the largest would take all"


def test_epochs_go_on_where_they_were_when_the_pool_is_everything() -> None:
    sampler = sampler_of(ORDER)
    without = TaskSampler(sampler.sizes, batch_size=64, mixed=True)
    first = [sampler.step(step) for step in (1, 2)]
    assert first == [without.step(step) for step in (1, 2)]
    before = sampler.state()
    for step in range(3, 23):
        sampler.step(step)
    assert sampler.state() == before
    assert [sampler.step(n) for n in (23, 24)] == [without.step(n) for n in (23, 24)]


@given(stop=st.integers(0, 30), replacement=st.booleans(), mixed=st.booleans())
def test_a_restored_sampler_goes_on_with_the_same_sequence(
    stop: int, replacement: bool, mixed: bool
) -> None:
    whole, second = (sampler_of(ORDER, replacement=replacement, mixed=mixed) for _ in "ab")
    expected = [whole.step(n) for n in range(1, 41)]
    first = sampler_of(ORDER, replacement=replacement, mixed=mixed)
    begun = [first.step(n) for n in range(1, stop + 1)]
    second.restore(first.state())
    # As a checkpoint stores it.
    stored = json.loads(json.dumps(ORDER))
    second.curriculum = Curriculum(stored, Pacing(0.1, 20, after=2))
    assert begun + [second.step(n) for n in range(stop + 1, 41)] == expected


def window(words: int, task: str = "a") -> EncodedWindow:
    return EncodedWindow([1], [1], task, ((1,),) * words, Window(0, words))


def test_short_sentences_first_and_equals_not_in_the_order_of_their_file() -> None:
    lengths = [5, 2, 9, 2, 7]
    windows = {"long": [window(20)], "mine": [window(n) for n in lengths]}
    order = length_order(windows, seed=1)
    assert list(order) == ["mine", "long"]
    assert [lengths[i] for i in order["mine"]] == sorted(lengths)
    equal = {"a": [window(3) for _ in range(50)]}
    drawn = {tuple(length_order(equal, seed)["a"]) for seed in (1, 2, 2)}
    assert len(drawn) == 2
    assert tuple(range(50)) not in drawn


@pytest.mark.parametrize("loss", ["decisions", "full"])
def test_easy_sentences_are_those_that_the_model_has_learnt(tmp_path: Path, loss: str) -> None:
    trainer = make_trainer(tmp_path / "r", dropout=0, training={"steps": 1, "loss": loss})
    objective, windows = trainer.objective, trainer.train_windows
    order = loss_order(objective, windows, seed=1, batch_size=5)
    assert objective.training is False
    each = {
        task: [float(objective([w]).detach()) / objective.count([w]) for w in mine]
        for task, mine in windows.items()
    }
    for task, indices in order.items():
        assert sorted(indices) == list(range(len(windows[task])))
        # In batches sums are taken in another order.
        assert [each[task][i] for i in indices] == pytest.approx(sorted(each[task]), rel=1e-4)
    assert list(order) == sorted(each, key=lambda task: np.mean(each[task]))


def _in_steps(run: Path) -> list[set[str]]:
    return [set(entry["tasks"]) for entry in log(run)]


@pytest.mark.parametrize("kind", ["length", "loss"])
def test_training_begins_with_the_easiest_task(tmp_path: Path, kind: str) -> None:
    data = {"curriculum": kind, "curriculum_steps": 20, "curriculum_start": 0.2}
    training = {"steps": 10, "warmup_steps": 2}
    trainer = make_trainer(tmp_path / "r", data=data, training=training)
    assert (trainer.sampler.curriculum is None) == (kind == "loss")
    trainer.train()
    assert trainer.sampler.curriculum is not None
    easiest = next(iter(trainer.sampler.curriculum.order))
    after = 2 if kind == "loss" else 0
    pacing = Pacing(0.2, 20, after)
    for step, tasks in enumerate(_in_steps(tmp_path / "r"), start=1):
        if step > after and pacing.share(step) <= 0.5:
            assert tasks == {easiest}
    assert pacing.share(after + 4) <= 0.5
    assert bool(trainer.state.order) == (kind == "loss")


def test_two_processes_follow_the_order_that_one_found(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    chosen = {"curriculum": "loss", "curriculum_steps": 9}
    options = settings(dropout=0, data=chosen, training={"warmup_steps": 2})
    arguments = ["train", "--data", str(data), *options, "--out"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    both = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    started = [
        in_process(
            run_main,
            [*arguments, str(tmp_path / "two")],
            tmp_path / f"errors.{rank}",
            **{**both, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]
    assert cli(*arguments, tmp_path / "one").code == 0
    one, two = (log(tmp_path / name) for name in ("one", "two"))
    assert [e["tasks"] for e in one] == [e["tasks"] for e in two]
    # A wrong half of a batch would show in its loss.
    assert [e["loss"] for e in one] == pytest.approx([e["loss"] for e in two], rel=1e-3)


def test_the_default_pacing_is_half_of_the_steps_after_the_warm_up() -> None:
    def pacing(**data: Any) -> Pacing:
        return Pacing.of(recipe(data=data, training={"steps": 101, "warmup_steps": 9}))

    assert pacing(curriculum="length") == Pacing(0.1, 51, 0)
    assert pacing(curriculum="loss") == Pacing(0.1, 51, 9)
    chosen = {"curriculum_after": 4, "curriculum_steps": 7, "curriculum_start": 0.5}
    assert pacing(curriculum="loss", **chosen) == Pacing(0.5, 7, 4)
    windows = {"a": [window(3)]}
    late = recipe(data={"curriculum": "loss"}, training={"steps": 5, "warmup_steps": 5})
    with pytest.raises(ConfigError, match=r"begin after step 5 of 5; lower data\.curriculum_after"):
        build_sampler(late, windows)
    assert build_sampler(late.model_copy(update={"data": recipe().data}), windows).sizes == {"a": 1}


def test_the_shortest_real_sentences_come_first(shared: Path) -> None:
    """ATIS and SNIPS: of the first tenth no sentence is longer than any of the rest."""
    corpora = load_corpora(shared / "data" / "labelled", ["atis", "snips"])
    chosen = recipe(data={"fraction": 0.05, "curriculum": "length"})
    selected = select_data(chosen, corpora)
    windows = encode(build(chosen, selected).codec, selected).train
    sampler = build_sampler(chosen, windows)
    assert sampler.curriculum is not None
    pool = sampler.curriculum.pool(1)
    assert pool is not None
    assert list(pool) == ["snips"], "9 words a sentence against 11"
    lengths = [len(e.words) for e in selected["snips"].splits["train"]]
    first = {int(i) for i in pool["snips"]}
    assert len(first) == math.ceil(len(lengths) / 10)
    rest = [n for i, n in enumerate(lengths) if i not in first]
    assert max(lengths[i] for i in first) <= min(rest)
