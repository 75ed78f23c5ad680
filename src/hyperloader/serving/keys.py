"""Keys: who may ask, and who may change the service. They are looked at before a body is read."""

import base64
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
        key = _given(request.headers.get("authorization", ""))
        # Each is compared, so that the time tells nothing.
        same = [secrets.compare_digest(key, known.encode()) for known in keys]
        if not any(same):
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


def _given(header: str) -> bytes:
    """The key in an Authorization header: a bearer's, or the password of a user of any name, which
    is all that some tools (Label Studio) can send. Empty, which is no key, where there is none."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip().encode()
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(value.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return b""
