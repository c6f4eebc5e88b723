"""An https server on this machine, as badly behaved as a test needs."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Self-signed, for localhost only, with its key."""

Behavior = Callable[[BaseHTTPRequestHandler, threading.Event], None]
"""Answers a request. The event is set when the server ends, for answers that wait."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that have disconnected."""


@contextlib.contextmanager
def serving(behaviors: Mapping[str, Behavior]) -> Generator[tuple[str, list[str]]]:
    """Serve paths, each by its behavior; yield the address, and the list of paths requested so far."""
    requested: list[str] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested.append(self.path)
            behaviors[self.path](self, over)

        def log_message(self, *_: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", requested
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def gives(content: bytes, *, status: int = 200, length: int | None = None, kind: str = "") -> Behavior:
    """Answer with `content`; `length` announces another number of bytes."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.send_header("Content-Type", kind or "application/octet-stream")
        request.end_headers()
        request.wfile.write(content)

    return answer


def redirects_to(address: str) -> Behavior:
    """Answer with a redirect."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(302)
        request.send_header("Location", address)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def stalls(content: bytes) -> Behavior:
    """Send half of the bytes announced, then nothing more."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])
        request.wfile.flush()
        over.wait()

    return answer


def never_ends() -> Behavior:
    """Send zeros as long as the client listens, without announcing how many."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not over.is_set():
                request.wfile.write(bytes(1 << 16))

    return answer


def writes(start: bytes, *, again: bytes = b"") -> Behavior:
    """Send bytes as they are, without any header; then send `again` as long as the client listens."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        with contextlib.suppress(OSError):
            request.wfile.write(start)
            while again and not over.is_set():
                request.wfile.write(again)

    return answer
