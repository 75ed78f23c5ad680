"""How the new tokens of many rows share one tensor without padding between them.

A backbone's linear layers do not care which row a token is of, so the tokens of all rows stand
one after the other: (1, N, d). Only attention needs rows. Where rows have tasks, and so generated
weights, of their own, the tokens of a task stand together. On a CPU each task's tokens are a run,
(N, 1, d) in all, with products of its own. Elsewhere, where few large products should be faster
than many small ones (not measured), they are cut into equal groups, (G, m, d), and each group has
one set of weights; only the last group of a task is padded.
"""

import torch
from torch import Tensor

# Padding costs more than copying a task's weights once more: 8 is faster than 16 and 32.
GROUP = 8


class Packing:
    """The places of N tokens, given by ``row`` and ``slot`` (N,), in groups.

    Attributes:
        rows, width: how many rows there are, and slots of each.
        shape: (G, m) groups and tokens a group.
        group_task: (G,) the task of each group, or None where there are no groups.
        runs: how many tokens each task has, or None where there are no runs.
    """

    def __init__(
        self, row: Tensor, slot: Tensor, rows: int, task: Tensor | None, in_runs: bool = True
    ) -> None:
        """``task`` (rows,) numbers the rows' tasks; None where all rows share one.

        ``in_runs`` asks for runs instead of groups.
        """
        device, width = row.device, int(slot.max()) + 1
        self.row, self.slot, self.rows, self.width = row, slot, rows, width
        source = row * width + slot
        self.group_task: Tensor | None = None
        self.runs: list[int] | None = None
        self._place: Tensor | None = None
        if task is None:
            self.shape, self._source = (1, len(row)), source
        elif in_runs:
            self._run(task, source)
        else:
            self._group(task, source)
        place = torch.arange(len(row), device=device) if self._place is None else self._place
        self._slots = torch.zeros(rows * width, dtype=torch.long, device=device)
        self._slots[source] = place

    def _run(self, task: Tensor, source: Tensor) -> None:
        of_token = task[self.row]
        order = of_token.argsort(stable=True)
        self.runs = torch.bincount(of_token, minlength=int(task.max()) + 1).tolist()
        self.shape, self._source = (len(order), 1), source[order]
        self._place = torch.empty_like(order)
        self._place[order] = torch.arange(len(order))

    def _group(self, task: Tensor, source: Tensor) -> None:
        of_token = task[self.row]
        tokens = torch.bincount(of_token)
        groups = (tokens + GROUP - 1) // GROUP
        order = of_token.argsort(stable=True)
        # A token's number among those of its task, and where the groups of its task begin.
        number = torch.empty_like(order)
        number[order] = torch.arange(len(order), device=order.device)
        number -= (tokens.cumsum(0) - tokens)[of_token]
        self._place = (groups.cumsum(0) - groups)[of_token] * GROUP + number
        self.group_task = torch.arange(len(groups), device=task.device).repeat_interleave(groups)
        self.shape = (len(self.group_task), GROUP)
        self._source = torch.zeros(
            len(self.group_task) * GROUP, dtype=torch.long, device=task.device
        )
        self._source[self._place] = source

    def spread(self, tokens: Tensor) -> Tensor:
        """``tokens`` (N,) at their places: (G, m)."""
        if self._place is None:
            return tokens[None]
        spread = tokens.new_zeros(self.shape).flatten()
        spread[self._place] = tokens
        return spread.view(self.shape)

    def gather(self, x: Tensor) -> Tensor:
        """``x`` (G, m, d) in the order of the tokens: (N, d)."""
        return x.flatten(0, 1) if self._place is None else x.flatten(0, 1)[self._place]

    def by_row(self, x: Tensor) -> Tensor:
        """``x`` (G, m, d) by row and slot: (rows, width, d); what no token fills is arbitrary."""
        return x.flatten(0, 1)[self._slots].unflatten(0, (self.rows, self.width))

    def by_group(self, x: Tensor) -> Tensor:
        """``x`` (rows, width, d) by group: (G, m, d)."""
        return x.flatten(0, 1)[self._source].unflatten(0, self.shape)
