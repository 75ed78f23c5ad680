"""The queue before the model: texts of many requests and tasks are tagged together.

All that is here lives on the event loop; only the model runs in a thread of its own, one batch at a
time. While it works the next texts gather, so that the load makes the batches. Requests take turns:
a long one never makes a short one wait for all of it.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from hyperloader.serving.logs import log
from hyperloader.serving.metrics import Metrics
from hyperloader.serving.refusals import Refused, refused
from hyperloader.serving.settings import Settings
from hyperloader.serving.taggers import Served
from hyperloader.types import TaggedText

# Texts of one request in a batch while others wait.
TURN = 16


def tokens_of(text: str) -> int:
    """About how many tokens ``text`` is for the model, with what surrounds it."""
    return 4 + len(text) // 4


@dataclass(frozen=True, slots=True)
class Item:
    """A text that waits, and its answer to be."""

    text: str
    task: str
    tokens: int
    since: float
    answer: "asyncio.Future[TaggedText]"


class Job:
    """The texts of one request. ``answers`` are in their order, each there when it is."""

    def __init__(
        self,
        served: Served,
        texts: Sequence[str],
        tasks: Sequence[str],
        alternatives: int = 0,
    ) -> None:
        loop, now = asyncio.get_running_loop(), time.perf_counter()
        self.served, self.alternatives = served, alternatives
        items = [
            Item(text, task, tokens_of(text), now, loop.create_future())
            for text, task in zip(texts, tasks, strict=True)
        ]
        self.answers = [item.answer for item in items]
        self.waiting = deque(items)
        self.tokens = sum(item.tokens for item in items)

    @property
    def key(self) -> tuple[int, int]:
        """Texts with the same one can be tagged together."""
        return id(self.served), self.alternatives


class Batcher:
    """Tags the texts of jobs in batches. :meth:`run` has to be running.

    Attributes:
        draining: no more jobs are taken; those that were are answered.
        texts, tokens: that wait, the tokens roughly.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.draining = False
        self.texts = self.tokens = 0
        self._jobs: dict[Job, None] = {}  # in the order of their turns
        self._model = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._news = asyncio.Event()
        self._enough = asyncio.Event()
        self._running = 0
        self._tokens_per_second = 0.0
        metrics.watch("queue_texts", "Texts that wait for the model.", lambda: self.texts)
        metrics.watch("queue_tokens", "Their tokens, roughly.", lambda: self.tokens)

    @property
    def seconds_left(self) -> float:
        """In how many seconds all that waits should be tagged."""
        return self.tokens / (self._tokens_per_second or math.inf)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is being tagged."""
        return not self._jobs and not self._running

    def submit(self, job: Job) -> None:
        """Let ``job`` wait for its turn.

        Raises:
            Refused: there is no room (429), or the service is about to stop (503).
        """
        if self.draining:
            raise stopping()
        if (
            self.texts + len(job.answers) > self.settings.max_queue
            or self.seconds_left > self.settings.timeout / 4  # it might be answered too late
        ):
            what = f"{self.texts:,} texts are waiting, and {len(job.answers):,} more are too many"
            after = max(1, math.ceil(self.seconds_left))
            raise Refused(429, "busy", f"{what}; try again later", after)
        self._jobs[job] = None
        self.texts += len(job.answers)
        self.tokens += job.tokens
        self._news.set()
        if self.tokens >= self.settings.batch_tokens:
            self._enough.set()

    def give_up(self, job: Job) -> None:
        """Forget a job whose answer nobody waits for."""
        self._forget(job)
        for answer in job.answers:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen: asyncio need not tell of it

    def refuse_all(self) -> int:
        """Tell all that still wait that the service has stopped; how many texts these were."""
        refused_texts = self.texts
        for job in list(self._jobs):
            waiting = list(job.waiting)
            self._forget(job)
            for item in waiting:
                item.answer.set_exception(stopping())
        return refused_texts

    async def run(self) -> None:
        """Tag what comes until this is cancelled."""
        crowded = False
        while True:
            await self._news.wait()
            if crowded and self.settings.max_wait:
                await self._wait_for_more()
            if not self._jobs:
                self._news.clear()
                crowded = False
                continue
            first = next(iter(self._jobs))
            items = self._next_items()
            crowded = len(items) > 1
            await self._tag(first.served, first.alternatives, items)

    async def _wait_for_more(self) -> None:
        """Until there is a whole batch, or as long as it may wait."""
        self._enough.clear()
        if self.tokens < self.settings.batch_tokens:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), self.settings.max_wait / 1000)

    def _next_items(self) -> list[Item]:
        """A batch: of the first job and of others like it, in turns, as many as the budget has."""
        key = next(iter(self._jobs)).key
        turns = deque(job for job in self._jobs if job.key == key)
        items: list[Item] = []
        room = self.settings.batch_tokens
        while turns and room > 0:
            job = turns.popleft()
            if items and job.waiting[0].tokens > room:
                break  # it keeps its place, and comes first next time
            del self._jobs[job]
            for _ in range(min(TURN, len(job.waiting))):
                if items and job.waiting[0].tokens > room:
                    break
                items.append(job.waiting.popleft())
                room -= items[-1].tokens
            if job.waiting:  # whoever had a turn comes last
                self._jobs[job] = None
                turns.append(job)
        self._count(items)
        return items

    def _forget(self, job: Job) -> None:
        self._jobs.pop(job, None)
        self._count(job.waiting)
        job.waiting.clear()

    def _count(self, gone: Iterable[Item]) -> None:
        for item in gone:
            self.texts -= 1
            self.tokens -= item.tokens

    async def _tag(self, served: Served, alternatives: int, items: list[Item]) -> None:
        start = time.perf_counter()
        for item in items:
            self.metrics.wait_seconds.observe(start - item.since)
        self._running = len(items)
        try:
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._model, _answers, served, items, alternatives)
        finally:
            self._running = 0
        seconds = time.perf_counter() - start
        tokens = sum(item.tokens for item in items)
        if tokens >= self.settings.batch_tokens / 2:  # a small one tells nothing of a full queue
            before = self._tokens_per_second or tokens / seconds
            self._tokens_per_second = before + 0.2 * (tokens / seconds - before)
        self.metrics.batch_texts.observe(len(items))
        self.metrics.batch_seconds.observe(seconds)
        self.metrics.tokens.labels(served.name).inc(tokens)
        for item, answer in zip(items, found, strict=True):
            self._deliver(served, item, answer)

    def _deliver(self, served: Served, item: Item, answer: TaggedText | Exception) -> None:
        if isinstance(answer, Exception):
            self.metrics.failed.inc()
            told = refused(answer)
            if told.status_code >= 500:
                log("fault", logging.ERROR, answer, model=served.name)
            if not item.answer.done():
                item.answer.set_exception(told)
            return
        self.metrics.texts.labels(served.name, answer.task).inc()
        if not item.answer.done():
            item.answer.set_result(answer)


def stopping() -> Refused:
    """What is said when no more is taken."""
    return Refused(503, "draining", "the service is stopping; ask another one", 1)


def _answers(
    served: Served, items: Sequence[Item], alternatives: int
) -> Sequence[TaggedText | Exception]:
    """What was found in each text; where they cannot be tagged together, each by itself."""
    try:
        return served.tagger.tag(
            [item.text for item in items],
            [item.task for item in items],
            alternatives=alternatives,
        )
    except Exception as error:
        if len(items) == 1:
            return [error]
    return [answer for item in items for answer in _answers(served, [item], alternatives)]
