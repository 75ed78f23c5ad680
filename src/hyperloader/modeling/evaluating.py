"""Evaluation mode as a block, safe in threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

_lock = threading.Lock()
_inside: "WeakKeyDictionary[nn.Module, tuple[int, bool]]" = WeakKeyDictionary()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """``model`` in evaluation mode inside the block.

    Blocks may be nested and entered by several threads; the mode that the first of them found
    comes back when the last one leaves.
    """
    with _lock:
        count, training = _inside.get(model, (0, model.training))
        _inside[model] = (count + 1, training)
        if model.training:
            model.eval()
    try:
        yield
    finally:
        with _lock:
            count, training = _inside.pop(model)
            if count > 1:
                _inside[model] = (count - 1, training)
            elif training:
                model.train()
