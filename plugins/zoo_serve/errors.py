"""Errors as clients see them: `{"error": {"message", "hint"}}`, in words, without a path of this machine."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from zoo import ZooError
from zoo.errors import UnknownName

__all__ = ["RESPONSES", "error_of", "handle_errors"]

# The folders of an absolute path, before its last part
_FOLDERS = re.compile(r"(?<![\w.~:/-])/(?:[^\s/'\"`,;]+/)+")


class Problem(BaseModel):
    """What is wrong, and what to do about it if that is known."""

    message: str
    hint: str | None = None


class ErrorAnswer(BaseModel):
    """The answer to a request that cannot be served."""

    error: Problem


# What every route may answer, for the description of the API
RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "An option or an input cannot be used"},
    404: {"model": ErrorAnswer, "description": "There is no such model or analyzer"},
    422: {"model": ErrorAnswer, "description": "A field is missing, unknown or of another type"},
}


def error_of(error: ZooError) -> dict[str, Any]:
    """Return the JSON answer for an error."""
    return _answer(str(error), error.hint)


def handle_errors(app: FastAPI) -> None:
    """Let an application answer each error as JSON."""
    app.add_exception_handler(ZooError, _zoo_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def _answer(message: str, hint: str | None = None) -> dict[str, Any]:
    return {"error": {"message": _public(message), "hint": _public(hint) if hint else None}}


def _public(text: str) -> str:
    return _FOLDERS.sub("", text)


async def _zoo_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ZooError)
    return JSONResponse(error_of(error), 404 if isinstance(error, UnknownName) else 400)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the body"
    what = "expected a file" if "UploadFile" in first["msg"] else first["msg"].removeprefix("Value error, ")
    return JSONResponse(_answer(f"{where}: {what[:1].lower()}{what[1:]}"), 422)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    hint = "/openapi.json describes the API" if error.status_code in (404, 405) else None
    return JSONResponse(_answer(error.detail.lower(), hint), error.status_code, error.headers)


async def _unexpected(_: Request, __: Exception) -> JSONResponse:
    return JSONResponse(_answer("the server failed; its log says why"), 500)
