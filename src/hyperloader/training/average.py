"""An average of the trained parameters over the steps of a run: what is validated and tags.

Towards the end of a run weights scatter around what they have learned, and their exponential moving
average lies nearer to it (Polyak and Juditsky, 1992).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from hyperloader.errors import CheckpointError
from hyperloader.modeling.pretrained import read_tensors, write_tensors

TRAINED = "trained.safetensors"


class Average:
    """The moving average of the trainable parameters of ``model``, which begins as they are.

    Args:
        decay: how much of the average each step leaves. Early steps leave less, (1 + step) /
            (10 + step), so that where a run began is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self._names = [name for name, _ in named]
        self._parameters = [parameter for _, parameter in named]
        # The average; while that is in the model, what was there before.
        self._other = [parameter.detach().clone() for _, parameter in named]

    def update(self, step: int) -> None:
        """Take in the parameters after ``step`` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(self._other, self._parameters, 0)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """The model has the average inside the block, and what it had again after it."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for parameter, other in zip(self._parameters, self._other, strict=True):
            before = parameter.clone()
            parameter.copy_(other)
            other.copy_(before)

    def write(self, folder: Path) -> None:
        """Write into the folder of a checkpoint, inside of :meth:`in_model`, what training goes on
        from."""
        tensors = {n: t.to("cpu") for n, t in zip(self._names, self._other, strict=True)}
        write_tensors(folder / TRAINED, tensors)

    @torch.no_grad()
    def read(self, folder: Path) -> None:
        """Go on from what :meth:`write` wrote; the model has the average of that checkpoint.

        Raises:
            CheckpointError: it is not there, or not of this model.
        """
        tensors = read_tensors(folder / TRAINED)
        if {n: t.shape for n, t in tensors.items()} != {
            n: t.shape for n, t in zip(self._names, self._other, strict=True)
        }:
            raise CheckpointError(f"{folder / TRAINED} is of another model; use an undamaged copy")
        for name, other in zip(self._names, self._other, strict=True):
            other.copy_(tensors[name])
        self._exchange()
