"""What holds for every request: an id, a log line, figures, headers, limits of size and time."""

import asyncio
import logging
import re
import secrets
import time
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hyperloader.serving.logs import log
from hyperloader.serving.metrics import Metrics
from hyperloader.serving.refusals import CLIENT_GONE, Refused, refused, response
from hyperloader.serving.settings import Settings

REQUEST_ID = "X-Request-Id"
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
# Bytes of a body that are read and thrown away at most.
DISCARDED = 64 << 20
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Envelope:
    """Middleware around everything that the service answers.

    The handler of a request may add fields to its line of the log: ``request.state.fields``.
    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self._open = 0
        metrics.watch("open_requests", "Requests that are not answered yet.", lambda: self._open)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), CLIENT_GONE
        given = Headers(scope=scope).get(REQUEST_ID, "")
        request_id = given if _ID.fullmatch(given) else secrets.token_hex(16)
        fields: dict[str, Any] = {}
        scope.setdefault("state", {}).update(request_id=request_id, fields=fields)

        body = Body(scope, receive, self.settings)

        async def send_more(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status >= 400:
                    await body.discard()
                MutableHeaders(scope=message).update({REQUEST_ID: request_id, **_HEADERS})
            await send(message)

        self._open += 1
        try:
            await self._answer(scope, body.receive, send_more)
        except Exception as error:
            log("fault", logging.ERROR, error, request_id=request_id)
            if status == CLIENT_GONE:
                await response(refused(error))(scope, receive, send_more)
        finally:
            self._open -= 1
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(route, status).inc()
            self.metrics.request_seconds.labels(route).observe(seconds)
            log(
                "request",
                request_id=request_id,
                method=scope["method"],
                route=route,
                status=status,
                seconds=round(seconds, 6),
                **fields,
            )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and self._open > self.settings.max_requests:
            refusal = Refused(429, "busy", "too many requests at a time; try again later", 1)
            await response(refusal)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Body:
    """The body of a request, which has to be of a bounded size and to come in time."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings) -> None:
        self._receive, self._settings = receive, settings
        self._until = asyncio.get_running_loop().time() + settings.timeout
        headers = Headers(scope=scope)
        # It asks before it sends: the answer can be no.
        self._asks = headers.get("expect", "").lower() == "100-continue"
        length = headers.get("content-length", "")
        self._announced = int(length) if length.isdecimal() else 0
        self._size, self._complete = 0, False

    async def receive(self) -> Message:
        """The next part; when all is there, whether the client leaves.

        Raises:
            Refused: it is too large or too slow.
        """
        if self._complete:
            return await self._receive()
        most = self._settings.max_body
        if self._announced <= most:
            try:
                async with asyncio.timeout_at(self._until):
                    message = await self._next()
            except TimeoutError:
                what = "the body of the request did not come in time"
                raise Refused(408, "slow_body", what) from None
            if self._size <= most:
                return message
        raise Refused(413, "too_large", f"a request has at most {most:,} bytes; send several")

    async def discard(self) -> None:
        """Read what is left of it: a client that is still sending would not see the answer."""
        if self._asks and not self._size:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._until):
                while not self._complete and self._size < DISCARDED:
                    await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._size += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        return message
