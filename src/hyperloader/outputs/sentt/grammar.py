"""What may be generated: s0 t1 s1 … tL sL with t one of O, I (inside an open span) or a label.

The tags of all tasks are one set of tries over token ids, stored as tables so that every row of
a batch is advanced at once. A node is a prefix of a tag; each task has a root.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hyperloader.tags import INSIDE


class Grammar:
    """Tables for the tags of several tasks.

    Attributes:
        tokens: (K,) ids of all tokens that occur in a tag.
        next_node: (nodes, K) the node after a token, -1 where it is not allowed.
        tag: (nodes,) the tag that ends at a node, -1 where none does.
        roots: node of each task before any token of a tag.
        inside: (nodes, K) where a token can only lead to ``I``.
        is_inside: (nodes,) whether the tag that ends at a node is ``I``.
    """

    def __init__(self, tag_ids: Mapping[str, Mapping[str, Sequence[int]]]) -> None:
        self.tags: dict[str, list[str]] = {task: list(tags) for task, tags in tag_ids.items()}
        self.tokens = torch.tensor(
            sorted({i for tags in tag_ids.values() for ids in tags.values() for i in ids})
        )
        column = {token: k for k, token in enumerate(self.tokens.tolist())}
        children: list[dict[int, int]] = []
        ends: list[int] = []
        ends_inside: list[bool] = []
        only_inside: list[bool] = []

        def node() -> int:
            children.append({})
            ends.append(-1)
            ends_inside.append(False)
            only_inside.append(True)
            return len(children) - 1

        self.roots: dict[str, int] = {}
        for task, tags in tag_ids.items():
            self.roots[task] = node()
            for index, (tag, ids) in enumerate(tags.items()):
                at = self.roots[task]
                for token in ids:
                    k = column[token]
                    if k not in children[at]:
                        children[at][k] = node()
                    at = children[at][k]
                    only_inside[at] &= tag == INSIDE
                ends[at], ends_inside[at] = index, tag == INSIDE
        self.next_node = torch.full((len(children), len(column)), -1)
        self.inside = torch.zeros((len(children), len(column)), dtype=torch.bool)
        for at, following in enumerate(children):
            for k, child in following.items():
                self.next_node[at, k] = child
                self.inside[at, k] = only_inside[child]
        self.tag = torch.tensor(ends)
        self.is_inside = torch.tensor(ends_inside)

    def to(self, device: torch.device) -> "Grammar":
        """Move the tables to ``device`` in place."""
        for name in ("tokens", "next_node", "inside", "tag", "is_inside"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    def allowed(self, node: Tensor, opened: Tensor) -> Tensor:
        """(batch, K): which tokens may follow ``node`` (batch,); ``I`` only where ``opened``."""
        return (self.next_node[node] >= 0) & ~(self.inside[node] & ~opened[:, None])

    def can_end(self, node: Tensor, opened: Tensor) -> Tensor:
        """(batch,): whether a tag ends at ``node``; ``I`` does so only where ``opened``.

        A label may begin with the tokens of ``I`` (ITEM), so that its node can be passed where
        ``I`` itself is not allowed.
        """
        return (self.tag[node] >= 0) & (opened | ~self.is_inside[node])
