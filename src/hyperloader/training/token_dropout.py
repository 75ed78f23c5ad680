"""Sub-tokens that the model does not get to see in a step, so that it learns from what is around.

Which ones is a function of the seed and the step, as everything random is.
"""

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

import numpy as np

from hyperloader.codec.windows import EncodedWindow

_STREAM = crc32(b"token dropout")


def hide_tokens(
    windows: Sequence[EncodedWindow], share: float, hidden: int, seed: int, step: int
) -> list[EncodedWindow]:
    """``windows`` with a ``share`` of the sub-tokens of their words replaced by ``hidden``.

    Each is drawn by itself. What stands around words (sentinels, marks, a task's name) stays.
    """
    random = np.random.default_rng([seed, step, _STREAM])
    return [_hide(window, share, hidden, random) for window in windows]


def _hide(
    window: EncodedWindow, share: float, hidden: int, random: np.random.Generator
) -> EncodedWindow:
    source = list(window.source)
    for start, ids in zip(window.first, window.pieces, strict=True):
        for place in start + np.flatnonzero(random.random(len(ids)) < share):
            source[place] = hidden
    return replace(window, source=source)
