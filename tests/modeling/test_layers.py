"""Layers as functions of weights: shared, one a row, one for several rows; gates; rows left out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hyperloader.backbones.places import Place, Site
from hyperloader.modeling import active
from hyperloader.modeling.modules.adapter import AdapterWeights, bottleneck
from hyperloader.modeling.modules.kind import ModuleWeights
from hyperloader.modeling.modules.linear import gate, linear, rows_of
from hyperloader.modeling.modules.lora import LoraWeights, lora
from hyperloader.modeling.modules.prefix import PrefixWeights

torch.set_num_threads(1)  # tensors this small are slower on several
WIDTH, RANK, LENGTH = 6, 2, 4


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def adapters(sets: int, norm: bool = True, gated: bool = False) -> AdapterWeights:
    shapes = [(RANK, WIDTH), (RANK,), (WIDTH, RANK), (WIDTH,)]
    parts: list[Tensor | None] = [random(sets, *shape, seed=i) for i, shape in enumerate(shapes)]
    parts += [random(sets, WIDTH, seed=5), random(sets, WIDTH, seed=6)] if norm else [None, None]
    parts += [random(sets, 1, WIDTH, seed=7), random(sets, 1, seed=8)] if gated else [None, None]
    return AdapterWeights(*parts)  # type: ignore[arg-type]


def row(w: ModuleWeights, i: int) -> ModuleWeights:
    return type(w)(*(None if part is None else part[i : i + 1] for part in w))  # type: ignore


@settings(max_examples=30)
@given(sets=st.integers(1, 4), times=st.integers(1, 3), norm=st.booleans(), gated=st.booleans())
def test_row_i_uses_weight_i_and_k_rows_share_one(
    sets: int, times: int, norm: bool, gated: bool
) -> None:
    w = adapters(sets, norm, gated)
    small = LoraWeights(random(sets, RANK, WIDTH), random(sets, WIDTH, RANK), *w[6:])
    x = random(sets * times, LENGTH, WIDTH, seed=9)
    for function, weights in (
        (lambda x, w: bottleneck(x, w, "relu"), w),
        (lambda x, w: lora(x, w, 0.5), small),
    ):
        together = function(x, weights)
        for i in range(sets * times):
            alone = function(x[i : i + 1], row(weights, i // times))
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=1e-5)


def test_they_are_torch_modules() -> None:
    w, x = adapters(1), random(3, LENGTH, WIDTH)
    down, up, norm = nn.Linear(WIDTH, RANK), nn.Linear(RANK, WIDTH), nn.LayerNorm(WIDTH)
    mine = (*down.parameters(), *up.parameters(), *norm.parameters())
    for parameter, given_part in zip(mine, w[:6], strict=True):
        assert given_part is not None
        parameter.data = given_part[0]
    with torch.no_grad():
        expected = norm(up(nn.functional.silu(down(x))))
    torch.testing.assert_close(bottleneck(x, w, "silu"), expected)
    torch.testing.assert_close(linear(x, w.down_weight, w.down_bias), down(x).detach())


def test_a_gate_is_one_number_a_row_and_takes_the_place_of_the_scale() -> None:
    x, weight = random(3, LENGTH, WIDTH), random(1, 1, WIDTH, seed=1)
    share = gate(x, weight, torch.tensor([[0.3]]))
    expected = torch.sigmoid((x * weight[0, 0]).sum(-1) + 0.3).mean(1)
    torch.testing.assert_close(share, expected[:, None, None])
    a, b = random(1, RANK, WIDTH), random(1, WIDTH, RANK, seed=2)
    gated = LoraWeights(a, b, weight, torch.tensor([[0.3]]))
    torch.testing.assert_close(lora(x, gated, 7.0), lora(x, LoraWeights(a, b), 1.0) * share)
    torch.testing.assert_close(lora(x, LoraWeights(a, b), 7.0), 7 * (x @ a[0].T @ b[0].T))
    closed = adapters(1, norm=False, gated=True)._replace(gate_bias=torch.tensor([[-1e4]]))
    assert not bottleneck(x, closed, "relu").any()


@pytest.mark.parametrize(("sets", "batch"), [(2, 3), (3, 2), (4, 6)])
def test_weights_that_do_not_fit_the_batch_are_refused(sets: int, batch: int) -> None:
    message = f"{sets} sets of weights do not fit a batch of {batch} rows"
    with pytest.raises(ValueError, match=message):
        rows_of(random(sets, 2), batch)
    with pytest.raises(ValueError, match=message):
        bottleneck(random(batch, LENGTH, WIDTH), adapters(sets), "relu")


def test_rows_are_picked_and_shared_weights_stay() -> None:
    site, other = Site("encoder", 0, Place.SELF_QUERY), Site("decoder", 1, Place.FEED_FORWARD)
    mixed = PrefixWeights(random(3, 2, WIDTH), random(3, 2, WIDTH, seed=1))
    shared = adapters(1)
    weights: active.SiteWeights = {site: mixed, other: shared}
    picked = active.of_rows(weights, torch.tensor([2, 2, 0, 1]))
    assert picked[other] == shared
    assert torch.equal(picked[site][0], mixed.key[[2, 2, 0, 1]])
    with active.activate(weights):
        with active.activate(active.of_rows(weights, torch.tensor([1]))):
            fewer = active.current()
            assert fewer is not None
            assert torch.equal(fewer[site][1], mixed.value[1:2])
        assert active.current() is weights
        active.add({site: shared})
        assert active.current() == {site: shared, other: shared}
        assert weights[site] is mixed
    assert active.current() is None
