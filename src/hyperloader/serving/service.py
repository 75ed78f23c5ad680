"""What the parts of a running service share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from hyperloader.serving.batching import Batcher
from hyperloader.serving.metrics import Metrics
from hyperloader.serving.settings import Settings
from hyperloader.serving.taggers import Taggers


class Service:
    """Some taggers, the queue before them, and the figures."""

    def __init__(self, taggers: Taggers, settings: Settings) -> None:
        self.taggers, self.settings = taggers, settings
        self.metrics = Metrics()
        self.batcher = Batcher(settings, self.metrics)
        self._batching: asyncio.Task[None] | None = None

    @property
    def works(self) -> bool:
        """Whether texts are being tagged."""
        return self._batching is not None and not self._batching.done()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tag what comes; at the end nothing more is taken."""
        self._batching = asyncio.create_task(self.batcher.run())
        try:
            yield
        finally:
            self.batcher.draining = True
            self._batching.cancel()
            with suppress(asyncio.CancelledError):
                await self._batching
