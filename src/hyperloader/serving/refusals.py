"""Everything that is not an answer: one form for all of them, with a status and a code."""

from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from hyperloader.errors import HyperloaderError

CLIENT_GONE = 499  # as nginx logs it: nobody is there to be told
# Codes of what the framework itself refuses, and what it says, in our words.
_CODES = {400: "malformed", 404: "not_found", 405: "method_not_allowed"}
_SAID = {
    "There was an error parsing the body": "the body is not JSON in UTF-8",
    "Not Found": "there is nothing here; /openapi.json says what there is",
}


class Refused(HTTPException):
    """A request that is not answered.

    Args:
        code: what a program may go by; docs/serving.md lists them.
        message: one line that says what is wrong and what to do next.
        retry_after: seconds after which it may be tried again.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None):
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        super().__init__(status, message, headers)
        self.code = code

    def to_dict(self) -> dict[str, Any]:
        """The JSON that the client gets."""
        return _document(self.code, self.detail)


def refused(error: BaseException) -> Refused:
    """What a client is told of ``error``; of a fault nothing but that it is one."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, HyperloaderError):
        return Refused(422, "invalid", str(error))
    return Refused(500, "fault", "this is a fault of the service; its log has the request's id")


def response(error: Refused) -> JSONResponse:
    """``error`` as it is sent."""
    return JSONResponse(error.to_dict(), error.status_code, error.headers)


async def on_error(_: Request, error: Exception) -> JSONResponse:
    """Handles what is refused here, and users' mistakes that the library finds."""
    return response(refused(error))


async def on_http_error(_: Request, error: Exception) -> JSONResponse:
    """Handles what the framework refuses (an unknown path or method, a body that is no JSON), and
    Label Studio's backend."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "refused")
    message = _SAID.get(error.detail, error.detail)
    return JSONResponse(_document(code, message), error.status_code, error.headers)


async def on_invalid(_: Request, error: Exception) -> JSONResponse:
    """Handles a body that is malformed, or JSON of another shape."""
    assert isinstance(error, RequestValidationError)
    first = max(error.errors(), key=lambda one: len(one["loc"]))  # the most exact one
    if first["type"] == "json_invalid":
        why = first.get("ctx", {}).get("error", "")
        return response(Refused(400, "malformed", f"the body is not JSON: {why}"))
    if first["loc"] == ("body",) and first["type"] in ("missing", "model_attributes_type"):
        what = "give a JSON object with Content-Type: application/json"
        return response(Refused(422, "invalid", what))
    return response(Refused(422, "invalid", f"{_place(first['loc'])}: {first['msg']}"))


def _place(where: tuple[int | str, ...]) -> str:
    """Where in the body, without the names of the types that were tried."""
    return ".".join(str(part) for part in where[1:] if part not in ("str", "list[str]")) or "body"


def _document(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": " ".join(str(message).split())}}
