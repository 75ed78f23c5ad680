"""Keys: who may ask, and who may change the service. They are looked at before a body is read."""

import secrets
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer

from hyperloader.serving.refusals import Refused


def guarded_router(
    api_keys: Sequence[str], admin_key: str | None, *, admin: bool = False
) -> APIRouter:
    """A router whose routes need a key: any of ``api_keys``, if there are any, or the admin key.

    Args:
        admin: the admin key alone opens it; where there is none, nothing does.
    """
    keys = [*(() if admin else api_keys), *(() if admin_key is None else (admin_key,))]

    def check(request: Request) -> None:
        if admin and admin_key is None:
            raise Refused(403, "forbidden", "this service was started without an admin key")
        if not admin and not api_keys:
            return
        given = request.headers.get("authorization", "")
        scheme, _, key = given.partition(" ")
        # Each is compared, so that the time tells nothing.
        same = [secrets.compare_digest(key.strip().encode(), known.encode()) for known in keys]
        if scheme.lower() != "bearer" or not any(same):
            which = "the admin key" if admin else "an API key"
            raise Refused(401, "unauthorized", f"give {which}: Authorization: Bearer KEY")

    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def guarded(request: Request) -> Response:
                check(request)
                return await handler(request)

            return guarded

    # For the OpenAPI document alone.
    documented = Security(HTTPBearer(auto_error=False))
    return APIRouter(route_class=Guarded, dependencies=[documented])
