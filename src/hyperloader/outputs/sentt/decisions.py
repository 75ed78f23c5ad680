"""The decisions inside a target: the few positions where the grammar leaves a choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.sentt.codec import SentTCodec
from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.tags import OUTSIDE


@dataclass(frozen=True, slots=True)
class Decisions:
    """N decisions of a batch of targets, for a loss over the allowed tokens alone.

    Every decision has two options at least: forced tokens are none.

    Attributes:
        row, position: (N,) where the decision is made: the output at that target position.
        allowed: (N, K + 1) bool, the grammar's tokens and, last, the closing sentinel.
        closing: (N,) id of the sentinel that would end the tag here.
        choice: (N,) which of the K + 1 the target takes.
    """

    row: Tensor
    position: Tensor
    allowed: Tensor
    closing: Tensor
    choice: Tensor


def find_decisions(
    windows: Sequence[EncodedWindow], codec: SentTCodec, grammar: Grammar
) -> Decisions:
    """All decisions of the targets of ``windows`` (one batch, in its order)."""
    column = {token: k for k, token in enumerate(grammar.tokens.tolist())}
    number = {sentinel: i for i, sentinel in enumerate(codec.pieces.sentinels)}
    next_node, tag_of = grammar.next_node.tolist(), grammar.tag.tolist()
    row, position, nodes, opens, closing, choice = [], [], [], [], [], []
    for r, window in enumerate(windows):
        outside = grammar.tags[window.task].index(OUTSIDE)
        node, opened, word = grammar.roots[window.task], False, 0
        for p, token in enumerate(window.target[1:-1], start=1):
            ends = token in number
            row.append(r)
            position.append(p)
            nodes.append(node)
            opens.append(opened)
            closing.append(codec.pieces.sentinels[word + 1])
            choice.append(len(column) if ends else column[token])
            if ends:
                opened = tag_of[node] != outside
                node, word = grammar.roots[window.task], word + 1
            else:
                node = next_node[node][column[token]]
    node_ids = torch.tensor(nodes, dtype=torch.long)
    open_before = torch.tensor(opens, dtype=torch.bool)
    options = [
        grammar.allowed(node_ids, open_before),
        grammar.can_end(node_ids, open_before)[:, None],
    ]
    allowed = torch.cat(options, dim=1)
    free = allowed.sum(dim=1) > 1
    ids = (torch.tensor(part, dtype=torch.long)[free] for part in (row, position, closing, choice))
    return Decisions(next(ids), next(ids), allowed[free], next(ids), next(ids))
