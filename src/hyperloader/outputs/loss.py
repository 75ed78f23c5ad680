"""What a training loss is: a sum of terms, so that a batch may be cut into parts."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hyperloader.codec.windows import EncodedWindow


class WindowLoss(nn.Module, ABC):
    """The loss of some windows as one module."""

    @abstractmethod
    def terms(
        self, windows: Sequence[EncodedWindow], smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Every term of the loss, and the index of its window; both (:meth:`count`,)."""

    def forward(self, windows: Sequence[EncodedWindow], smoothing: float = 0.0) -> Tensor:
        """The loss summed over ``windows``; divide by :meth:`count` for the mean."""
        return self.terms(windows, smoothing)[0].sum()

    @torch.no_grad()
    def mean_of_each(self, windows: Sequence[EncodedWindow]) -> Tensor:
        """The mean of each window's terms, 0 where it has none; (windows,)."""
        terms, window = (part.cpu() for part in self.terms(windows))
        sums = torch.zeros(len(windows)).index_add(0, window, terms.float())
        return sums / window.bincount(minlength=len(windows)).clamp(min=1)

    @abstractmethod
    def count(self, windows: Sequence[EncodedWindow]) -> int:
        """How many terms the loss of ``windows`` sums."""


def token_loss(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (N,) of N tokens.

    ``logits`` is (N, vocabulary), ``labels`` (N,).
    Smoothing spreads its share evenly over the whole vocabulary, as fairseq's criterion that the
    published code uses.
    """
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing, reduction="none")


def choice_loss(scores: Tensor, allowed: Tensor, choice: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy (N,) of N choices among the allowed options of each.

    Args:
        scores: (N, K) log-probabilities, minus infinity where forbidden.
        allowed: (N, K).
        choice: (N,).
        smoothing: is spread over the allowed options.
    """
    loss = -scores.gather(1, choice[:, None])[:, 0]
    if smoothing:
        spread = scores.masked_fill(~allowed, 0.0).sum(-1) / allowed.sum(-1)
        loss = (1 - smoothing) * loss - smoothing * spread
    return loss
