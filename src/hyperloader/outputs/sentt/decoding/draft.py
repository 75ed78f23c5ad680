"""Guessed answers of a batch: laid out as tokens, checked against scores, and guessed again."""

from typing import NamedTuple

import torch
from torch import Tensor

from hyperloader.outputs.sentt.decoding.paths import TagPaths

# Scores this close (in logits) are a tie, and the first option wins it. Float32 rounding differs
# with the number of tokens scored at once; without a margin it would decide between equals.
TIE = 1e-4

# Guesses only: where the draft had no open span before a word, I was scored as impossible as it
# then was. This is added to its logit to guess what it will be once the span is there.
INSIDE_BONUS = 3.0


class Layout(NamedTuple):
    """The next tokens of every row and the decisions among them.

    N tokens, sorted by row: ``tokens``, ``token_row`` and ``token_slot`` (N,), slot 0 being the
    row's position. M decisions, where the grammar leaves a choice: ``at`` (M,), the token whose
    output decides; ``row``, ``slot``, ``word``, ``node``, ``opened`` (0 or 1: a span is open) and
    ``drafted``, the choice that the draft takes. ``last`` (batch,) says whether a row's last
    decision is among them.
    """

    tokens: Tensor
    token_row: Tensor
    token_slot: Tensor
    at: Tensor
    row: Tensor
    slot: Tensor
    word: Tensor
    node: Tensor
    opened: Tensor
    drafted: Tensor
    last: Tensor


class Choices(NamedTuple):
    """What the scores say at M decisions.

    ``taken`` (M,) is the choice, ``closed`` and ``opened`` (M,) what it would be without and with
    an open span before; ``distribution`` (M, K + 1) the log-probabilities of the allowed choices.
    """

    taken: Tensor
    closed: Tensor
    opened: Tensor
    distribution: Tensor


def lay_out(
    paths: TagPaths,
    sentinels: Tensor,
    start: int,
    tags: Tensor,
    words: Tensor,
    position: Tensor,
    limit: int,
) -> Layout:
    """The tokens of drafted ``tags`` (batch, W) from ``position`` (batch,) to the last decision.

    A row is ``start`` s0 t1 s1 …; ``words`` (batch,) is how many words each one has. At most
    ``limit`` tokens of a row are laid out.
    """
    width = tags.shape[1]
    device = tags.device
    # Each word has its sentinel and its pieces: where it ends, counted from s0.
    ends = (paths.length[tags] + 1).cumsum(1)
    total = ends.gather(1, words[:, None] - 1)
    n = int((total[:, 0] + 1 - position).max())
    place = position[:, None] + torch.arange(n, device=device) - 1
    word = torch.searchsorted(ends, place, right=True).clamp_(max=width - 1)
    tag = tags.gather(1, word)
    length = paths.length[tag]
    piece = place - (ends.gather(1, word) - length - 1)
    before = tags.gather(1, (word - 1).clamp_(min=0))
    opened = (paths.opens[before] & (word > 0)).long()
    after = piece.clamp(min=0, max=paths.pieces.shape[1])
    node = paths.nodes[tag, after]
    # A drafted I without an open span is wrong, but not where another label begins like it.
    wrong = paths.is_inside[tag] & (opened == 0)
    deciding = (place >= 0) & (place < total) & (wrong | (paths.options[opened, node] > 1))
    column = after.clamp(max=paths.pieces.shape[1] - 1)
    drafted = torch.where(piece < length, paths.choices[tag, column], len(paths.tokens))
    tokens = torch.where(
        piece > 0, paths.pieces[tag, (after - 1).clamp_(min=0)], sentinels[word]
    ).masked_fill_(piece < 0, start)
    # Nothing is fed after a row's last decision.
    fed = deciding.flip(1).cummax(dim=1).values.flip(1)
    last = ~fed[:, limit:].any(dim=1)
    fed[:, limit:] = False
    token_row, token_slot = fed.nonzero(as_tuple=True)
    at = deciding[token_row, token_slot].nonzero()[:, 0]
    row, slot = token_row[at], token_slot[at]
    here = (row, slot)
    return Layout(
        tokens[token_row, token_slot],
        token_row,
        token_slot,
        at,
        row,
        slot,
        word[here],
        node[here],
        opened[here],
        drafted[here],
        last,
    )


def choose(paths: TagPaths, layout: Layout, logits: Tensor) -> Choices:
    """Choices by ``logits`` (M, K + 1)."""
    masks = paths.allowed[:, layout.node]
    was_open = layout.opened.bool()
    closed = _first_best(logits.masked_fill(~masks[0], -torch.inf))
    wish = (masks[1] & ~masks[0] & ~was_open[:, None]) * INSIDE_BONUS
    opened = _first_best((logits + wish).masked_fill(~masks[1], -torch.inf))
    taken = torch.where(was_open, opened, closed)
    allowed = torch.where(was_open[:, None], masks[1], masks[0])
    distribution = logits.masked_fill(~allowed, -torch.inf).log_softmax(-1)
    return Choices(taken, closed, opened, distribution)


def first_mismatch(layout: Layout, choices: Choices, rows: int) -> Tensor:
    """(rows,) the first decision that the draft does not take as scored, M where there is none."""
    count = len(layout.row)
    number = torch.arange(count, device=layout.row.device)
    return _first_of(choices.taken != layout.drafted, number, layout.row, rows)


def redraft(
    paths: TagPaths, layout: Layout, choices: Choices, tags: Tensor, first: Tensor, inside: Tensor
) -> Tensor:
    """A better guess than ``tags`` (batch, W): right up to each row's ``first`` mismatch (batch,),
    beyond it what the scores, though made for the old guess, speak for.

    Every row has a mismatch. ``inside`` (batch,) is the number of ``I`` in the row's task.
    """
    rows, width = tags.shape
    device = tags.device
    number = torch.arange(len(layout.row), device=device)
    key = layout.row * width + layout.word
    guesses, variants = [], []
    # Two guesses a word: with no span open before it, and with one.
    for opened, choice in enumerate((choices.closed, choices.opened)):
        child = paths.next_node[layout.node, choice.clamp(max=len(paths.tokens) - 1)]
        ends = choice == len(paths.tokens)
        guess = torch.where(ends, paths.tag_at[layout.node], paths.complete[opened, child])
        deviates = _first_of(choice != layout.drafted, number, key, rows * width).view_as(tags)
        known = deviates < len(number)
        guesses.append(guess)
        variants.append(torch.where(known, guess[deviates.clamp(max=len(number) - 1)], tags))
    at = torch.arange(width, device=device)
    wrong = layout.word[first][:, None]
    right = torch.where(layout.opened[first].bool(), guesses[1][first], guesses[0][first])
    right_or = (torch.where(at == wrong, right[:, None], variant) for variant in variants)
    unspanned, spanned = (torch.where(at < wrong, tags, variant) for variant in right_or)
    # A label twice in a row, the second time scored as if the first were O: rather one span.
    repeated = (
        (unspanned[:, 1:] == unspanned[:, :-1]) & ~paths.opens[tags[:, :-1]] & (at[1:] > wrong)
    )
    spanned[:, 1:] = torch.where(
        repeated & paths.opens[unspanned[:, 1:]], inside[:, None], spanned[:, 1:]
    )
    # Whether a span is open after a word: its guess with none before says so, unless that is
    # O and the other one I; then it is as it was before.
    goes_on = paths.is_inside[spanned]
    says = torch.where(goes_on & ~paths.opens[unspanned], -1, at).cummax(dim=1).values
    is_open = paths.opens[unspanned.gather(1, says.clamp(min=0))] & (says >= 0)
    goes_on[:, 1:] &= is_open[:, :-1]
    goes_on[:, 0] = False
    return torch.where(goes_on, spanned, unspanned)


def _first_of(hits: Tensor, number: Tensor, key: Tensor, keys: int) -> Tensor:
    """(keys,) the smallest of ``number`` (M,) with that ``key`` that hits; M where none does."""
    none = torch.full((keys,), len(number), device=key.device)
    return none.scatter_reduce_(0, key, torch.where(hits, number, len(number)), "amin")


def _first_best(logits: Tensor) -> Tensor:
    best = logits.amax(dim=-1, keepdim=True)
    return (logits >= best - TIE).int().argmax(dim=-1)
