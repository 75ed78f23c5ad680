"""The weights in force: how weights from a source reach the hooks inside the backbone.

A thread-local holder, because it is the one carrier that is safe with two threads and that
torch.compile traces without a graph break (it cannot trace a ContextVar).

Weights that depend on the input join those in force when the encoder has run (see
:mod:`hyperloader.modeling.inject`). So whoever runs the encoder and then the decoder inside one
``with use(…)`` block need not know which kind a method has.
"""

import threading
from typing import Any, TypeAlias

from torch import Tensor

from hyperloader.modeling.layers import ModuleWeights
from hyperloader.modeling.sites import Site

SiteWeights: TypeAlias = dict[Site, ModuleWeights]

_local = threading.local()


def current() -> SiteWeights | None:
    """The weights of the enclosing :class:`use`, or None outside of any."""
    return getattr(_local, "weights", None)


class use:
    """Put ``weights`` in force for the backbone's forward passes of this thread.

    It may be entered again: a block is recomputed once for every backward pass through it.
    """

    def __init__(self, weights: SiteWeights | None) -> None:
        self._weights = weights
        self._before: list[SiteWeights | None] = []

    def __enter__(self) -> None:
        self._before.append(current())
        _local.weights = self._weights

    def __exit__(self, *_: object) -> None:
        _local.weights = self._before.pop()


def join(more: SiteWeights) -> None:
    """Let ``more`` be in force too, until the end of the enclosing :class:`use`.

    The dictionary in force is replaced, never changed: it may be a cached one, or one that a
    checkpointed block of an earlier pass will be computed again with.
    """
    _local.weights = {**(current() or {}), **more}


def narrow(row: Tensor) -> use:
    """A block in which row i of the batch is row ``row[i]`` of the batch so far.

    For a decoder that goes on with some rows only, or with other ones first: weights that differ
    between rows follow, shared ones stay.
    """
    return use(of_rows(current() or {}, row))


def of_rows(weights: SiteWeights, row: Tensor) -> SiteWeights:
    """Weights with leading dimension len(row): those of entry ``row[i]`` for batch row i.

    Those that the whole batch shares (leading dimension 1) stay as they are.
    """

    def pick(part: Tensor | None) -> Any:
        return part if part is None or part.shape[0] == 1 else part[row]

    return {site: type(w)(*map(pick, w)) for site, w in weights.items()}


def checkpoint_contexts():  # type: ignore[no-untyped-def]
    """``context_fn`` of torch.utils.checkpoint.

    The backward pass recomputes a block later and perhaps in another thread, when no
    :class:`use` encloses it: hand it the weights that were in force in the forward pass.
    """
    weights = current()
    return use(weights), use(weights)
