"""Several sentences in a row of a batch, without the padding between them.

Half of a padded batch of tagging sentences is padding. A backbone whose tokens know only their
distances, or that is told every token's position, reads a sentence that may attend to nothing but
itself the same wherever it stands: the loss is that of one sentence a row, for about half of the
work.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hyperloader.codec.batch import MULTIPLE, pad_rows

# Rows have at least one of these lengths in tokens: that which leaves the fewest positions unused.
# With many tasks a short one wins, because the sentences of a row are of one task.
ROOMS = (32, 48, 64, 96)
# Added to the attention of two tokens of different sentences; finite, so that bfloat16 is safe.
FAR = -1e30


def fill(sizes: Sequence[Sequence[int]], tasks: Sequence[str]) -> list[list[int]]:
    """Which windows share a row; those of a row have one task.

    Args:
        sizes: of each window how many tokens it takes in each of a row's sequences (its source,
            say, and its target).
        tasks: of each window.
    """
    tried = [_fill(sizes, tasks, room) for room in ROOMS]
    return min(tried, key=lambda rows: _area(rows, sizes))


def _fill(sizes: Sequence[Sequence[int]], tasks: Sequence[str], room: int) -> list[list[int]]:
    """First fit, longest first, into rows of ``room`` tokens, or more where a window needs more."""
    space = [max(room, *column) for column in zip(*sizes, strict=True)]
    rows: list[list[int]] = []
    left: list[list[int]] = []
    for i in sorted(range(len(sizes)), key=lambda i: -sum(sizes[i])):
        for row, free in zip(rows, left, strict=True):
            fits = all(need <= there for need, there in zip(sizes[i], free, strict=True))
            if fits and tasks[row[0]] == tasks[i]:
                break
        else:
            row, free = [], list(space)
            rows.append(row)
            left.append(free)
        row.append(i)
        free[:] = [there - need for need, there in zip(sizes[i], free, strict=True)]
    return rows


def _area(rows: Sequence[Sequence[int]], sizes: Sequence[Sequence[int]]) -> int:
    """Positions that ``rows`` take, of all their sequences together."""
    longest = [max(sum(sizes[i][k] for i in row) for row in rows) for k in range(len(sizes[0]))]
    return len(rows) * sum(-(-length // MULTIPLE) * MULTIPLE for length in longest)


def joined(rows: Sequence[Sequence[Sequence[int]]], value: int, multiple: int = MULTIPLE) -> Tensor:
    """The parts of every row one after the other, filled up with ``value``; (R, length)."""
    flat = [[token for part in row for token in part] for row in rows]
    return pad_rows(flat, value, multiple)


def numbers(rows: Sequence[Sequence[Sequence[int]]], multiple: int = MULTIPLE) -> Tensor:
    """Of every position of :func:`joined` rows the number of its part, -1 for padding."""
    return joined([[[k] * len(part) for k, part in enumerate(row)] for row in rows], -1, multiple)


def far(query: Tensor, key: Tensor) -> Tensor:
    """What is added to attention between positions of :func:`numbers`, (R, 1, Q, K): 0 within a
    part, else FAR. Padding attends to padding, if to anything."""
    same = query[:, None, :, None] == key[:, None, None, :]
    # A row whose keys hold no padding must not leave a padded query with nothing to attend to.
    return torch.zeros(same.shape).masked_fill(~(same | (query < 0)[:, None, :, None]), FAR)
