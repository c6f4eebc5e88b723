"""The web application: models behind an HTTP API, and a page at `/`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from starlette.types import ASGIApp

from zoo._version import __version__
from zoo.tools.serve import analyze_route, features_route, predict_route, sample_route
from zoo.tools.serve.access import Access, Guard
from zoo.tools.serve.admission import Admission
from zoo.tools.serve.decoding_threads import Decoder
from zoo.tools.serve.http_errors import RESPONSES, handle_errors
from zoo.tools.serve.monitoring import Monitor
from zoo.tools.serve.request_inputs import Models
from zoo.tools.serve.request_limits import RequestLimits
from zoo.tools.serve.served_models import Served, find

_PAGE = Path(__file__).parent / "page"
# Bytes of a form's field that is no file; a character has at most four
_LEAST_FIELD = 2**16
# A card has its style inside, and its texts may come from a stranger's file: it can load and do nothing else
_POLICY_OF_CARDS = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_LIMITS, _ACCESS = RequestLimits(), Access()
_router = APIRouter()


def create_app(
    models: Sequence[Served],
    *,
    limits: RequestLimits = _LIMITS,
    access: Access = _ACCESS,
    log: Callable[[str], object] | None = None,
) -> ASGIApp:
    """Return an application that serves models, for an ASGI server such as uvicorn.

    Args:
        models: see `zoo.tools.serve.served_models.named`.
        log: called with a line for each request.
    """
    app = FastAPI(
        title="zoo",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        form_limits={
            "max_files": limits.inputs,
            "max_fields": limits.inputs + 100,
            "max_part_size": max(4 * limits.characters, _LEAST_FIELD),
        },
    )
    handle_errors(app)
    parts = (predict_route, sample_route, analyze_route, features_route)
    for router in (_router, *(part.router for part in parts)):
        app.include_router(router, responses=RESPONSES)
    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    admission = Admission(app, limits)
    public = {"/", "/healthz", *(f"/{file.relative_to(_PAGE).as_posix()}" for file in _PAGE.rglob("*"))}
    monitor = Monitor(Guard(admission, access, public=public), log=log)
    app.state.models = {model.name: model for model in models}
    app.state.limits = limits
    app.state.decoder = Decoder()
    app.state.metrics = lambda: monitor.text(app.state.models, admission.inside)
    return monitor


@_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Report that the server is running."""
    return {"status": "ok"}


@_router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> str:
    """Report the counts of requests, batches and inputs in Prometheus's text format."""
    return request.app.state.metrics()


@_router.get("/models")
async def list_models(models: Models) -> list[dict[str, Any]]:
    """Describe each model: its inputs, its metrics, its analyzers with their options, and its card.

    `history` contains the rows of `metrics.jsonl`, one for each epoch, if a run directory is served, and is
    null otherwise. `takes` is `image`, `file`, `text` or null; `samples` is true if `/sample` supports the
    model.
    """
    return [model.described() for model in models.values()]


@_router.get("/card", response_class=HTMLResponse)
async def show_card(
    models: Models,
    model: Annotated[
        str | None, Query(description="Name of the model; required if several models are served.")
    ] = None,
) -> HTMLResponse:
    """Return a model's card as an HTML page: what `zoo card --no-measure --html` writes."""
    return HTMLResponse(find(models, model).page, headers={"Content-Security-Policy": _POLICY_OF_CARDS})
