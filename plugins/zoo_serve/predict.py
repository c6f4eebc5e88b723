"""`POST /predict`: predict classes for images, or score texts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form

from zoo_serve.requests import CurrentLimits, Images, ModelName, Models, Texts, fields, inputs_of
from zoo_serve.served import find

__all__ = ["router"]

router = APIRouter()


@router.post("/predict", dependencies=[Depends(fields("input", "text", "model", "top"))])
async def predict(
    models: Models,
    limits: CurrentLimits,
    input: Images = [],  # noqa: A002, B006
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
    inputs = await inputs_of(served, input, text, limits)
    rows = await served.worker.predict([content for _, content in inputs], top=top)
    return [{**row, "input": name} for row, (name, _) in zip(rows, inputs, strict=True)]
