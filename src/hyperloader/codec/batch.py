"""From encoded windows to padded tensors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hyperloader.codec.codec import Codec
from hyperloader.codec.windows import EncodedWindow, clip
from hyperloader.types import Example

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded windows.

    ``input_ids`` and ``attention_mask`` are (batch, source length), ``labels`` (batch, target
    length) with -100 where ignored, or None. ``tasks`` holds one name when all rows share it,
    else one a row; ``words`` the number of words of each row.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None
    tasks: tuple[str, ...]
    words: tuple[int, ...]


def encode_example(codec: Codec, example: Example) -> list[EncodedWindow]:
    """The windows of an example with their targets (a span cut by a window keeps its part)."""
    return [
        codec.encode_window(example.words[w.start : w.end], w, example.task, clip(example.spans, w))
        for w in codec.windows(example.words)
    ]


def encode_words(codec: Codec, words: Sequence[str], task: str) -> list[EncodedWindow]:
    """The windows of a sentence that is to be tagged."""
    return [
        codec.encode_window(words[w.start : w.end], w, task, None) for w in codec.windows(words)
    ]


def collate(windows: Sequence[EncodedWindow], pad: int) -> Batch:
    """Pad ``windows`` (at least one) to one batch."""
    tasks = tuple(w.task for w in windows)
    input_ids = _pad([w.source for w in windows], pad)
    lengths = torch.tensor([len(w.source) for w in windows])
    mask = (torch.arange(input_ids.shape[1])[None] < lengths[:, None]).long()
    labels = _pad([w.target for w in windows], IGNORED) if all(w.target for w in windows) else None
    shared = tasks[:1] if len(set(tasks)) == 1 else tasks
    return Batch(input_ids, mask, labels, shared, tuple(w.words for w in windows))


def _pad(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    # Multiples of 8: few distinct shapes, so that kernels are prepared once and not every step.
    width = -(-max(map(len, rows)) // 8) * 8
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
