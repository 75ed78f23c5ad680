"""What fresh processes run in the tests of the benchmarks; they must import it by name."""

import os
import signal

import torch

from hyperloader.benchmarks.timing import peak_memory


def peak_of_tensor(size: int) -> tuple[int | None, int]:
    """The peak of making a tensor of ``size`` bytes and dropping it, and torch's threads."""
    torch.ones(size // 2)  # would be the peak of a process that is not asked anew
    peak = peak_memory(lambda: torch.ones(size // 4).sum(), torch.device("cpu"))
    return peak, torch.get_num_threads()


def killed() -> None:
    """The end of a process that has no memory left."""
    os.kill(os.getpid(), signal.SIGKILL)
