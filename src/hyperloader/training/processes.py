"""What every training loop asks of its processes: their precision, and whether to stop."""

from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator


def autocast(accelerator: Accelerator, precision: str) -> AbstractContextManager[None]:
    """A block computed in ``precision``: ``bf16``, or whatever the tensors are."""
    enabled = precision == "bf16"
    return torch.autocast(accelerator.device.type, torch.bfloat16, enabled=enabled)


def any_process(accelerator: Accelerator, asked: bool) -> bool:
    """Whether any process is asked to stop: all must leave after the same step."""
    flag = torch.tensor(float(asked), device=accelerator.device)
    return bool(accelerator.reduce(flag, reduction="sum"))
