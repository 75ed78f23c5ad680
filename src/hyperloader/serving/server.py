"""The process around a service: its socket, and an end at which nothing accepted is lost."""

import errno
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from hyperloader.errors import ConfigError
from hyperloader.serving.app import create_app
from hyperloader.serving.logs import log
from hyperloader.serving.service import Service


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any free one.

    Raises:
        ConfigError: the port is in use or not allowed, or there is no such address here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(2048)
        except OSError:
            listener.close()
            raise
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            why = "is in use; give another --port, or 0 for any free one"
        else:
            why = f"cannot be listened to: {getattr(error, 'strerror', error)}"
        raise ConfigError(f"port {port} of {host} {why}") from error
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a client finds ``listener``."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Server(uvicorn.Server):
    """uvicorn that stops in two steps: first no more work is taken and what was is answered, then
    it closes. A second signal ends it at once.

    Args:
        started: called when it listens.

    Attributes:
        lost: texts that were accepted and not tagged in time.
    """

    def __init__(self, service: Service, started: Callable[[], None] = lambda: None) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(service),
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=75,  # longer than clients and proxies keep one that is idle
                timeout_graceful_shutdown=max(1, round(service.settings.drain)),
            )
        )
        self.service, self.lost = service, 0
        self._told = started
        self._until = 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        if self.started:
            self._told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        if self.service.batcher.draining:
            self.should_exit = self.force_exit = True
            return
        self.drain()
        log("draining", signal=signal.Signals(sig).name, texts=self.service.batcher.texts)

    def drain(self) -> None:
        """Take no more work, and stop when all that was taken is answered."""
        self._until = time.monotonic() + self.service.settings.drain
        self.service.batcher.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop now."""
        batcher = self.service.batcher
        if batcher.draining:
            if time.monotonic() > self._until:
                self.lost += batcher.refuse_all()
            self.should_exit = batcher.idle or time.monotonic() > self._until
        return await super().on_tick(counter)
