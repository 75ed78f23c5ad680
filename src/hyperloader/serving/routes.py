"""What the service answers: tagging, the list of tasks, its health and its figures."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response
from fastapi.responses import StreamingResponse

from hyperloader.serving.batching import Batcher, Job
from hyperloader.serving.keys import guarded_router
from hyperloader.serving.refusals import CLIENT_GONE, Refused
from hyperloader.serving.schemas import (
    ANSWER,
    REQUESTS,
    Failure,
    Health,
    TagAnswer,
    TagRequest,
    Tasks,
)
from hyperloader.serving.service import Service
from hyperloader.tagging import check_count, check_text
from hyperloader.types import TaggedText

NDJSON = "application/x-ndjson"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": about}
    for status, about in (
        (400, "The body is not JSON"),
        (401, "No key, or a wrong one"),
        (408, "The body did not come in time"),
        (413, "Too much: bytes, texts, or characters of a text"),
        (422, "Wrong types or values; an unknown task or model"),
        (429, "Full; Retry-After says when to try again"),
        (500, "A fault of the service"),
        (503, "The service is stopping"),
        (504, "Not answered in time"),
    )
}


def health_routes(service: Service) -> APIRouter:
    """What needs no key."""
    router = APIRouter()

    @router.get("/health/live", response_model=Health)
    async def live(response: Response) -> dict[str, str]:
        """Whether the process works; if not, start it again."""
        response.status_code = 200 if service.works else 503
        return {"status": "live" if service.works else "broken"}

    @router.get("/health", response_model=Health)
    @router.get("/health/ready", response_model=Health)
    async def ready(response: Response) -> dict[str, str]:
        """Whether requests are taken."""
        status = "draining" if service.batcher.draining else "ready" if service.works else "broken"
        response.status_code = 200 if status == "ready" else 503
        return {"status": status}

    return router


def routes(service: Service) -> APIRouter:
    """All that anybody with a key may ask."""
    router = guarded_router(service.settings.api_keys, service.settings.admin_key)

    @router.post(
        "/v1/tag",
        response_model=TagAnswer,
        responses={
            200: {
                "content": {"application/json": {"example": ANSWER}, NDJSON: {}},
                "description": "All texts in their order; NDJSON has one line per text.",
            },
            **_REFUSALS,
        },
    )
    async def tag(
        asked: Annotated[TagRequest, Body(openapi_examples=REQUESTS)], request: Request
    ) -> Response:
        """Tag one text or many.

        With ``stream``, or ``Accept: application/x-ndjson``, every text is a line of JSON, sent as
        soon as it is tagged, in the order of the texts; one that could not be tagged has an
        ``error`` in its line.
        """
        job = accept(service, asked)
        request.state.fields.update(
            model=job.served.name, texts=len(job.answers), tokens=job.tokens
        )
        if service.settings.log_texts:
            request.state.fields["text"] = asked.texts
        service.batcher.submit(job)
        deadline = asyncio.get_running_loop().time() + service.settings.timeout
        if asked.stream or NDJSON in request.headers.get("accept", ""):
            lines = stream(service.batcher, job, asked.min_score, deadline)
            return StreamingResponse(lines, media_type=NDJSON)
        results = await whole(service.batcher, job, request, deadline)
        return json_response(
            {
                "model": job.served.name,
                "results": [document(result, asked.min_score) for result in results],
            }
        )

    @router.get("/v1/tasks", response_model=Tasks, responses={401: _REFUSALS[401]})
    async def tasks() -> Response:
        """The taggers with their tasks, labels, and for some tasks an example."""
        return json_response({"tasks": [t for s in service.taggers.values() for t in s.tasks()]})

    @router.get("/metrics", response_class=Response)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router


def accept(service: Service, asked: TagRequest) -> Job:
    """The job for a request that can be answered.

    Raises:
        HyperloaderError: it is empty or too large, or asks for what there is not.
    """
    texts = [asked.texts] if isinstance(asked.texts, str) else asked.texts
    limits = service.settings
    if not texts:
        raise Refused(422, "empty_batch", "texts is empty; give at least one text")
    if len(texts) > limits.max_texts:
        what = f"{len(texts):,} texts are too many; a request has at most {limits.max_texts:,}"
        raise Refused(413, "too_large", f"{what}, so send several")
    for i, text in enumerate(texts):
        if len(text) > limits.max_characters:
            what = f"text {i} has {len(text):,} characters, more than {limits.max_characters:,}"
            raise Refused(413, "too_large", f"{what}; split it")
    tasks: Sequence[str | None]
    tasks = asked.task if isinstance(asked.task, list) else [asked.task] * len(texts)
    # One that the tagger refuses would cost the texts beside it their common batch.
    check_count(len(texts), len(tasks))
    for i, text in enumerate(texts):
        check_text(text, f"text {i}")
    served = service.taggers.chosen(asked.model, tasks)
    only = served.tagger.tasks[0]  # where a task may be left out
    return Job(served, texts, [task or only for task in tasks], asked.alternatives)


async def whole(
    batcher: Batcher, job: Job, request: Request, deadline: float
) -> Sequence[TaggedText]:
    """All answers of ``job``.

    Raises:
        Refused: one of the texts cannot be tagged, the time is over, or the client has left.
    """
    answers = asyncio.gather(*job.answers)
    leaving = asyncio.ensure_future(_left(request))
    try:
        left = deadline - asyncio.get_running_loop().time()
        either: set[asyncio.Future[Any]] = {answers, leaving}
        await asyncio.wait(either, timeout=left, return_when="FIRST_COMPLETED")
        if answers.done():
            return answers.result()
        raise client_gone() if leaving.done() else too_late()
    finally:
        leaving.cancel()
        answers.add_done_callback(_seen)
        give_up(batcher, job)


async def stream(
    batcher: Batcher, job: Job, min_score: float, deadline: float
) -> AsyncIterator[bytes]:
    """A line for each text, in their order. Whoever leaves ends it."""
    try:
        for answer in job.answers:
            try:
                async with asyncio.timeout_at(deadline):
                    line = document(await answer, min_score)
            except TimeoutError:
                line = too_late().to_dict()
            except Refused as refusal:
                line = refusal.to_dict()
            yield to_json(line) + b"\n"
    finally:
        give_up(batcher, job)


def client_gone() -> Refused:
    """What the log says of a client that has left; nobody is told."""
    return Refused(CLIENT_GONE, "client_gone", "the client has left")


def too_late() -> Refused:
    """What is said when the time for a request is over."""
    return Refused(504, "timeout", "not answered in time; send fewer texts, or try again later", 1)


def give_up(batcher: Batcher, job: Job) -> None:
    """Take what is left of a job out of the queue, if anything is."""
    if not all(answer.done() for answer in job.answers):
        batcher.metrics.abandoned.inc()
    batcher.give_up(job)


def document(tagged: TaggedText, min_score: float) -> dict[str, Any]:
    """``tagged`` with the spans that have that score at least."""
    if min_score:
        spans = tuple(span for span in tagged.spans if span.score >= min_score)
        tagged = replace(tagged, spans=spans)
    return tagged.to_dict()


def json_response(value: Any, status: int = 200) -> Response:
    """``value`` as JSON; it is of the declared form and not checked again."""
    return Response(to_json(value), status, media_type="application/json")


def to_json(value: Any) -> bytes:
    """``value`` as one line of UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _seen(given_up: "asyncio.Future[Any]") -> None:
    """Nobody waits for it, so asyncio need not tell that it was cancelled."""
    if not given_up.cancelled():
        given_up.exception()


async def _left(request: Request) -> None:
    """Until the client closes its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
