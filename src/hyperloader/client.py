"""A service asked from Python: the same calls and the same results as a tagger in the process.

Neither torch nor the tagger is needed. ``Client`` uses the standard library, ``AsyncClient`` httpx
(``pip install 'hyperloader[serve]'``).
"""

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, Self, overload
from urllib.parse import urlsplit

from hyperloader.errors import ServiceError, check_installed, first_line, unknown
from hyperloader.types import Alternative, TaggedSpan, TaggedText

# What may be better in a moment: full, stopping (another one may answer at this address).
_AGAIN = (429, 503)


class _Asking:
    """What both clients share: what is sent and what comes of it."""

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        *,
        model: str | None = None,
        timeout: float = 60.0,
        retries: int = 5,
    ) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # a port that is none, or half a pair of brackets
            usable = False
        if not usable:
            raise ServiceError(f"{url!r} is no address of a service; give http://HOST:PORT")
        self.url, self.model = url.rstrip("/"), model
        self.timeout, self.retries = timeout, retries
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            if not api_key.isascii() or not api_key.isprintable():
                raise ServiceError(
                    "an API key has printable ASCII characters alone; does this one end with a "
                    "line break?"
                )
            self._headers["Authorization"] = f"Bearer {api_key}"

    def _mine(self, document: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [one for one in document["tasks"] if self.model in (None, one["model"])]

    def _wait(self, error: ServiceError, attempt: int) -> float:
        """Seconds before the next attempt. Raises ``error`` if there is to be none."""
        if error.status not in _AGAIN or attempt >= self.retries:
            raise error
        return error.retry_after or 0.1 * 2**attempt

    def _unreachable(self, error: Exception) -> ServiceError:
        return ServiceError(f"{self.url} does not answer: {first_line(error)}; is it running?")


class Client(_Asking):
    """Asks a service. Threads may share it; each has a connection of its own.

    Args:
        url: such as ``http://127.0.0.1:8000``.
        model: the service's tagger to ask; default: the first one that knows the task.
        timeout: seconds for one attempt.
        retries: how often a request is sent again to a service that is full or stopping.

    Example:
        >>> client = Client("http://127.0.0.1:8000")
        >>> client.tag("a cheap thai place", task="restaurant").spans[0].label
        'Price'
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._local = threading.local()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close this thread's connection; it is opened again when it is needed."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that ``model`` knows, or any model."""
        return tuple(dict.fromkeys(one["task"] for one in self.all_tasks()))

    def labels(self, task: str | None = None) -> tuple[str, ...]:
        """The labels of one task."""
        return _labels(self.all_tasks(), task)

    def all_tasks(self) -> list[dict[str, Any]]:
        """Of every task of ``model``, or of every model: model, task, labels, examples."""
        return self._mine(self._ask("GET", "/v1/tasks"))

    @overload
    def tag(  # type: ignore[overload-overlap]  # a str is one text, not a sequence of letters
        self,
        texts: str,
        task: str | None = None,
        *,
        min_score: float = ...,
        alternatives: int = ...,
    ) -> TaggedText: ...

    @overload
    def tag(
        self,
        texts: Sequence[str],
        task: str | Sequence[str] | None = None,
        *,
        min_score: float = ...,
        alternatives: int = ...,
    ) -> list[TaggedText]: ...

    def tag(
        self,
        texts: str | Sequence[str],
        task: str | Sequence[str] | None = None,
        *,
        min_score: float = 0.0,
        alternatives: int = 0,
    ) -> TaggedText | list[TaggedText]:
        """As :meth:`Tagger.tag`, of as many texts as the service takes at once.

        Raises:
            ServiceError: the service refuses (its message says why) or cannot be reached.
        """
        if _are_none(texts):
            return []
        asked = request(texts, task, self.model, min_score, alternatives)
        return answer(texts, self._ask("POST", "/v1/tag", asked))

    def pipe(
        self, texts: Iterable[str], task: str | None = None, *, batch_size: int = 64, **options: Any
    ) -> Iterator[TaggedText]:
        """As :meth:`tag`, for a stream: in order, ``batch_size`` texts in a request."""
        if batch_size < 1:
            raise ServiceError(f"a batch size of {batch_size} asks for nothing; give at least 1")
        stream = iter(texts)
        while some := list(islice(stream, batch_size)):
            yield from self.tag(some, task, **options)

    def _ask(self, method: str, path: str, value: Any = None) -> Any:
        body = None if value is None else json.dumps(value)
        for attempt in count():
            try:
                return self._once(method, path, body)
            except ServiceError as error:
                time.sleep(self._wait(error, attempt))

    def _once(self, method: str, path: str, body: str | None) -> Any:
        fresh = getattr(self._local, "connection", None) is None
        if fresh:
            self._local.connection = self._connection()
        connection: http.client.HTTPConnection = self._local.connection
        try:
            where = urlsplit(self.url).path + path
            connection.request(method, where, body and body.encode(), self._headers)
            reply = connection.getresponse()
            return checked(reply.status, reply.read(), reply.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            self.close()
            if not fresh and not isinstance(error, TimeoutError):
                return self._once(method, path, body)  # it had been closed for being idle
            raise self._unreachable(error) from error

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        return kind(str(parts.hostname), parts.port, timeout=self.timeout)


class AsyncClient(_Asking):
    """As :class:`Client`, for asyncio: ``async with AsyncClient(url) as client``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        check_installed("asynchronous clients", "serve", ["httpx"])
        import httpx

        self._client = httpx.AsyncClient(
            headers=self._headers, timeout=self.timeout, trust_env=False
        )
        self._no_answer = httpx.HTTPError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def all_tasks(self) -> list[dict[str, Any]]:
        """As :meth:`Client.all_tasks`."""
        return self._mine(await self._ask("GET", "/v1/tasks"))

    @overload
    async def tag(  # type: ignore[overload-overlap]  # as above
        self,
        texts: str,
        task: str | None = None,
        *,
        min_score: float = ...,
        alternatives: int = ...,
    ) -> TaggedText: ...

    @overload
    async def tag(
        self,
        texts: Sequence[str],
        task: str | Sequence[str] | None = None,
        *,
        min_score: float = ...,
        alternatives: int = ...,
    ) -> list[TaggedText]: ...

    async def tag(
        self,
        texts: str | Sequence[str],
        task: str | Sequence[str] | None = None,
        *,
        min_score: float = 0.0,
        alternatives: int = 0,
    ) -> TaggedText | list[TaggedText]:
        """As :meth:`Client.tag`. Cancelling it takes the texts out of the service's queue."""
        if _are_none(texts):
            return []
        asked = request(texts, task, self.model, min_score, alternatives)
        return answer(texts, await self._ask("POST", "/v1/tag", asked))

    async def _ask(self, method: str, path: str, value: Any = None) -> Any:
        body = None if value is None else json.dumps(value)
        for attempt in count():
            try:
                reply = await self._client.request(method, self.url + path, content=body)
                after = reply.headers.get("Retry-After")
                return checked(reply.status_code, reply.content, after)
            except self._no_answer as error:
                raise self._unreachable(error) from error
            except ServiceError as error:
                await asyncio.sleep(self._wait(error, attempt))


def request(
    texts: str | Sequence[str],
    task: str | Sequence[str] | None,
    model: str | None,
    min_score: float,
    alternatives: int,
) -> dict[str, Any]:
    """What is asked, as the service takes it."""
    return {
        "texts": texts if isinstance(texts, str) else list(texts),
        "task": task if isinstance(task, str | None) else list(task),
        "model": model,
        "min_score": min_score,
        "alternatives": alternatives,
    }


def answer(texts: str | Sequence[str], document: Mapping[str, Any]) -> Any:
    """What was found: of one text it, of several a list."""
    found = [tagged_text(one) for one in document["results"]]
    return found[0] if isinstance(texts, str) else found


def tagged_text(document: Mapping[str, Any]) -> TaggedText:
    """What ``TaggedText.to_dict`` was made of."""
    others = document.get("alternatives")
    return TaggedText(
        document["text"],
        tuple(document["words"]),
        tuple((start, end) for start, end in document["offsets"]),
        tuple(TaggedSpan(**span) for span in document["spans"]),
        document["task"],
        None
        if others is None
        else tuple(
            tuple(Alternative(tuple(one["tags"]), one["probability"]) for one in word)
            for word in others
        ),
    )


def checked(status: int, body: bytes, retry_after: str | None) -> Any:
    """The JSON of an answer. Raises ServiceError for every other one."""
    try:
        document = json.loads(body)
        if status < 400 and not {"results", "tasks"}.isdisjoint(document):
            return document
        code, message = document["error"]["code"], document["error"]["message"]
    except (ValueError, KeyError, TypeError):
        raise ServiceError(
            f"what answers there (status {status}) is no hyperloader service", status
        ) from None
    after = retry_after or ""
    raise ServiceError(message, status, code, float(after) if after.isdecimal() else 0.0)


def _are_none(texts: str | Sequence[str]) -> bool:
    return not isinstance(texts, str) and not texts


def _labels(tasks: Sequence[Mapping[str, Any]], task: str | None) -> tuple[str, ...]:
    """The labels of ``task``, or of the only one."""
    labels = {one["task"]: tuple(one["labels"]) for one in reversed(tasks)}
    if task is None and len(labels) == 1:
        return next(iter(labels.values()))
    if task is None:
        raise ServiceError(f"give a task (one of: {', '.join(reversed(labels))})")
    if task not in labels:
        raise ServiceError(unknown("task", task, reversed(labels)))
    return labels[task]
