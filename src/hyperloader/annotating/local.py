"""Shards by processes of this machine. One that dies is replaced, and its shard done again."""

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from hyperloader.annotating.shards import Shard
from hyperloader.annotating.work import Annotator, Done, Job
from hyperloader.errors import HyperloaderError

# How many workers a shard may cost before it is given up.
TRIES = 3
THREADS = "OMP_NUM_THREADS"


class Rows(NamedTuple):
    """Some rows were tagged, and some were bad."""

    good: int
    bad: int
    shard: int


class Lost(NamedTuple):
    """A worker died; its shard is done again, and what was told of it does not count."""

    shard: int


Event = Rows | Done | Lost


class _Worker(NamedTuple):
    process: Any
    pipe: Connection


def by_processes(job: Job, shards: Sequence[Shard], workers: int) -> Iterator[Event]:
    """What happens while ``workers`` processes do all ``shards``.

    Raises:
        HyperloaderError: a mistake that concerns the whole run, or a shard that no worker survives.
    """
    waiting, tries = deque(shards), Counter[int]()
    busy: dict[Connection, tuple[_Worker, Shard]] = {}
    idle: list[_Worker] = []
    context = multiprocessing.get_context("spawn")
    threads = int(os.environ.get(THREADS) or max(1, (os.cpu_count() or 1) // workers))
    started: list[_Worker] = []

    def start() -> _Worker:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, job, threads), daemon=True)
        with _threads(threads):
            process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        started.append(_Worker(process, ours))
        return started[-1]

    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                worker = idle.pop() if idle else start()
                shard = waiting.popleft()
                try:
                    worker.pipe.send(shard)
                except OSError:  # it died while nobody looked
                    waiting.appendleft(shard)
                    continue
                busy[worker.pipe] = worker, shard
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, shard = busy[pipe]
                try:
                    event = pipe.recv()
                except (EOFError, OSError):
                    del busy[pipe]
                    worker.process.join()
                    tries[shard.number] += 1
                    if tries[shard.number] == TRIES:
                        raise _given_up(shard, worker.process.exitcode) from None
                    waiting.append(shard)
                    yield Lost(shard.number)
                    continue
                if isinstance(event, BaseException):
                    raise event
                if isinstance(event, Done):
                    del busy[pipe]
                    idle.append(worker)
                yield event
    finally:
        for worker in started:
            worker.process.terminate()
        for worker in started:
            worker.process.join()


def _given_up(shard: Shard, code: int | None) -> HyperloaderError:
    return HyperloaderError(
        f"{TRIES} workers died at line {shard.line:,} and what follows of {shard.path} (exit code "
        f"{code}); if the memory was full, give fewer --workers or a smaller --batch-size, and the "
        "same command goes on"
    )


def _work(pipe: Connection, job: Job, threads: int) -> None:
    """Do shards as long as somebody sends them."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started this
    try:
        annotator = Annotator(job, threads)
        while True:
            shard = pipe.recv()

            def told(good: int, bad: int, number: int = shard.number) -> None:
                pipe.send(Rows(good, bad, number))

            pipe.send(annotator.annotate(shard, told))
    except (EOFError, BrokenPipeError):
        return  # nobody is there any more
    except OSError as error:
        where, what = error.filename or job.out, error.strerror or error
        pipe.send(HyperloaderError(f"{where}: {what}; mend that, and the same command goes on"))
    except Exception as error:  # to be raised where it is seen
        pipe.send(_portable(error))


def _portable(error: Exception) -> Exception:
    """``error`` as it can be sent: errors with arguments of their own cannot be made again."""
    if isinstance(error, HyperloaderError):
        return HyperloaderError(str(error))
    return RuntimeError(f"{type(error).__name__}: {error}")


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """What is started inside begins with ``number`` threads, unless the user has said otherwise."""
    if THREADS in os.environ:
        yield
        return
    os.environ[THREADS] = str(number)
    try:
        yield
    finally:
        del os.environ[THREADS]
