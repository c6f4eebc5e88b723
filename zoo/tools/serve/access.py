"""Access control: an ASGI layer that checks the host name, the origin of the request, and the token."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.tools.serve.http_errors import Refused, answer

# Scripts and styles are files of the page. A frame may show what an analyzer draws as HTML.
_POLICY = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' data: blob:",
        "frame-src data: blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
# An IPv6 address in brackets, or a name; then the port
_HOST = re.compile(r"(?:\[([^]]+)\]|([^][:]+))(?::\d*)?")
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The access rules.

    Attributes:
        hosts: accepted names in a Host header, besides `localhost` and IP addresses.
        token: token that clients must send as `Authorization: Bearer TOKEN`; empty if none is required.
    """

    hosts: Collection[str] = ()
    token: str = field(default="", repr=False)


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on can be reached only from this machine."""
    return host == "localhost" or ((address := _address(host)) is not None and address.is_loopback)


def is_address(host: str) -> bool:
    """Return whether this is an IP address rather than a name."""
    return _address(host) is not None


class Guard:
    """Serve only permitted requests, and add headers that restrict what browsers may load for the page."""

    def __init__(self, app: ASGIApp, access: Access, *, public: Collection[str]) -> None:
        """Guard an application.

        Args:
            public: paths that do not require a token.
        """
        self._app = app
        self._access = access
        self._public = public
        self._hosts = {"localhost", *(host.lower() for host in access.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)  # a card has a policy of its own
            await send(message)

        refused = self._refuses(scope["method"], scope["path"], Headers(scope=scope))
        inner = answer(refused) if refused else self._app
        return await inner(scope, receive, send_with_headers)

    def _refuses(self, method: str, path: str, headers: Headers) -> Refused | None:
        host = headers.get("host", "")
        if not self._is_ours(_name(host)):
            hint = "start the server with --allow-host NAME for each name that clients use"
            return Refused(421, f"the server does not accept the host name {host[:100]!r}", hint=hint)
        if method not in ("GET", "HEAD") and _cross_site(headers, host):
            return Refused(403, "requests from web pages of other sites are rejected")
        if self._access.token and path not in self._public and not self._has_token(headers):
            hint = "send the header `Authorization: Bearer TOKEN` with the token of this server"
            return Refused(
                401, "the token is missing or wrong", hint=hint, headers={"WWW-Authenticate": "Bearer"}
            )
        return None

    def _is_ours(self, name: str) -> bool:
        """Return whether a host name belongs to the server.

        A foreign name may resolve to any address (DNS rebinding), but an IP address is safe.
        """
        return name in self._hosts or is_address(name)

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode(), self._access.token.encode())
        return same and scheme.lower() == "bearer"


def _name(host: str) -> str:
    """Return the name or address in a Host header, without the port; empty if the header is malformed."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _cross_site(headers: Headers, host: str) -> bool:
    """Return whether the browser's headers show that a request comes from a page of a different origin."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    return origin is not None and origin.rpartition("//")[2].lower() != host.lower()
