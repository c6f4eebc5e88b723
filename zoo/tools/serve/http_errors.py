"""Errors as clients see them, `{"error": {"message", "hint"}}`, without paths from this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY

from zoo.config import options
from zoo.errors import UnknownName, ZooError, shortened

# The folders of an absolute path, before its last part
_FOLDERS = re.compile(r"(?<![\w.~:/-])/(?:[^\s/'\"`,;]+/)+")
# What only whoever runs the server can type
_TERMINAL = re.compile(r"`(zoo|pip) |(?<!\w)--\w")


class Problem(BaseModel):
    """The message of an error, and a hint if there is one."""

    message: str
    hint: str | None = None


class ErrorAnswer(BaseModel):
    """The response to a request that cannot be served."""

    error: Problem


def _responses(what: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorAnswer, "description": text} for status, text in what.items()}


# What every route may answer, for the description of the API
RESPONSES = _responses(
    {
        400: "An option or an input cannot be used",
        401: "The token is missing or wrong",
        403: "The request comes from a page of a different site",
        404: "The model or analyzer does not exist",
        413: "The request has too many bytes, images, pixels or characters",
        421: "The server does not accept the name in the Host header",
        422: "A field is missing, unknown or of the wrong type",
        503: "Too many requests are being served; try again after the time in the Retry-After header",
        504: "The request took too long",
    }
)


class Refused(ZooError):
    """A rejected request, with the status of the response."""

    def __init__(
        self, status: int, message: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.headers = headers

    @staticmethod
    def busy(inside: int) -> Refused:
        """Return the error for a request that may be sent again when there are fewer others."""
        message = f"the server is busy: {inside} requests are being served"
        return Refused(503, message, hint="try again later", headers={"Retry-After": "1"})

    @classmethod
    def too_large(cls, most: int) -> Refused:
        """Return the error for a body that is larger than a limit in bytes."""
        return cls(413, f"a request may have at most {most:,} bytes", hint="send fewer or smaller inputs")


def answer(error: Refused) -> JSONResponse:
    """Return the response to a rejected request. The rest of its body, if any, is not read."""
    headers = {"Connection": "close", **(error.headers or {})}
    return JSONResponse(_described(str(error), error.hint), error.status, headers)


def error_of(error: ZooError) -> dict[str, Any]:
    """Return the JSON response for an error, without hints that mention commands."""
    return _described(str(error), None if error.hint and _TERMINAL.search(error.hint) else error.hint)


def handle_errors(app: FastAPI) -> None:
    """Make an application return each error as JSON."""
    app.add_exception_handler(ZooError, _zoo_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def _described(message: str, hint: str | None = None) -> dict[str, Any]:
    return {"error": {"message": without_folders(message), "hint": without_folders(hint) if hint else None}}


def without_folders(text: str) -> str:
    """Return a message without the folders of this machine."""
    return _FOLDERS.sub("", shortened(text))


# The answer to a request that fails because of the server
FAILED = _described("the server failed; see its log")


async def _zoo_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ZooError)
    if isinstance(error, Refused):
        return answer(error)
    return JSONResponse(error_of(error), 404 if isinstance(error, UnknownName) else 400)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    what = "expected a file" if "UploadFile" in first["msg"] else first["msg"].removeprefix("Value error, ")
    if first["type"] == "json_invalid":
        where, what = "the body", f"invalid JSON at character {where}"
    elif first["type"] == "extra_forbidden":
        return JSONResponse(_described(f"unknown field {where}", "/openapi.json lists the fields"), 422)
    elif what.startswith("Input should be "):
        wanted = what.removeprefix("Input should be ").partition(", unable")[0]
        return JSONResponse(
            _described(f"{where} must be {wanted} (got {options.shown(first['input'])})"), 422
        )
    return JSONResponse(_described(f"{where}: {what[:1].lower()}{what[1:]}"), 422)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    limits = request.app.state.limits
    if error.status_code == 413:
        return answer(Refused.too_large(request.scope[MAX_BODY_SIZE_SCOPE_KEY]))
    if error.detail.startswith("Too many f"):  # files, or fields of a form
        return answer(Refused(413, f"a request may have at most {limits.inputs} inputs"))
    if error.detail.startswith("Field exceeded"):
        return answer(
            Refused(413, f"the texts of a request may have at most {limits.characters:,} characters")
        )
    hint = "/openapi.json describes the API" if error.status_code in (404, 405) else None
    return JSONResponse(_described(error.detail.lower(), hint), error.status_code, error.headers)


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse(FAILED, 500)
