"""The weights in force: how weights from a source reach the hooks inside the backbone.

A thread-local holder, because it is the one carrier that is safe with two threads and that
torch.compile traces without a graph break (it cannot trace a ContextVar).

Weights that depend on the input join those in force when the encoder has run (see
:mod:`hyperloader.modeling.attach`). So whoever runs the encoder and then the decoder inside one
``with activate(…)`` block need not know which kind a method has.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from hyperloader.backbones.places import Site
from hyperloader.modeling.modules.kind import ModuleWeights

SiteWeights: TypeAlias = dict[Site, ModuleWeights]

_local = threading.local()


class NoActiveWeightsError(RuntimeError):
    """The backbone was run on its own; it would answer as if no task had been asked for."""


class Hook:
    """A hook of ours on a module of the backbone."""


def current() -> SiteWeights | None:
    """The weights of the enclosing :class:`activate`, or None outside of any."""
    return getattr(_local, "weights", None)


def runs() -> list[int] | None:
    """How many consecutive rows each of the sets of weights in force is for.

    None: there is one set for all rows, or one for each.
    """
    return getattr(_local, "runs", None)


class activate:
    """Put ``weights`` in force for the backbone's forward passes of this thread.

    It may be entered again: a block is recomputed once for every backward pass through it.

    Args:
        runs: see :func:`runs`. A set that serves several rows is then used where it is, by a
            product of its own, and not copied for each of them. Without gradients that is faster
            on a CPU; with them it is slower. On a GPU it has not been measured.
    """

    def __init__(self, weights: SiteWeights | None, runs: list[int] | None = None) -> None:
        self._now = weights, runs
        self._before: list[tuple[SiteWeights | None, list[int] | None]] = []

    def __enter__(self) -> None:
        self._before.append((current(), runs()))
        _local.weights, _local.runs = self._now

    def __exit__(self, *_: object) -> None:
        _local.weights, _local.runs = self._before.pop()


def add(more: SiteWeights) -> None:
    """Let ``more`` be in force too, until the end of the enclosing :class:`activate`.

    The dictionary in force is replaced, never changed: it may be a cached one, or one that a
    checkpointed block of an earlier pass will be computed again with.
    """
    _local.weights = {**(current() or {}), **more}


def is_apart() -> bool:
    """Whether this thread is inside of what :func:`apart` has made."""
    return getattr(_local, "apart", False)


def apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, in which hooks leave the modules that they are on as they are."""
    # No closure: a copy of a model must call the methods of the copy.
    return partial(_run_apart, function)


def _run_apart(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    before, _local.apart = is_apart(), True
    try:
        return function(*args, **kwargs)
    finally:
        _local.apart = before


def weights_at(site: Site) -> ModuleWeights:
    """The weights in force at ``site``. Raises NoActiveWeightsError where there are none."""
    weights = current()
    if weights is None:
        raise NoActiveWeightsError(
            "the backbone has generated modules attached and no task is in force: call the "
            "model (with task_ids) instead of its backbone, or wrap the call in model.use(task)"
        )
    here = weights.get(site)
    if here is None:
        raise NoActiveWeightsError(
            f"no weights are in force for {site.place.value} in layer {site.layer} of the "
            f"{site.stack}: they depend on the source text, so run the encoder before the "
            "decoder inside the same model.use(task)"
        )
    return here


def apply_at(site: Site, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """``function`` of the weights in force at ``site`` and of ``inputs`` (batch, …): (batch, …).

    Where sets of weights are for several rows each (:func:`runs`), it is called for each of them.
    """
    here, counts = weights_at(site), runs()
    if counts is None:
        return function(here, *inputs)
    rows = zip(*(x.split(counts) for x in inputs), strict=True)
    return torch.cat(
        [function(one_of(here, k), *parts) for k, parts in enumerate(rows) if len(parts[0])]
    )


def of_rows(weights: SiteWeights, row: Tensor) -> SiteWeights:
    """Weights with leading dimension len(row): those of entry ``row[i]`` for batch row i.

    Those that the whole batch shares (leading dimension 1) stay as they are.
    """

    def pick(part: Tensor | None) -> Any:
        return part if part is None or part.shape[0] == 1 else part[row]

    return {site: type(w)(*map(pick, w)) for site, w in weights.items()}


def one_of(weights: ModuleWeights, k: int) -> ModuleWeights:
    """Set ``k`` of a module's weights, with leading dimension 1; a shared part as it is."""

    def pick(part: Tensor | None) -> Any:
        return part if part is None or part.shape[0] == 1 else part[k : k + 1]

    return type(weights)(*map(pick, weights))


def checkpoint_contexts():  # type: ignore[no-untyped-def]
    """``context_fn`` of torch.utils.checkpoint.

    The backward pass recomputes a block later and perhaps in another thread, when no
    :class:`activate` encloses it: hand it the weights that were in force in the forward pass.
    """
    now = current(), runs()
    return activate(*now), activate(*now)
