"""What every training loop asks of its processes: what to agree on, and their precision."""

import os
from contextlib import AbstractContextManager
from functools import cache

import torch
from accelerate import Accelerator


def is_first_process() -> bool:
    """Whether this is the process that writes and prints, of those that a launcher started."""
    return os.environ.get("RANK", "0") == "0"


def make_accelerator() -> Accelerator:
    """The processes and the device of a run.

    Accelerate takes a launcher's CPU processes for independent ones unless told, and it fixes a
    precision once for the whole process, so that is left to :func:`autocast`.
    """
    return Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision="no")


def autocast(accelerator: Accelerator, precision: str) -> AbstractContextManager[None]:
    """A block computed in ``precision``: ``bfloat16``, or whatever the tensors are.

    ``auto`` is bfloat16 where the device has instructions for it. A processor without them computes
    it many times slower than float32.
    """
    device = accelerator.device.type
    enabled = precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))
    return torch.autocast(device, torch.bfloat16, enabled=enabled)


@cache
def has_bfloat16(device: str) -> bool:
    """Whether devices of the type ``device`` (cpu, cuda, …) here multiply in bfloat16."""
    if device == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


def any_process(accelerator: Accelerator, asked: bool) -> bool:
    """Whether any process is asked to stop: all must leave after the same step."""
    flag = torch.tensor(float(asked), device=accelerator.device)
    return bool(accelerator.reduce(flag, reduction="sum"))


def of_first_process(accelerator: Accelerator, value: float) -> float:
    """The main process's ``value``, in all processes."""
    mine = value if accelerator.is_main_process else 0.0
    told = torch.tensor(mine, dtype=torch.float32, device=accelerator.device)
    return float(accelerator.reduce(told, reduction="sum"))
