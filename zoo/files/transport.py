"""HTTPS with limits on what a server sends, which are enforced where its bytes arrive.

requests limits only the wait for the next bytes. It accepts any rate, and any number of interim responses and
of bytes in redirects and between chunks.
"""

from __future__ import annotations

import math
import ssl
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response
    from requests.adapters import HTTPAdapter

# The most bytes of all headers and redirects
_HEADERS = 1 << 20
# A server must send so many bytes in so many seconds
_LEAST, _SECONDS = 60_000, 60.0


class Limits:
    """The limits of one download.

    Args:
        seconds: the longest that the download may take, if it is limited.

    Attributes:
        most: maximum number of bytes; raise it once the headers have arrived.
    """

    def __init__(self, *, seconds: float = math.inf) -> None:
        self.most = _HEADERS
        self._seconds = seconds
        self._began = monotonic()
        self._total = self._recent = 0
        self._since: float | None = None

    def count(self, received: int) -> None:
        """Count bytes that have just arrived. Raises OSError if they are too many, or too few so far."""
        now = monotonic()
        self._since = now if self._since is None else self._since
        self._total += received
        self._recent += received
        if self._total > self.most:
            raise OSError(f"the server sent more than {self.most:,} bytes")
        if now - self._began > self._seconds:
            raise OSError(f"the server took more than {self._seconds:.0f} seconds")
        seconds = now - self._since
        if seconds > _SECONDS:
            if self._recent < _LEAST:
                raise OSError(f"the server sent less than {_LEAST:,} bytes in {seconds:.0f} seconds")
            self._since, self._recent = now, 0


def limited_adapter(limits: Limits) -> HTTPAdapter:
    """Return an adapter for a session of requests whose connections count what they receive."""
    from requests.adapters import HTTPAdapter

    class Socket(ssl.SSLSocket):
        def recv_into(self, *args: Any, **settings: Any) -> int:
            received = super().recv_into(*args, **settings)
            limits.count(received)
            return received

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.sslsocket_class = Socket
    responses: list[Response] = []

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **settings: Any) -> None:
            super().init_poolmanager(*args, **settings, ssl_context=context)

        def proxy_manager_for(self, proxy: str, **settings: Any) -> Any:
            return super().proxy_manager_for(proxy, **settings, ssl_context=context)

        def send(self, *args: Any, **settings: Any) -> Response:
            responses.append(super().send(*args, **settings))
            return responses[-1]

        def close(self) -> None:
            for response in responses:  # requests leaves a redirect to an invalid address open
                response.close()
            super().close()

    return Adapter()
