"""Common parts of requests: the models, and the inputs in a form."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Depends, File, Form, Request, UploadFile

from zoo import OptionError
from zoo.plugin import pixels_of
from zoo_serve.errors import Refused
from zoo_serve.limits import Limits
from zoo_serve.served import Served

__all__ = [
    "CurrentLimits",
    "Images",
    "ModelName",
    "Models",
    "Texts",
    "fields",
    "inputs_of",
    "require_texts",
]


async def _models(request: Request) -> dict[str, Served]:
    return request.app.state.models


async def _limits(request: Request) -> Limits:
    return request.app.state.limits


Models = Annotated[dict[str, Served], Depends(_models)]
CurrentLimits = Annotated[Limits, Depends(_limits)]
ModelName = Annotated[
    str | None, Form(description="Name of the model; required if several models are served.")
]
Images = Annotated[list[UploadFile], File(description="Image files, for a model that accepts images.")]
Texts = Annotated[list[str], Form(description="Texts, for a model that accepts text.")]


def fields(*names: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that rejects forms with unknown fields."""

    async def known(request: Request) -> None:
        for name in await request.form():
            if name not in names:
                raise Refused(422, f"unknown field {name}", hint=f"fields: {', '.join(names)}")

    return known


async def inputs_of(
    served: Served, images: Sequence[UploadFile], texts: Sequence[str], limits: Limits
) -> list[tuple[str, bytes | str]]:
    """Return the inputs of a request, each with its name: the file's name, or a number.

    Raises OptionError if there are none, or if the model does not accept their type; Refused if the inputs
    are too many or too large.
    """
    if served.takes is None:
        raise OptionError(f"{served.name} does not accept inputs: its task does not implement prediction")
    field, other = ("input", texts) if served.takes == "image" else ("text", images)
    given = images if served.takes == "image" else texts
    if other or not given:
        what = "image files" if served.takes == "image" else "text"
        raise OptionError(f"{served.name} accepts {what} in the field {field!r}")
    if len(given) > limits.inputs:
        raise Refused(413, f"a request may have at most {limits.inputs} inputs (got {len(given)})")
    if served.takes == "text":
        require_texts(texts, limits)
        return [(f"text {number}", text) for number, text in enumerate(texts)]
    contents = [await file.read() for file in images]
    # in a thread, since a header may take long to parse; the time limit does not wait for it
    pixels = await asyncio.to_thread(lambda: sum(map(pixels_of, contents)))
    if pixels > limits.pixels:
        message = (
            f"the images in a request may have at most {limits.pixels:,} pixels in total (got {pixels:,})"
        )
        raise Refused(413, message, hint="send fewer or smaller images")
    return [*zip(map(_named, images, range(len(images))), contents, strict=True)]


def require_texts(texts: Sequence[str], limits: Limits) -> None:
    """Raise Refused if texts have too many characters in total, or a character that UTF-8 cannot encode."""
    length = sum(map(len, texts))
    if length > limits.characters:
        most = f"the texts of a request may have at most {limits.characters:,} characters"
        raise Refused(413, f"{most} (got {length:,})")
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise Refused(422, f"{text[error.start]!a} is half of a surrogate pair") from None


def _named(file: UploadFile, number: int) -> str:
    """Return the name of a file, or its number. A form may declare any encoding for the name."""
    return (file.filename or f"input {number}").encode("utf-8", "replace").decode()
