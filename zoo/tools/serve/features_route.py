"""`POST /features`: the feature maps of an image, or the hidden units of a language model over a text."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile

from zoo.errors import DataError, OptionError
from zoo.files.downloads import offline
from zoo.tools.serve.http_errors import Refused
from zoo.tools.serve.request_inputs import Input, ModelName, Models, fields, inputs_of
from zoo.tools.serve.served_models import Served, find

# Most numbers in an answer
_MOST = 1_000_000

router = APIRouter()


@router.post("/features", dependencies=[Depends(fields("input", "text", "model", "channel", "class"))])
async def features(
    request: Request,
    models: Models,
    input: Annotated[UploadFile | None, File(description="Image file.")] = None,  # noqa: A002
    text: Annotated[str | None, Form(description="Text, for a model that accepts text.")] = None,
    model: ModelName = None,
    channel: Annotated[
        int | None, Form(ge=0, description="Number of a single channel or unit to return; by default, all.")
    ] = None,
    class_: Annotated[
        str | None, Form(alias="class", description="Class whose weights to return, for an image.")
    ] = None,
) -> dict[str, Any]:
    """Return the features of `zoo embed --no-pool`: `{size, features, tokens, weights}`.

    `size` is the number of channels or units. `features` contains a map for each channel of an image, or the
    values of each unit after each of the `tokens` of a text. `weights` are those of a class, one for each
    channel, if a linear layer reads the mean of the maps; otherwise null.
    """
    served = find(models, model)
    files, texts = [] if input is None else [input], [] if text is None else [text]
    async with inputs_of(request, served, files, texts) as (given,):
        return await served.worker.run(lambda: _features(served, given, channel, class_), cost=given.cost)


def _features(served: Served, given: Input, channel: int | None, class_: str | None) -> dict[str, Any]:
    model, tokens = served.model, None
    with offline():
        (row,) = model.features(iter([given.value]), pool=False, progress=False)
    if row["error"]:
        raise DataError(row["error"])
    found = row["features"]  # (F, h, w) of an image, (T, F) of a text
    if served.takes == "text":
        numbers, _ = model.vocabulary.encode(given.value)
        tokens = [model.vocabulary.texts[number] for number in numbers]
        found = (found[::-1] if model.vocabulary.backwards else found).T  # (F, T), in the order of the text
    size = len(found)
    if channel is not None:
        if channel >= size:
            raise OptionError(f"there is no channel {channel}; the last channel is {size - 1}")
        found = found[[channel]]
    if found.size > _MOST:
        message = f"an answer may have at most {_MOST:,} numbers (got {found.size:,})"
        raise Refused(413, message, hint="send a shorter text, or choose a single channel")
    return {"size": size, "features": found.tolist(), "tokens": tokens, "weights": _weights(served, class_)}


def _weights(served: Served, class_: str | None) -> list[float] | None:
    """Return the weights of a class; None without a class, or if no linear layer reads the mean of maps."""
    if class_ is None or not served.mean_head:
        return None
    if class_ not in served.model.classes:
        raise OptionError(f"the model has no class {class_!r}")
    head: Any = served.model.module.get_submodule(served.mean_head)
    return head.weight[served.model.classes.index(class_)].tolist()
