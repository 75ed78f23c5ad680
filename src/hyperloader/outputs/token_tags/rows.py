"""Sentences and their tags in the rows of a batch, for an encoder."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from hyperloader.codec.batch import IGNORED, MULTIPLE
from hyperloader.codec.windows import EncodedWindow
from hyperloader.outputs.rows import far, fill, joined, numbers


@dataclass(frozen=True, slots=True)
class TagRows:
    """R rows of S tokens and W words that hold N windows.

    Attributes:
        input_ids: (R, S).
        attention_mask: (R, S) with 1 for tokens where every window has a row of its own; else
            (R, 1, S, S), added to attention.
        places: (R, S), where in its window every token is; None where each has a row of its own.
        first, last: (R, W), the places of each word's first and last sub-token, 0 beyond a row's
            last word.
        shapes: (R, W), how each word is written (:mod:`hyperloader.word_shapes`), 0 beyond a row's
            last word.
        window: (R, W), which window a word is of, -1 beyond a row's last word.
        labels: (R, W) tag numbers, -100 beyond a row's last word and where nothing is known.
        tasks: of each row.
    """

    input_ids: Tensor
    attention_mask: Tensor
    places: Tensor | None
    first: Tensor
    last: Tensor
    shapes: Tensor
    window: Tensor
    labels: Tensor
    tasks: tuple[str, ...]

    def to(self, device: torch.device) -> "TagRows":
        """The same with all tensors on ``device``."""
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)

    def sentences(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``logits`` (R, W, T) by window.

        Returns:
            (N, words, T), 0 beyond a window's words; tags (N, words), -100 beyond them; and how
            many words each window has, (N,).
        """
        kept = self.window >= 0
        window = self.window[kept]
        lengths = window.bincount()
        # Words of a window stand together and in order, but windows of a row in any.
        order = window.argsort(stable=True)
        starts = lengths.cumsum(0) - lengths
        word = torch.empty_like(window)
        word[order] = torch.arange(len(window), device=window.device) - starts[window[order]]
        shape = (len(lengths), int(lengths.max()))
        found = logits.new_zeros(*shape, logits.shape[-1]).index_put((window, word), logits[kept])
        tags = self.labels.new_full(shape, IGNORED)
        tags[window, word] = self.labels[kept]
        return found, tags, lengths


def pack(windows: Sequence[EncodedWindow], *, pad: int, together: bool) -> TagRows:
    """Put ``windows`` (at least one) into few rows; those of a row share a task.

    Args:
        pad: the token id that fills up rows.
        together: whether windows may share a row; else each has its own, in order, and rows are no
            longer than the longest (a gate sees the padding).
    """
    rows, multiple = [[i] for i in range(len(windows))], MULTIPLE if together else 1
    if together:
        rows = fill([(len(w.source),) for w in windows], [w.task for w in windows])
    sources = [[windows[i].source for i in row] for row in rows]
    starts = [[sum(map(len, parts[:k])) for k in range(len(parts))] for parts in sources]
    targets = [[windows[i].target or [IGNORED] * windows[i].words for i in row] for row in rows]

    def in_row(places: Callable[[EncodedWindow], Sequence[int]]) -> Tensor:
        placed = [
            [[start + place for place in places(windows[i])] for start, i in zip(*of, strict=True)]
            for of in zip(starts, rows, strict=True)
        ]
        return joined(placed, 0, 1)

    number = numbers(sources, multiple)
    return TagRows(
        joined(sources, pad, multiple),
        far(number, number) if together else (number >= 0).long(),
        joined([[range(len(part)) for part in parts] for parts in sources], 0, multiple)
        if together
        else None,
        in_row(lambda window: window.first),
        in_row(lambda window: window.last),
        joined([[windows[i].shapes for i in row] for row in rows], 0, 1),
        joined([[[i] * windows[i].words for i in row] for row in rows], -1, 1),
        joined(targets, IGNORED, 1),
        tuple(windows[row[0]].task for row in rows),
    )
