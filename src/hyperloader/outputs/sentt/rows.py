"""Several sentences in a row of a batch, without the padding between them.

Half of a padded batch of tagging sentences is padding. T5 knows only distances between tokens, so
a sentence that may attend to nothing but itself is encoded and decoded the same wherever it
stands: the loss is that of one sentence a row, for about half of the work.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hyperloader.codec.batch import MULTIPLE, pad_rows
from hyperloader.codec.windows import EncodedWindow

# A row's least room in tokens. Wider rows leave fewer gaps, but attention looks at all of a row.
ROOM = 96
# Added to the attention of two tokens of different sentences; finite, so that bfloat16 is safe.
FAR = -1e30


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """R rows of S source and T target positions that hold N windows.

    Attributes:
        input_ids, decoder_input_ids: (R, S) and (R, T).
        source_mask, target_mask, cross_mask: what is added to attention, (R, 1, S, S),
            (R, 1, T, T) and (R, 1, T, S); where every window has a row of its own (R, S), None
            and (R, S) with 1 for tokens.
        tasks: of each row.
        row, offset: (N,) where each window's target begins.
    """

    input_ids: Tensor
    decoder_input_ids: Tensor
    source_mask: Tensor
    target_mask: Tensor | None
    cross_mask: Tensor
    tasks: tuple[str, ...]
    row: Tensor
    offset: Tensor

    def to(self, device: torch.device) -> "PackedBatch":
        """The same with all tensors that a model reads on ``device``."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            decoder_input_ids=self.decoder_input_ids.to(device),
            source_mask=self.source_mask.to(device),
            target_mask=None if self.target_mask is None else self.target_mask.to(device),
            cross_mask=self.cross_mask.to(device),
        )


def pack(
    windows: Sequence[EncodedWindow], *, pad: int, start: int, together: bool = True
) -> PackedBatch:
    """Put ``windows`` with targets into few rows; those of a row share a task.

    Args:
        start: the token that a decoder begins with.
        together: whether windows may share a row; else each has its own, in order.
    """
    rows = _fill(windows) if together else [[i] for i in range(len(windows))]
    sources = [[windows[i].source for i in row] for row in rows]
    targets = [[windows[i].target for i in row] for row in rows]
    shifted = [[[start, *target[:-1]] for target in row] for row in targets]
    place = {i: (r, sum(len(windows[j].target) for j in row[:k])) for r, row in enumerate(rows)
             for k, i in enumerate(row)}  # fmt: skip
    source_of, target_of = _numbers(sources), _numbers(targets)
    tasks = tuple(windows[row[0]].task for row in rows)
    row, offset = torch.tensor([place[i] for i in range(len(windows))]).T
    own = (source_of >= 0).long()
    masks: tuple[Tensor, Tensor | None, Tensor] = (own, None, own)
    if together:
        causal = torch.ones(target_of.shape[1], target_of.shape[1]).tril().bool()
        masks = (
            _far(source_of, source_of),
            _far(target_of, target_of).masked_fill(~causal, FAR),
            _far(target_of, source_of),
        )
    return PackedBatch(
        _joined(sources, pad),
        _joined(shifted, pad),
        *masks,
        tasks,
        row,
        offset,
    )


def _fill(windows: Sequence[EncodedWindow]) -> list[list[int]]:
    """First fit, longest first."""
    room = [
        max(ROOM, *(len(part) for part in parts))
        for parts in ([w.source for w in windows], [w.target for w in windows])
    ]
    rows: list[list[int]] = []
    left: list[list[int]] = []
    for i in sorted(range(len(windows)), key=lambda i: -_tokens(windows[i])):
        needs = len(windows[i].source), len(windows[i].target)
        for row, space in zip(rows, left, strict=True):
            if windows[row[0]].task == windows[i].task and all(
                need <= free for need, free in zip(needs, space, strict=True)
            ):
                break
        else:
            row, space = [], list(room)
            rows.append(row)
            left.append(space)
        row.append(i)
        space[:] = [free - need for need, free in zip(needs, space, strict=True)]
    return rows


def _tokens(window: EncodedWindow) -> int:
    return len(window.source) + len(window.target)


def _joined(rows: Sequence[Sequence[Sequence[int]]], fill: int) -> Tensor:
    flat = [[token for part in row for token in part] for row in rows]
    return pad_rows(flat, fill, MULTIPLE)


def _numbers(rows: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """The number of the window that each position is of, -1 for padding."""
    return _joined([[[k] * len(part) for k, part in enumerate(row)] for row in rows], -1)


def _far(query: Tensor, key: Tensor) -> Tensor:
    """(R, 1, Q, K): 0 within a window, else FAR. Padding attends to padding, if to anything."""
    same = query[:, None, :, None] == key[:, None, None, :]
    # A row whose keys hold no padding must not leave a padded query with nothing to attend to.
    return torch.zeros(same.shape).masked_fill(~(same | (query < 0)[:, None, :, None]), FAR)
