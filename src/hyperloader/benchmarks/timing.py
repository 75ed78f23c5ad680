"""How benchmarks measure: contenders in turns, their median, and memory at its peak."""

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch

from hyperloader.errors import HyperloaderError

T = TypeVar("T")

# Of one contender: enough measured, and too long to go on after the first time.
ENOUGH_SECONDS, PATIENCE_SECONDS, MOST_REPEATS = 2.0, 20.0, 7


def nothing() -> None:
    """No preparation."""


@dataclass(slots=True, kw_only=True)
class Measured:
    """What a run's numbers were measured on; subclasses add the numbers."""

    device: str
    seed: int
    threads: int = field(default_factory=torch.get_num_threads)
    torch: str = torch.__version__

    def to_json(self) -> dict[str, object]:
        """Plain values for ``json.dumps``."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Contender:
    """What is timed, and what is done before each time."""

    run: Callable[[], object]
    prepare: Callable[[], object] = nothing


def take_turns(
    contenders: Mapping[str, Contender],
    device: torch.device,
    *,
    repeats: int = 3,
    enough: float = ENOUGH_SECONDS,
) -> dict[str, list[float]]:
    """Seconds of each contender, measured in rounds: what else a machine does then hits all alike.

    A contender is measured ``repeats`` times at least and goes on, up to seven times, until it has
    taken ``enough`` seconds; one that is very slow stops earlier. Its first time warms up and does
    not count, unless it was long or the only one.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    going = dict(contenders)
    while going:
        for name, contender in list(going.items()):
            contender.prepare()
            taken = times[name]
            taken.append(seconds_of(contender.run, device))
            counted = len(taken) - 1
            done = counted >= repeats and sum(taken[1:]) > enough
            if done or counted >= max(repeats, MOST_REPEATS) or sum(taken) > PATIENCE_SECONDS:
                del going[name]
    return {
        name: taken[1:] if len(taken) > 1 and taken[0] < enough else taken
        for name, taken in times.items()
    }


def medians(times: Mapping[str, list[float]]) -> dict[str, float]:
    """The median of each contender."""
    return {name: statistics.median(taken) for name, taken in times.items()}


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """How long ``run`` takes on ``device``."""
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def peak_memory(run: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that ``run`` holds at its peak above what is held before it.

    On CUDA the memory of tensors; on the CPU this process's resident memory, where Linux tells it
    (elsewhere None). A process that has done much before reuses what it has freed: measure in a
    fresh one.
    """
    gc.collect()
    if device.type == "cuda":
        _wait(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        _wait(device)
        return torch.cuda.max_memory_allocated(device) - before
    _return_freed_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak becomes what is held now
        start = _peak_resident()
    except OSError:
        return None
    run()
    return _peak_resident() - start


def in_fresh_process(function: Callable[..., T], *arguments: object) -> T:
    """What ``function`` returns in a process of its own, newly started, on as many threads.

    Raises:
        HyperloaderError: the process was killed.
    """
    with ProcessPoolExecutor(
        1,
        mp_context=get_context("spawn"),
        initializer=torch.set_num_threads,
        initargs=(torch.get_num_threads(),),
    ) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool as error:
            raise HyperloaderError(
                "a measuring process was killed, most likely for want of memory; measure a "
                "smaller batch or shape"
            ) from error


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _return_freed_memory() -> None:
    """What the allocator keeps for later would hide a peak that fits into it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def _peak_resident() -> int:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise OSError("this kernel does not tell a process's peak memory")
