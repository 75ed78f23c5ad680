"""What changes a service while it runs: taggers, and tasks of a tagger. The admin key opens it."""

import asyncio
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response

from hyperloader.serving.keys import guarded_router
from hyperloader.serving.logs import log
from hyperloader.serving.refusals import Refused
from hyperloader.serving.routes import json_response
from hyperloader.serving.schemas import NewTagger, NewTask, Tasks
from hyperloader.serving.service import Service
from hyperloader.serving.taggers import Served, load


def admin_routes(service: Service) -> APIRouter:
    """All that the admin key opens."""
    router = guarded_router((), service.settings.admin_key, admin=True)

    @router.post("/v1/models", status_code=201, response_model=Tasks)
    async def add_tagger(new: NewTagger) -> Response:
        """Load a tagger; the others answer meanwhile."""
        given = new.path if new.name is None else f"{new.name}={new.path}"
        served = await asyncio.to_thread(load, given)
        if served.name in service.taggers:
            raise Refused(409, "conflict", f"there is a model {served.name!r} already")
        service.taggers.register(served)
        log("loaded", model=served.name)
        return json_response({"tasks": served.tasks()}, 201)

    @router.delete("/v1/models/{name}", status_code=204)
    async def remove_tagger(name: str) -> None:
        """Forget a tagger. What it was asked before is answered."""
        service.taggers.take_out(name)
        log("removed", model=name)

    @router.post("/v1/tasks", status_code=201, response_model=Tasks)
    async def add_task(new: NewTask) -> Response:
        """Add a task to a tagger, which answers meanwhile."""
        served = _chosen(service, new.model)
        await asyncio.to_thread(_method(served, "add"), new.path)
        log("task added", model=served.name)
        return json_response({"tasks": served.tasks()}, 201)

    @router.delete("/v1/tasks/{name:path}", status_code=204)
    async def remove_task(name: str, model: str | None = None) -> None:
        """Remove a task from a tagger. Texts that still wait for it get 422."""
        served = _chosen(service, model)
        if name not in served.tagger.tasks:
            raise Refused(404, "unknown_task", f"{served.name!r} has no task {name!r}")
        await asyncio.to_thread(_method(served, "remove"), name)
        log("task removed", model=served.name, task=name)

    return router


def _chosen(service: Service, model: str | None) -> Served:
    """The tagger called ``model``, or the first one."""
    if model is None:
        return next(iter(service.taggers.values()))
    return service.taggers.chosen(model, ())


def _method(served: Served, name: str) -> Callable[[str], Any]:
    """How a tagger gains or loses a task. Raises Refused for one whose tasks are fixed."""
    method = getattr(served.tagger, name, None)
    if method is None:
        raise Refused(501, "not_supported", f"the tasks of {served.name!r} cannot be changed")
    return method
