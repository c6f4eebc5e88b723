"""A server on this machine, over https, that behaves as badly as it is told."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Generator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CERTIFICATE = Path(__file__).with_name("localhost.pem")
"""Self-signed, for localhost, with its key: good for nothing else."""

Behaviour = Callable[[BaseHTTPRequestHandler, threading.Event], None]
"""Answers a request; the event is set when the server ends, for those who wait."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that went away."""


@contextlib.contextmanager
def serving(behaviours: Mapping[str, Behaviour]) -> Generator[tuple[str, list[str]]]:
    """Serve paths by their behaviours; give the server's address, and a list of the paths asked for."""
    asked: list[str] = []
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            behaviours[self.path](self, over)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", asked
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()


def gives(content: bytes, *, status: int = 200, length: int | None = None, kind: str = "") -> Behaviour:
    """Answer with some bytes, of which there may be fewer than announced."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(content) if length is None else length))
        request.send_header("Content-Type", kind or "application/octet-stream")
        request.end_headers()
        request.wfile.write(content)

    return answer


def leads_to(address: str) -> Behaviour:
    """Redirect."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(302)
        request.send_header("Location", address)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def stalls(content: bytes) -> Behaviour:
    """Send half of what was announced, and then nothing."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: len(content) // 2])
        request.wfile.flush()
        over.wait()

    return answer


def never_ends() -> Behaviour:
    """Send zeros for as long as anybody listens, without saying how many."""

    def answer(request: BaseHTTPRequestHandler, over: threading.Event) -> None:
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not over.is_set():
                request.wfile.write(bytes(1 << 16))

    return answer
