"""Sentences and their answers in the rows of a batch, for a backbone of the T5 family."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.rows import FAR, far, fill, joined, numbers


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
    sizes = [(len(w.source), len(w.target)) for w in windows]
    rows = (
        fill(sizes, [w.task for w in windows]) if together else [[i] for i in range(len(windows))]
    )
    sources = [[windows[i].source for i in row] for row in rows]
    targets = [[windows[i].target for i in row] for row in rows]
    shifted = [[[start, *target[:-1]] for target in row] for row in targets]
    place = {i: (r, sum(len(windows[j].target) for j in row[:k])) for r, row in enumerate(rows)
             for k, i in enumerate(row)}  # fmt: skip
    source_of, target_of = numbers(sources), numbers(targets)
    tasks = tuple(windows[row[0]].task for row in rows)
    row, offset = torch.tensor([place[i] for i in range(len(windows))]).T
    own = (source_of >= 0).long()
    masks: tuple[Tensor, Tensor | None, Tensor] = (own, None, own)
    if together:
        causal = torch.ones(target_of.shape[1], target_of.shape[1]).tril().bool()
        masks = (
            far(source_of, source_of),
            far(target_of, target_of).masked_fill(~causal, FAR),
            far(target_of, source_of),
        )
    return PackedBatch(
        joined(sources, pad),
        joined(shifted, pad),
        *masks,
        tasks,
        row,
        offset,
    )
