"""`zoo serve`: trained models behind an HTTP API and a page."""

from __future__ import annotations

import contextlib
import importlib
import socket
import warnings
from typing import TYPE_CHECKING

import click

from zoo import OptionError, ZooWarning
from zoo.cli.kit import (
    NameType,
    Session,
    device_option,
    echo,
    json_option,
    pass_session,
    print_json,
    quiet_option,
)

if TYPE_CHECKING:
    import uvicorn

    from zoo_serve.served import Served

__all__ = ["command"]


@click.command()
@click.argument("weights", nargs=-1, required=True, type=NameType("weights", runs=True))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 is any that is free.",
)
@device_option
@json_option
@quiet_option
@pass_session
def command(
    session: Session, weights: tuple[str, ...], host: str, port: int, device: str | None, as_json: bool
) -> None:
    """Offer WEIGHTS (ids, files or run directories) on a page and by an HTTP API, until Ctrl-C.

    The learning curves of a run directory are on the page, too. /openapi.json describes the API.

    \b
    zoo serve cifar10-resnet20 nietzsche-rnn
    zoo serve runs/lstm-nietzsche --port 8080
    curl -F input=@cat.jpg -F top=3 http://127.0.0.1:8000/predict
    """
    importlib.import_module("python_multipart")  # by which FastAPI reads forms
    import uvicorn

    from zoo_serve.app import create_app
    from zoo_serve.served import named

    session.begin(f"loading {', '.join(weights)}")
    models = named([(name, session.load(name, device=device)) for name in weights], session.registry)
    with contextlib.closing(_listening(host, port)) as listening:
        url = _url(listening)
        if session.progress:
            echo(f"serving {', '.join(model.name for model in models)} on {url}; Ctrl-C stops", err=True)
        server = uvicorn.Server(uvicorn.Config(create_app(models), log_level="warning", server_header=False))
        _serve(server, listening, models)
    if as_json:
        print_json({"url": url, "models": [model.name for model in models]})


def _listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises OptionError if the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        why = (error.strerror or "").partition(" (while ")[0]
        hint = "--port 0 takes any port that is free"
        raise OptionError(f"cannot listen on {host}, port {port}: {why}", hint=hint) from None
    # inherited by connections: otherwise an answer in two parts waits 40 ms for an acknowledgment
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _serve(server: uvicorn.Server, listening: socket.socket, models: list[Served]) -> None:
    """Serve until Ctrl-C or SIGTERM; whatever was accepted by then is answered."""
    with warnings.catch_warnings(), contextlib.suppress(KeyboardInterrupt):
        warnings.simplefilter("ignore", ZooWarning)  # of what a client sent, which it is told of itself
        server.run([listening])
    for model in models:
        model.worker.close()
