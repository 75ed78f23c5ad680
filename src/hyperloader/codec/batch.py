"""From encoded windows to padded tensors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hyperloader.codec.codec import Codec
from hyperloader.codec.windows import EncodedWindow, Pieces, clip
from hyperloader.types import Example

IGNORED = -100
# Few distinct shapes, so that kernels are prepared once and not every step.
MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded windows, one per row.

    Attributes:
        input_ids, attention_mask: (batch, source length), the mask 1 for tokens.
        labels: (batch, target length), -100 where ignored; None where the answers are not known.
        tasks: of each row.
        pieces: the sub-tokens of each row's words.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None
    tasks: tuple[str, ...]
    pieces: tuple[tuple[Pieces, ...], ...]

    @property
    def words(self) -> tuple[int, ...]:
        """How many words each row has."""
        return tuple(map(len, self.pieces))

    def to(self, device: torch.device | str) -> "Batch":
        """The same with all tensors on ``device``."""
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            attention_mask=self.attention_mask.to(device),
            labels=None if self.labels is None else self.labels.to(device),
        )


def encode_example(codec: Codec, example: Example) -> list[EncodedWindow]:
    """The windows of an example with their targets (a span cut by a window keeps its part)."""
    return [
        codec.encode_window(example.words[w.start : w.end], w, example.task, clip(example.spans, w))
        for w in codec.windows(example.words)
    ]


def encode_words(codec: Codec, words: Sequence[str], task: str) -> list[EncodedWindow]:
    """The windows of a sentence that is to be tagged."""
    return list(stream_windows(codec, words, task))


def stream_windows(codec: Codec, words: Sequence[str], task: str) -> Iterator[EncodedWindow]:
    """As :func:`encode_words`, each window made when it is asked for."""
    for w in codec.windows(words):
        yield codec.encode_window(words[w.start : w.end], w, task, None)


def collate(windows: Sequence[EncodedWindow], pad: int) -> Batch:
    """Pad ``windows`` (at least one) to one batch.

    Args:
        pad: the token id that fills up sources.
    """
    known = all(w.target for w in windows)
    return Batch(
        pad_rows([w.source for w in windows], pad, MULTIPLE),
        pad_rows([[1] * len(w.source) for w in windows], 0, MULTIPLE),
        pad_rows([w.target for w in windows], IGNORED, MULTIPLE) if known else None,
        tuple(w.task for w in windows),
        tuple(w.pieces for w in windows),
    )


def alike(
    windows: Sequence[EncodedWindow], size: int, max_tokens: int | None = None
) -> Iterator[list[int]]:
    """Indices of batches of at most ``size`` windows whose sources have one length, and of at most
    ``max_tokens`` source tokens (one window always goes).

    For models that look at a mean over all positions of a row, which padding would change. Rows
    of a task stand together.
    """
    lengths: dict[int, list[int]] = {}
    for i in sorted(range(len(windows)), key=lambda i: windows[i].task):
        lengths.setdefault(len(windows[i].source), []).append(i)
    for length, places in lengths.items():
        most = size if max_tokens is None else max(1, min(size, max_tokens // length))
        for start in range(0, len(places), most):
            yield places[start : start + most]


def near(windows: Sequence[EncodedWindow], size: int, max_tokens: int) -> Iterator[list[int]]:
    """Indices of batches of at most ``size`` windows with little padding, and of at most
    ``max_tokens`` source tokens with it (one window always goes).

    Rows of a task stand together.
    """
    order = sorted(range(len(windows)), key=lambda i: (windows[i].task, len(windows[i].source)))
    batch: list[int] = []
    longest = 0
    for i in order:
        length = len(windows[i].source)
        if batch and (len(batch) == size or max(longest, length) * (len(batch) + 1) > max_tokens):
            yield batch
            batch, longest = [], 0
        batch.append(i)
        longest = max(longest, length)
    if batch:
        yield batch


def pad_rows(rows: Sequence[Sequence[int]], value: int, multiple: int = 1) -> Tensor:
    """``rows`` filled up with ``value`` to one length, a multiple of ``multiple``."""
    width = -(-max(map(len, rows)) // multiple) * multiple
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])
