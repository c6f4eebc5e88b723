"""`POST /sample`: stream text from a language model."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from zoo.errors import OptionError, ZooError
from zoo.tools.serve.http_errors import FAILED, error_of
from zoo.tools.serve.request_inputs import CurrentLimits, Models, require_texts
from zoo.tools.serve.request_limits import MOST_TOKENS
from zoo.tools.serve.served_models import Served, find

router = APIRouter()


class SampleRequest(BaseModel):
    """Sampling options, with the names and defaults of `zoo sample`."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="Name of the model; required if several models are served.")
    prompt: str = Field("", description="Text to continue.")
    max_new_tokens: int = Field(
        400, strict=True, ge=0, le=MOST_TOKENS, description="Number of tokens to generate."
    )
    temperature: float = Field(
        0.8,
        ge=0,
        le=1_000,
        allow_inf_nan=False,
        description="Divisor of the logits: lower is more conservative; 0 is greedy.",
    )
    top_k: int = Field(
        0,
        strict=True,
        ge=0,
        le=2**31,
        description="Sample only from this number of the most likely tokens; 0 disables the limit.",
    )
    top_p: float = Field(
        1.0,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="Sample only from the most likely tokens whose probabilities add up to this value.",
    )
    stop: str = Field("", description="Stop before generating this text.")
    seed: int = Field(0, strict=True, ge=0, lt=2**63, description="Random seed for sampling.")


@router.post(
    "/sample",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "The text, token by token"}},
)
async def sample(models: Models, limits: CurrentLimits, request: SampleRequest) -> StreamingResponse:
    """Stream the text of `zoo sample` as server-sent events.

    Each token is a `message` event with the data `{text, surprisal}`: the surprisal is -log p in nats, where
    p is the model's probability of the token at temperature 1. The last event is `done`, or `error` with the
    same JSON as an error of the other routes. Generation stops when the client disconnects, or at the
    server's time limit.
    """
    until = time.monotonic() + limits.seconds
    served = find(models, request.model)
    if not served.samples:
        raise OptionError(f"{served.name} does not generate text: its task is {served.model.card.task}")
    require_texts([request.prompt, request.stop], limits)
    settings = request.model_dump(exclude={"model", "prompt"})
    tokens = await served.worker.run(lambda: served.model.sample(request.prompt, **settings).stream())
    events = _events(served, request, served.worker.stream(tokens, until=until))
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


async def _events(
    served: Served, request: SampleRequest, tokens: AsyncIterator[tuple[str, float]]
) -> AsyncIterator[str]:
    count, vocabulary = 0, served.model.vocabulary
    try:
        async for text, surprisal in tokens:
            count += 1
            yield _event({"text": text, "surprisal": surprisal})
    except ZooError as error:
        yield _event(error_of(error), "error")
        return
    except Exception:
        yield _event(FAILED, "error")
        raise
    _, unknown = vocabulary.encode(request.prompt)
    about = {"model": served.name, "prompt": request.prompt, "seed": request.seed, "tokens": count}
    yield _event(about | {"unknown": unknown, "backwards": vocabulary.backwards}, "done")


def _event(data: dict[str, Any], name: str = "") -> str:
    """Return an event; without a name it is a `message`."""
    kind = f"event: {name}\n" if name else ""
    return f"{kind}data: {msgspec.json.encode(data).decode()}\n\n"
