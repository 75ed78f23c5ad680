"""Modules whose weights are a checkpoint's: none are drawn, which takes time and slow imports."""

from torch import nn


class Linear(nn.Linear):
    """A linear layer with whatever is in memory."""

    def reset_parameters(self) -> None:
        """Nothing to do."""


class Embedding(nn.Embedding):
    """A table with whatever is in memory."""

    def reset_parameters(self) -> None:
        """Nothing to do."""
