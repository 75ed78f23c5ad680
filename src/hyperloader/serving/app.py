"""The service put together as an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from hyperloader import __version__
from hyperloader.errors import HyperloaderError
from hyperloader.integrations import label_studio
from hyperloader.serving import refusals
from hyperloader.serving.admin import admin_routes
from hyperloader.serving.envelope import Envelope
from hyperloader.serving.keys import guarded_router
from hyperloader.serving.routes import health_routes, routes
from hyperloader.serving.service import Service
from hyperloader.tagger import Tagger

PAGE = Path(__file__).parent / "page"


def create_app(service: Service) -> FastAPI:
    """The application; it tags from its start to its shutdown."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="hyperloader",
        summary="Sequence labelling for many tasks with one small backbone and generated weights.",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # they load their scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(Envelope, settings=service.settings, metrics=service.metrics)
    app.add_exception_handler(refusals.Refused, refusals.on_error)
    app.add_exception_handler(HyperloaderError, refusals.on_error)
    app.add_exception_handler(HTTPException, refusals.on_http_error)
    app.add_exception_handler(RequestValidationError, refusals.on_invalid)
    app.include_router(health_routes(service))
    app.include_router(routes(service))
    app.include_router(admin_routes(service))
    app.include_router(_label_studio(service), prefix="/label-studio")
    app.mount("/page", StaticFiles(directory=PAGE), name="page")

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    return app


def _label_studio(service: Service) -> APIRouter:
    """Label Studio's backend for every task of every tagger, as they come and go. It asks the
    tagger itself, not the queue."""

    def find(task: str) -> Tagger:
        return service.taggers.chosen(None, [task]).tagger

    settings = service.settings
    return label_studio.add_routes(guarded_router(settings.api_keys, settings.admin_key), find)
