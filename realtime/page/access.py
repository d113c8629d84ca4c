"""Access control: a page of another site, open in the same browser, can neither read nor send commands.

The `Host` header must name this server, which prevents DNS rebinding, and an `Origin` header, which
browsers add to requests of other sites and to WebSockets, must be this server's. Where other machines can
connect, each request needs the token.
"""

import hmac
import ipaddress
import socket
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # an address may contain the token
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to it."""
    return host == "localhost" or bool((address := _address(host)) and address.is_loopback)


class AccessControl:
    """ASGI middleware that refuses requests with 401 or 403, and adds security headers to responses."""

    def __init__(self, app: ASGIApp, host: str, port: int, token: str | None) -> None:
        self._app, self._token = app, token
        self._host, self._port = host, port
        self._cookie = f"enrapt_{port}"  # browsers send cookies to all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        refusal = self._refusal(headers, given)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                response = MutableHeaders(scope=message)
                response.update(_HEADERS)
                if given and self._token is not None and refusal is None:
                    cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    response.append("set-cookie", cookie)
            await send(message)

        await (self._app if refusal is None else refusal)(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers, given: str) -> Response | None:
        host = headers.getlist("host")
        if len(host) != 1 or not self._names_this_server(host[0]):
            return _refused(403, "the Host header names another server")
        origin = headers.getlist("origin")
        if origin and origin != [f"http://{host[0]}"]:
            return _refused(403, "the Origin header names another site")
        if self._token is not None and not self._has_token(headers, given):
            return _refused(401, "a token is required: use the address that enrapt printed")
        return None

    def _names_this_server(self, header: str) -> bool:
        host, separator, port = header.rpartition(":")
        if not separator or header.endswith("]"):
            host, port = header, ""
        if separator and port and port != str(self._port):
            return False
        host = host.removeprefix("[").removesuffix("]").lower()
        if host in ("localhost", "127.0.0.1", "::1", self._host.lower()):
            return True
        # Listening on all addresses: an attacker can point a name here, but not an address.
        return self._host in ("0.0.0.0", "::") and (
            _address(host) is not None or host == socket.gethostname().lower()
        )

    def _has_token(self, headers: Headers, given: str) -> bool:
        assert self._token is not None
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        cookies = cookie_parser(headers.get("cookie", ""))
        tokens = (given, bearer if kind.lower() == "bearer" else "", cookies.get(self._cookie, ""))
        return any(hmac.compare_digest(one.encode(), self._token.encode()) for one in tokens)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status, {"www-authenticate": "Bearer"} if status == 401 else {})
