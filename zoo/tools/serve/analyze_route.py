"""`POST /analyze`: the findings of an analyzer, with images in the response."""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from PIL import Image

from zoo.analysis.render import normalize
from zoo.analysis.sheets import png
from zoo.errors import OptionError
from zoo.files.downloads import offline
from zoo.tools.serve.http_errors import Refused
from zoo.tools.serve.request_inputs import (
    CurrentLimits,
    Input,
    ModelName,
    Models,
    fields,
    inputs_of,
)
from zoo.tools.serve.served_models import Served, find

if TYPE_CHECKING:
    from torch import Tensor

# Most pixels of the height and width of the input image in an answer
_LARGEST = 1_024
# What the manifest of an analysis says of this machine
_PRIVATE = {"weights", "inputs", "data"}
_TYPES = {".png": "image/png", ".html": "text/html;charset=utf-8"}

_FIELDS = ("input", "text", "model", "analyzer", "class", "layer", "options")

router = APIRouter()


@router.post("/analyze", dependencies=[Depends(fields(*_FIELDS))])
async def analyze(
    request: Request,
    models: Models,
    limits: CurrentLimits,
    analyzer: Annotated[str, Form(description="Name of an analyzer that GET /models lists.")],
    input: Annotated[UploadFile | None, File(description="Image file or another file.")] = None,  # noqa: A002
    text: Annotated[str | None, Form(description="Text, for a model that accepts text.")] = None,
    model: ModelName = None,
    classes: Annotated[
        list[str], Form(alias="class", description="Class to explain; by default, the predicted class.")
    ] = [],  # noqa: B006
    layer: Annotated[str | None, Form(description="Landmark or module to analyze.")] = None,
    options: Annotated[str, Form(description="Options of the analyzer, as a JSON object.")] = "{}",
) -> dict[str, Any]:
    """Return the output of `zoo analyze --json`, with images as data URLs.

    `image` is the square crop of the input that the model sees. The `map` of each item is a gray PNG of the
    layer's size, from its lowest value (black) to its highest value (white), to be drawn over the image;
    `peak` is the highest value. `figures` contains the analyzer's other figures, by file name.
    """
    served, until = find(models, model), time.monotonic() + limits.seconds
    files = [] if input is None else [input]
    texts = [] if text is None else [text]
    how: dict[str, Any] = {"classes": classes, "layer": layer, "options": _options(options)}
    # an image is decoded once for the model and once for the answer
    async with inputs_of(request, served, files, texts, decodings=2) as (given,):
        return await served.worker.run(lambda: _analyze(served, analyzer, given, how, until), cost=given.cost)


def _options(text: str) -> dict[str, Any]:
    try:
        options = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise OptionError(f"options must be a JSON object: {error}") from None
    if not isinstance(options, dict):
        raise OptionError(f"options must be a JSON object (got {text:.80})")
    return options


def _analyze(
    served: Served, analyzer: str, given: Input, how: Mapping[str, Any], until: float
) -> dict[str, Any]:
    """Analyze an input, without downloading data or reading a dataset."""
    if analyzer.rpartition("/")[2] in served.comparing:
        message = f"{analyzer} is not available: it requires the dataset, which the server does not read"
        raise OptionError(message, hint="GET /models lists the available analyzers")
    with offline(), _stopped(served, until):
        found = served.model.analyze(analyzer, [given.value], **how, progress=False)
        facts = {key: value for key, value in found.manifest().items() if key not in _PRIVATE}
        if "reference" in facts:
            facts["reference"] = {key: facts["reference"][key] for key in ("dataset", "split")}
        maps, image = found.analysis.maps, None
        if maps is not None:
            image = _url(png(found.inputs.image(0, at_most=_LARGEST)), ".png")
        items = [
            {**item, "input": given.name, "map": _url(_map(map_), ".png")}
            for item, map_ in zip(found.items, () if maps is None else maps[0], strict=True)
        ]
        figures = {name: _url(draw(), Path(name).suffix) for name, draw in found.analysis.figures.items()}
    return facts | {"model": served.name, "items": items, "image": image, "figures": figures}


@contextlib.contextmanager
def _stopped(served: Served, until: float) -> Generator[None]:
    """Raise Refused when the model is called after a deadline: an analyzer may call it many times."""

    def stop(*_: Any) -> None:
        if time.monotonic() > until:
            raise Refused(
                504, "the analysis took too long", hint="choose options that require less computation"
            )

    hook = served.model.module.register_forward_pre_hook(stop)
    try:
        yield
    finally:
        hook.remove()


def _map(values: Tensor) -> bytes:
    """Return a map (h, w) as a gray PNG, from its lowest to its highest value; a constant map is black."""
    return png(Image.fromarray((255 * normalize(values)).round().byte().cpu().numpy()))


def _url(content: bytes, suffix: str) -> str:
    kind = _TYPES.get(suffix, "application/octet-stream")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
