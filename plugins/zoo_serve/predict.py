"""`POST /predict`: predict classes for images, or score texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request

from zoo import DataError
from zoo_serve.errors import without_folders
from zoo_serve.requests import (
    Files,
    ModelName,
    Models,
    Texts,
    fields,
    inputs_of,
)
from zoo_serve.served import find

__all__ = ["router"]

router = APIRouter()


@router.post("/predict", dependencies=[Depends(fields("input", "text", "model", "top"))])
async def predict(
    request: Request,
    models: Models,
    input: Files = [],  # noqa: A002, B006
    text: Texts = [],  # noqa: B006
    model: ModelName = None,
    top: Annotated[
        int | None, Form(ge=1, le=100_000, description="Number of predictions for each input.")
    ] = None,
) -> list[dict[str, Any]]:
    """Return a row for each input, as `zoo predict --json` does: `{input, predictions, error}`.

    Requests that arrive together are predicted in one batch. An input that cannot be read gets a row without
    predictions, whose `error` gives the reason.
    """
    served = find(models, model)
    async with inputs_of(request, served, input, text) as inputs:
        values: Sequence[Any] = [given.value for given in inputs]
        if served.takes == "image":
            decoder, costs = request.app.state.decoder, [given.cost for given in inputs]
            values = await decoder.decode(served.reader, values, costs)
        readable = [value for value in values if not isinstance(value, DataError)]
        rows = iter(await served.worker.predict(readable, top=top) if readable else ())
    return [
        _unread(given.name, str(value)) if isinstance(value, DataError) else _row(given.name, next(rows))
        for given, value in zip(inputs, values, strict=True)
    ]


def _row(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return _unread(name, row["error"]) if row["error"] else {**row, "input": name}


def _unread(name: str, why: str) -> dict[str, Any]:
    return {"input": name, "predictions": [], "error": without_folders(why)}
