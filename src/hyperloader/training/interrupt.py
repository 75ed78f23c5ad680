"""Stopping between two steps when the user or the system asks for it."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from hyperloader.errors import HyperloaderError


class Stopped(HyperloaderError):
    """Training stopped because a signal asked for it; the message says how to go on."""


class Interrupt:
    """Turns the first SIGINT or SIGTERM inside the block into a request; a second one kills."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()
