"""The tags of all tasks by number, and the way through the grammar that each of them takes."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hyperloader.outputs.sentt.grammar import Grammar
from hyperloader.tags import INSIDE, OUTSIDE


class TagPaths:
    """Tables over G tags (those of one task stand together) and the N nodes of a grammar.

    A *choice* is a column of the grammar's tokens, or K, their number, for the closing sentinel.

    Attributes:
        names: G tags; ``first`` is the number of a task's first one.
        outside, inside: the numbers of ``O`` and of ``I`` in each task.
        tokens: K ids of the tokens that occur in tags.
        pieces, choices: (G, P) token ids of each tag, and their columns.
        length: (G,) how many tokens a tag has.
        nodes: (G, P + 1) the node after each of them; nodes[:, 0] is the task's root.
        opens: (G,) whether a word so tagged is in a span. is_inside: (G,) whether it is ``I``.
        allowed: (2, N, K + 1) the choices at a node with no span open, and with one.
        options: (2, N) how many they are.
        tag_at: (N,) the tag that ends at a node, or -1.
        complete: (2, N) the first tag that goes through a node and is allowed.
        toward_inside: (N,) the choice that leads on to ``I``, or -1 where it is out of reach.
    """

    def __init__(self, grammar: Grammar, tag_ids: Mapping[str, Mapping[str, Sequence[int]]]):
        ids = [tuple(i) for tags in tag_ids.values() for i in tags.values()]
        self.names = [tag for tags in tag_ids.values() for tag in tags]
        starts = torch.tensor([0, *map(len, tag_ids.values())]).cumsum(0).tolist()
        self.first = dict(zip(tag_ids, starts, strict=False))
        self.outside, self.inside = (
            {task: self.first[task] + list(tags).index(name) for task, tags in tag_ids.items()}
            for name in (OUTSIDE, INSIDE)
        )
        self.tokens, self.next_node = grammar.tokens, grammar.next_node
        longest = max(map(len, ids), default=1)
        self.length = torch.tensor([len(i) for i in ids])
        self.pieces = torch.tensor([[*i, *[0] * (longest - len(i))] for i in ids])
        self.choices = torch.searchsorted(self.tokens, self.pieces).clamp(max=len(self.tokens) - 1)
        node = torch.tensor([grammar.roots[task] for task, tags in tag_ids.items() for _ in tags])
        nodes = [node]
        for piece in range(longest):
            after = self.next_node[node, self.choices[:, piece]]
            node = torch.where(piece < self.length, after, node)
            nodes.append(node)
        self.nodes = torch.stack(nodes, dim=1)
        self.opens = torch.tensor([name != OUTSIDE for name in self.names])
        self.is_inside = torch.tensor([name == INSIDE for name in self.names])
        every = torch.arange(len(grammar.tag))
        self.allowed = torch.stack(
            [
                torch.cat(
                    [grammar.allowed(every, opened), grammar.can_end(every, opened)[:, None]], dim=1
                )
                for opened in (torch.zeros_like(every).bool(), torch.ones_like(every).bool())
            ]
        )
        self.options = self.allowed.sum(dim=-1)
        self.tag_at = torch.full_like(grammar.tag, -1)
        self.tag_at[self.nodes[:, -1]] = torch.arange(len(ids))
        number = torch.arange(len(ids))
        complete = []
        for banned in (self.is_inside, torch.zeros_like(self.is_inside)):
            first = torch.full_like(self.tag_at, len(ids))
            numbers = torch.where(banned, len(ids), number)[:, None].expand_as(self.nodes)
            first.scatter_reduce_(0, self.nodes.flatten(), numbers.flatten(), "amin")
            complete.append(first.clamp(max=len(ids) - 1))
        self.complete = torch.stack(complete)
        self.toward_inside = torch.full_like(self.tag_at, -1)
        for tag in self.inside.values():
            *through, end = self.nodes[tag, : int(self.length[tag]) + 1].tolist()
            self.toward_inside[through] = self.choices[tag, : len(through)]
            self.toward_inside[end] = len(self.tokens)

    def to(self, device: torch.device) -> "TagPaths":
        """Move the tables to ``device`` in place."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.to(device))
        return self
