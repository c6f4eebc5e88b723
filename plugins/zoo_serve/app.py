"""The web application: models behind an HTTP API, and a page at `/`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.staticfiles import StaticFiles

from zoo import __version__
from zoo_serve import analyze, predict, sample
from zoo_serve.errors import RESPONSES, handle_errors
from zoo_serve.requests import Models
from zoo_serve.served import Served

__all__ = ["create_app"]

_PAGE = Path(__file__).parent / "page"
_router = APIRouter()


def create_app(models: Sequence[Served]) -> FastAPI:
    """Return an application that serves models, to be run by an ASGI server such as uvicorn.

    Args:
        models: see `zoo_serve.served.named`.
    """
    app = FastAPI(title="zoo", version=__version__, docs_url=None, redoc_url=None)
    app.state.models = {model.name: model for model in models}
    handle_errors(app)
    for router in (_router, predict.router, sample.router, analyze.router):
        app.include_router(router, responses=RESPONSES)
    app.mount("/", StaticFiles(directory=_PAGE, html=True))
    return app


@_router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the server answers."""
    return {"status": "ok"}


@_router.get("/models")
async def list_models(models: Models) -> list[dict[str, Any]]:
    """Describe each model: what it takes, its metrics, its analyzers with their options, its card.

    `history` has a row for each epoch if a run directory is served, as `metrics.jsonl` does, and is null
    otherwise. `takes` is `picture`, `text` or null; `samples` says whether `/sample` is for it.
    """
    return [model.described() for model in models.values()]
