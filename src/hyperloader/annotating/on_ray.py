"""Shards by actors on a Ray cluster, whose nodes all see the inputs and the output folder."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from hyperloader.annotating.local import TRIES, Event
from hyperloader.annotating.shards import Shard
from hyperloader.annotating.work import Annotator, Done, Job
from hyperloader.errors import ConfigError, HyperloaderError, check_installed, first_line


class OnRay:
    """An engine: see :func:`~hyperloader.annotating.local.by_processes`.

    Args:
        address: of a cluster, such as ``auto`` or ``ray://host:10001``; None: one that is started
            on this machine for the time.
    """

    def __init__(self, address: str | None = None) -> None:
        check_installed("annotations on Ray", "ray", ["ray"])
        self.address = address

    def __call__(self, job: Job, shards: Sequence[Shard], workers: int) -> Iterator[Event]:
        """What happens while ``workers`` actors do all ``shards``."""
        import ray

        ours = not ray.is_initialized()
        if ours:
            _connect(ray, self.address)
        try:
            yield from _events(ray, job, shards, workers)
        finally:
            if ours:
                ray.shutdown()


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigError(
            f"no Ray cluster at {address!r}: {first_line(error)}; start one with ray start --head"
        ) from error


def _events(ray: Any, job: Job, shards: Sequence[Shard], workers: int) -> Iterator[Event]:
    # An actor that wanted a whole core would wait for ever where there are fewer of them.
    cores = ray.cluster_resources().get("CPU", 1.0)
    share = min(1.0, 0.9 * cores / workers)
    kind = ray.remote(_Actor).options(
        num_cpus=share, max_restarts=TRIES, max_task_retries=TRIES - 1
    )
    threads = max(1, int(cores // workers))
    idle = [kind.remote(job, threads) for _ in range(workers)]
    waiting = list(shards[::-1])
    busy: dict[Any, Any] = {}
    while waiting or busy:
        while waiting and idle:
            actor = idle.pop()
            busy[actor.annotate.remote(waiting.pop())] = actor
        ready, _ = ray.wait(list(busy))
        idle.append(busy.pop(ready[0]))
        try:
            done = ray.get(ready[0])
        except ray.exceptions.RayTaskError as error:
            raise HyperloaderError(_last_line(error)) from error
        except ray.exceptions.RayError as error:
            raise HyperloaderError(
                f"Ray gave a shard up: {first_line(error)}; the same command goes on"
            ) from error
        yield done


def _last_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]


class _Actor:
    """A worker on some node, which loads the tagger once."""

    def __init__(self, job: Job, threads: int) -> None:
        self._job, self._threads = job, threads

    @cached_property
    def _annotator(self) -> Annotator:
        # Not at once: a mistake should be the answer to a call, and not the end of the actor.
        return Annotator(self._job, self._threads)

    def annotate(self, shard: Shard) -> Done:
        """Do one shard."""
        return self._annotator.annotate(shard, lambda good, bad: None)
