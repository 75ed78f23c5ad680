"""The weights in force: how generated weights reach the hooks inside the backbone.

A thread-local holder, because it is the one carrier that is safe with two threads and that
torch.compile traces without a graph break (it cannot trace a ContextVar).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from hyperloader.modeling.layers import ModuleWeights
from hyperloader.modeling.sites import Site

SiteWeights: TypeAlias = dict[Site, ModuleWeights]

_local = threading.local()


def current() -> SiteWeights | None:
    """The weights of the enclosing :func:`use`, or None outside of any."""
    return getattr(_local, "weights", None)


@contextmanager
def use(weights: SiteWeights | None) -> Iterator[None]:
    """Put ``weights`` in force for the backbone's forward passes of this thread."""
    before = current()
    _local.weights = weights
    try:
        yield
    finally:
        _local.weights = before


def checkpoint_contexts():  # type: ignore[no-untyped-def]
    """``context_fn`` of torch.utils.checkpoint.

    The backward pass recomputes a block later and perhaps in another thread, when no
    :func:`use` encloses it: hand it the weights that were in force in the forward pass.
    """
    weights = current()
    return use(weights), use(weights)
