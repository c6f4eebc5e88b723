"""Common parts of requests: the models, and the inputs in a form."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from fastapi import Depends, File, Form, Request, UploadFile

from zoo.errors import OptionError
from zoo.tools.serve.admission import EXCHANGE
from zoo.tools.serve.http_errors import Refused
from zoo.tools.serve.request_limits import RequestLimits
from zoo.tools.serve.served_models import Served


async def _models(request: Request) -> dict[str, Served]:
    return request.app.state.models


async def _limits(request: Request) -> RequestLimits:
    return request.app.state.limits


Models = Annotated[dict[str, Served], Depends(_models)]
CurrentLimits = Annotated[RequestLimits, Depends(_limits)]
ModelName = Annotated[
    str | None, Form(description="Name of the model; required if several models are served.")
]
Files = Annotated[
    list[UploadFile], File(description="Files, for a model that accepts images or other files.")
]
Texts = Annotated[list[str], Form(description="Texts, for a model that accepts text.")]


class Input(NamedTuple):
    """An input of a request.

    Attributes:
        name: the file's name, or a number.
        value: what the model reads: a text, the bytes of an image, or the path of any other file.
        cost: pixels to decode or bytes, whichever are more; 0 for a text.
        error: why it cannot be read; empty if it can be read.
    """

    name: str
    value: Any
    cost: int = 0
    error: str = ""


def fields(*names: str) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that rejects forms with unknown fields."""

    async def known(request: Request) -> None:
        for name in await request.form():
            if name not in names:
                raise Refused(422, f"unknown field {name}", hint=f"fields: {', '.join(names)}")

    return known


@contextlib.asynccontextmanager
async def inputs_of(
    request: Request,
    served: Served,
    files: Sequence[UploadFile],
    texts: Sequence[str],
    *,
    decodings: int = 1,
) -> AsyncGenerator[list[Input]]:
    """Lend the inputs of a request: texts, images, or the paths of other files, which are removed on exit.

    Args:
        decodings: how often each image will be decoded.

    Raises OptionError if there are none, or if the model does not accept their type; Refused if the inputs
    are too many or too large.
    """
    limits, decoder = request.app.state.limits, request.app.state.decoder
    if served.reader is None:
        raise OptionError(f"{served.name} does not accept inputs: its task does not implement prediction")
    field, given, other = ("text", texts, files) if served.takes == "text" else ("input", files, texts)
    if other or not given:
        what = {"text": "text", "image": "image files", "file": f"files of {served.reader.what}"}
        raise OptionError(f"{served.name} accepts {what[served.takes or 'file']} in the field {field!r}")
    if len(given) > limits.inputs:
        raise Refused(413, f"a request may have at most {limits.inputs} inputs (got {len(given)})")
    if served.takes == "text":
        require_texts(texts, limits)
        yield [Input(f"text {number}", text) for number, text in enumerate(texts)]
        return
    contents = [await file.read() for file in files]
    sizes = await decoder.sizes(contents)
    pixels, most = sum(sizes), limits.pixels // decodings
    if pixels > most:
        message = f"the images in a request may have at most {most:,} pixels in total (got {pixels:,})"
        hint = "send fewer or smaller images, or JPEG files, whose pixels count a quarter"
        raise Refused(413, message, hint=hint)
    exchange = request.scope[EXCHANGE]
    exchange.cost = max(exchange.cost, pixels)
    names = [_named(file, number) for number, file in enumerate(files)]
    costs = map(max, sizes, map(len, contents))
    with contextlib.ExitStack() as stack:
        values: Sequence[bytes | Path] = contents
        if served.takes == "file":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo-serve-")))
            values = [folder / f"{number}{_suffix(name)}" for number, name in enumerate(names)]
            await asyncio.to_thread(lambda: [*map(Path.write_bytes, values, contents)])
        yield [*map(Input, names, values, costs)]


def _suffix(name: str) -> str:
    """Return the suffix of a file's name, such as `.csv`; empty if it is not plain."""
    suffix = Path(name).suffix
    return suffix if re.fullmatch(r"\.\w{1,20}", suffix, re.ASCII) else ""


def require_texts(texts: Sequence[str], limits: RequestLimits) -> None:
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
