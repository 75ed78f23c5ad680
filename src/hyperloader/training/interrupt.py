"""Ctrl-C and SIGTERM: a request to stop that loses no finished step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Self

from hyperloader.errors import HyperloaderError


class Interrupted(HyperloaderError):
    """A signal stopped the training; the message says how to resume it.

    ``exit_code`` is what a shell expects of a program that ends so: 130 after Ctrl-C, 143 after
    SIGTERM.
    """

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number
        self.exit_code = 128 + number


class Abandoned(BaseException):
    """Raised in the middle of work that is to be dropped; never leaves the training loop."""


class Interrupt:
    """Turns the first SIGINT or SIGTERM inside the block into a request; a second one kills.

    Work between requests is finished, except what stands in an :meth:`abandonable` block.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._abandonable = False
        self._before: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.number is not None

    @contextmanager
    def abandonable(self, enabled: bool = True) -> Iterator[None]:
        """A block that a signal leaves at once, with :class:`Abandoned`."""
        self._abandonable = enabled
        try:
            if enabled and self.requested:
                raise Abandoned
            yield
        finally:
            self._abandonable = False

    def __enter__(self) -> Self:
        self.number = None
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()
        if self._abandonable:
            self._abandonable = False
            raise Abandoned

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
