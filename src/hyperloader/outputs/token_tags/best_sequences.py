"""The k best sequences of BIO tags that are valid, exactly, in O(k labels) for a word.

The Viterbi search of :mod:`~hyperloader.outputs.token_tags.chain` with k paths for every tag in
place of one. A path that goes on with O or a B may have ended in any tag, so all of these choose
among the same k paths; one that goes on with I-x among those that ended in B-x or I-x.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Places: TypeAlias = npt.NDArray[np.int64]


def best_sequences(logits: Floats, count: int) -> list[tuple[list[int], float]]:
    """The ``count`` valid sequences with the highest scores, best first, or all where they are
    fewer; each with its score.

    Args:
        logits: (words, T) of one sentence of at least one word, finite or minus infinity.
    """
    words, tags = logits.shape
    count = min(count, tags**words)
    scores = np.full((tags, count), -np.inf)  # of the best paths that end in each tag
    scores[0, 0], scores[1::2, 0] = logits[0, 0], logits[0, 1::2]
    # The places of the paths that may go on with I-x: those of B-x stand before those of I-x.
    going = np.arange(count, tags * count).reshape(-1, 2 * count)
    before: list[Places] = []  # where, in the scores of the word before, every path comes from
    for word in range(1, words):
        flat = scores.ravel()
        came = np.tile(_top(flat, count), (tags, 1))
        came[2::2] = np.take_along_axis(going, _top(flat[going], count), axis=-1)
        scores = flat[came] + logits[word, :, None]
        before.append(came)
    flat = scores.ravel()
    ends = [place for place in _top(flat, count).tolist() if np.isfinite(flat[place])]
    return [(_walk_back(place, before, count), float(flat[place])) for place in ends]


def _top(values: Floats, count: int) -> Places:
    """The places of the ``count`` largest numbers of the last axis, largest first."""
    some = np.argpartition(-values, count - 1, axis=-1)[..., :count]
    order = np.argsort(-np.take_along_axis(values, some, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(some, order, axis=-1)


def _walk_back(place: int, before: list[Places], count: int) -> list[int]:
    """The tags of the path that ends at ``place``, which counts the paths of all tags."""
    tags = [place // count]
    for came in reversed(before):
        place = int(came[place // count, place % count])
        tags.append(place // count)
    return tags[::-1]
