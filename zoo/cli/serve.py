"""`zoo serve`: serve trained models through an HTTP API and a web page."""

from __future__ import annotations

import contextlib
import errno
import gc
import importlib
import logging
import math
import re
import secrets
import socket
import sys
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from zoo.cli.name_types import NameType
from zoo.cli.session import Session, device_option, last_option, print_json, standard_options
from zoo.console.terminal import echo
from zoo.errors import OptionError, ZooWarning
from zoo.tools.serve.request_limits import RequestLimits

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from starlette.types import ASGIApp

    from zoo.tools.serve.served_models import Served

_LIMITS = RequestLimits()
_MIB = 2**20
# Clients that the system lets wait until the server opens a connection; beyond, they try again after a second
_QUEUE = 2**11


@click.command()
@click.argument("weights", nargs=-1, required=True, type=NameType("weights", runs=True))
@last_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Also accept requests for this host name, such as the name of a proxy. Can be repeated.",
)
@click.option(
    "--token",
    envvar="ZOO_SERVE_TOKEN",
    show_envvar=True,
    help="Require this token; by default, a token is generated and printed if other machines can connect.",
)
@click.option(
    "--max-body",
    default=_LIMITS.body // _MIB,
    show_default=True,
    type=click.IntRange(1, 4096),
    metavar="MIB",
    help="Maximum size of a request.",
)
@click.option(
    "--max-inputs",
    default=_LIMITS.inputs,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Maximum number of images or texts in a request.",
)
@click.option(
    "--max-characters",
    default=_LIMITS.characters,
    show_default=True,
    type=click.IntRange(1, 10_000_000),
    help="Maximum number of characters in a prompt, or in all texts of a request combined.",
)
@click.option(
    "--max-requests",
    default=_LIMITS.requests,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Maximum number of requests in progress or waiting; further requests get status 503.",
)
@click.option(
    "--timeout",
    default=_LIMITS.seconds,
    show_default=True,
    type=click.FloatRange(0, 86_400, min_open=True),
    metavar="SECONDS",
    help="Maximum duration of a request.",
)
@device_option
@standard_options
def command(
    session: Session,
    weights: tuple[str, ...],
    host: str,
    port: int,
    allow_host: tuple[str, ...],
    token: str | None,
    max_body: int,
    max_inputs: int,
    max_characters: int,
    max_requests: int,
    timeout: float,
    device: str | None,
    as_json: bool,
) -> None:
    """Serve WEIGHTS (ids, files or run directories) through a web page and an HTTP API; stop with Ctrl-C.

    The page also shows the learning curve of each run directory in WEIGHTS. /openapi.json describes the API.

    \b
    zoo serve cifar10-resnet20 nietzsche-rnn
    zoo serve runs/lstm-nietzsche --port 8080
    curl -F input=@cat.jpg -F top=3 127.0.0.1:8000/predict
    """
    importlib.import_module("python_multipart")  # by which FastAPI reads forms
    importlib.import_module("uvicorn")
    from zoo.tools.serve.access import Access, is_address, is_loopback
    from zoo.tools.serve.app import create_app
    from zoo.tools.serve.served_models import named

    if math.isnan(timeout):
        raise OptionError("--timeout must be a number of seconds (got nan)")
    for name in allow_host:
        if not (re.fullmatch(r"[\w.-]+", name, re.ASCII) or is_address(name)):
            raise OptionError(f"--allow-host must be a host name such as models.example.org (got {name})")
    limits = RequestLimits(
        body=max_body * _MIB,
        inputs=max_inputs,
        characters=max_characters,
        requests=max_requests,
        seconds=timeout,
    )
    token = _token(token, open_=not is_loopback(host), shown=session.progress)
    session.begin(f"loading {', '.join(weights)}")
    loaded = [(name, session.load(name, device=device)) for name in weights]
    models = named(loaded, session.registry, last=session.last)
    with contextlib.closing(_listening(host, port)) as listening:
        url = _url(listening)
        if session.progress:
            page = f"{url}/#token={token}" if token else url
            echo(
                f"serving {', '.join(model.name for model in models)} on {page}; press Ctrl-C to stop",
                err=True,
            )
        access = Access(hosts=[host, *allow_host], token=token)
        log = partial(echo, err=True) if session.progress else None
        app = create_app(models, limits=limits, access=access, log=log)
        _serve(app, listening, models, patience=int(2 * timeout) + 10, log=log)
    if as_json:
        print_json({"url": url, "models": [model.name for model in models]})


def _token(token: str | None, *, open_: bool, shown: bool) -> str:
    """Return the token that clients must send; empty if none is required.

    Raises OptionError for a token that is too short, or if one would be generated but not printed.
    """
    if token is not None and not re.fullmatch(r"[\w.~+/=-]{16,}", token, re.ASCII):
        message = "token must have at least 16 characters, all of them letters, digits or - . _ ~ + / ="
        raise OptionError(message, hint="generate a token with `openssl rand -hex 16`")
    if token is None and open_ and not shown:
        message = "remote clients require a token, but --quiet would hide the generated token"
        raise OptionError(message, hint="set ZOO_SERVE_TOKEN")
    return token or (secrets.token_urlsafe(24) if open_ else "")


def _listening(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises OptionError if the address is not available."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        why = (error.strerror or "").partition(" (while ")[0]
        taken = error.errno in (errno.EADDRINUSE, errno.EACCES)
        hint = (
            "use --port 0 for any free port" if taken else "use --host 127.0.0.1 to accept local clients only"
        )
        raise OptionError(f"cannot listen on port {port} of {host}: {why}", hint=hint) from None
    # inherited by connections: otherwise an answer in two parts waits 40 ms for an acknowledgment
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _serve(
    app: ASGIApp,
    listening: socket.socket,
    models: list[Served],
    *,
    patience: int,
    log: Callable[[str], object] | None,
) -> None:
    """Serve until Ctrl-C or SIGTERM; requests accepted by then are completed.

    Args:
        patience: seconds after which clients that do not read their responses are disconnected.
        log: called with a line when the server waits for responses to end; None for no line.
    """
    import uvicorn

    from zoo.tools.serve.http_protocol import Connections, Protocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            listening.listen(_QUEUE)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            super().handle_exit(sig, frame)
            if self.force_exit:  # requests are cut off, and nothing that is said of it is news
                logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
                for connection in [*self.server_state.connections]:  # which Python 3.12 would wait for
                    connection.loop.call_soon_threadsafe(connection.transport.abort)
            elif log and self.server_state.tasks:
                log("finishing current requests; press Ctrl-C again to stop immediately")

    connections, level = Connections(patience=patience), "warning" if log else "error"
    more: dict[str, Any] = {"server_header": False, "proxy_headers": False, "access_log": False, "ws": "none"}
    # so many are opened at once, before they are counted
    more |= {"http": partial(Protocol, connections=connections), "backlog": connections.most // 8}
    config = uvicorn.Config(app, log_level=level, timeout_graceful_shutdown=patience, **more)
    server = Server(config)
    # Else the event loop keeps Python's lock for 5 ms, and a model waits for it after each of its operations
    sys.setswitchinterval(1e-5)
    gc.freeze()  # so that no request has to wait until Python has looked through all that torch imported
    with warnings.catch_warnings(), contextlib.suppress(KeyboardInterrupt):
        warnings.simplefilter("ignore", ZooWarning)  # about what clients sent
        server.run([listening])
    for model in models:
        model.worker.close()
