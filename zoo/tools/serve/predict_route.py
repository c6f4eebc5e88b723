"""`POST /predict`: predict classes for images, or score texts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request

from zoo.tools.serve.http_errors import without_folders
from zoo.tools.serve.request_inputs import (
    Files,
    Input,
    ModelName,
    Models,
    Texts,
    fields,
    inputs_of,
)
from zoo.tools.serve.served_models import find

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
        if served.takes == "image":
            inputs = await request.app.state.decoder.decode(served.reader, inputs)
        values = [given.value for given in inputs if not given.error]
        rows = iter(await served.worker.predict(values, top=top) if values else ())

    def row(given: Input) -> dict[str, Any]:
        unread: dict[str, Any] = {"predictions": [], "error": given.error}
        found = unread if given.error else next(rows)
        error = found["error"] and without_folders(found["error"])
        return {"input": given.name, "predictions": found["predictions"], "error": error}

    return [*map(row, inputs)]
