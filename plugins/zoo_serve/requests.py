"""What requests have in common: the models, and the inputs in a form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, File, Form, Request, UploadFile

from zoo import OptionError
from zoo_serve.served import Served

__all__ = ["ModelName", "Models", "Pictures", "Texts", "inputs_of"]


async def _models(request: Request) -> dict[str, Served]:
    return request.app.state.models


Models = Annotated[dict[str, Served], Depends(_models)]
ModelName = Annotated[str | None, Form(description="Name of the model; needed if there are several.")]
Pictures = Annotated[list[UploadFile], File(description="Picture files, for a model that takes pictures.")]
Texts = Annotated[list[str], Form(description="Texts, for a model that takes text.")]


async def inputs_of(
    served: Served, pictures: Sequence[UploadFile], texts: Sequence[str]
) -> list[tuple[str, bytes | str]]:
    """Return the inputs of a request, each with its name: that of the file, or its number.

    Raises OptionError if there are none, or others than the model takes.
    """
    if served.takes is None:
        raise OptionError(f"{served.name} does not take inputs: its task does not say how")
    field, other = ("input", texts) if served.takes == "picture" else ("text", pictures)
    given = pictures if served.takes == "picture" else texts
    if other or not given:
        what = "pictures, as files" if served.takes == "picture" else "text"
        raise OptionError(f"{served.name} takes {what} in the field {field!r}")
    if served.takes == "text":
        return [(f"text {number}", text) for number, text in enumerate(texts)]
    return [(file.filename or f"input {number}", await file.read()) for number, file in enumerate(pictures)]
