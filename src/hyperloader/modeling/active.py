"""The weights in force: how generated weights reach the hooks inside the backbone.

A thread-local holder, because it is the one carrier that is safe with two threads and that
torch.compile traces without a graph break (it cannot trace a ContextVar).
"""

import threading
from typing import TypeAlias

from hyperloader.modeling.layers import ModuleWeights
from hyperloader.modeling.sites import Site

SiteWeights: TypeAlias = dict[Site, ModuleWeights]

_local = threading.local()


def current() -> SiteWeights | None:
    """The weights of the enclosing :func:`use`, or None outside of any."""
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


def checkpoint_contexts():  # type: ignore[no-untyped-def]
    """``context_fn`` of torch.utils.checkpoint.

    The backward pass recomputes a block later and perhaps in another thread, when no
    :func:`use` encloses it: hand it the weights that were in force in the forward pass.
    """
    weights = current()
    return use(weights), use(weights)
