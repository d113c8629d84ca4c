"""Who may ask. A page of another site, open in the same browser, must neither read nor command.

The `Host` asked for must be this server's (a name that an attacker lets point here is not: DNS rebinding),
and an `Origin`, which browsers add where it matters, must be this server's as well. Where others than this
machine can connect, everybody needs the token.
"""

import hmac
import ipaddress
import socket
from collections.abc import Mapping
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
    "referrer-policy": "no-referrer",  # an address may hold the token
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Safety:
    """Asks before the application does, and adds headers to what it answers.

    Args:
        host, port: where the server listens.
        token: that everybody needs; None for nobody.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, token: str | None) -> None:
        self._app = app
        self._host, self._port = host, port
        self._token = token
        self._cookie = f"enrapt_{port}"  # a browser sends it to other ports, too

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        query = parse_qs(scope["query_string"].decode("latin-1"))
        asked = query.get("token", [""])[0]
        refusal = self._refusal(headers, asked)

        async def safe(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                answer = MutableHeaders(scope=message)
                answer.update(_HEADERS)
                if asked and self._token is not None and refusal is None:
                    cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    answer.append("set-cookie", cookie)
            await send(message)

        await (self._app if refusal is None else refusal)(scope, receive, safe)

    def _refusal(self, headers: Headers, asked: str) -> Response | None:
        host = headers.getlist("host")
        if len(host) != 1 or not self._is_mine(host[0]):
            return _refused(403, "the Host header names another server")
        origin = headers.getlist("origin")
        if origin and origin != [f"http://{host[0]}"]:
            return _refused(403, "asked by a page of another origin")
        if self._token is not None and not self._knows_token(headers, asked):
            return _refused(401, "a token is needed: use the address that enrapt printed", "Bearer")
        return None

    def _is_mine(self, header: str) -> bool:
        host, separator, port = header.rpartition(":")
        if not separator or header.endswith("]"):
            host, port = header, ""
        if separator and port and port != str(self._port):
            return False
        host = host.removeprefix("[").removesuffix("]").lower()
        if host in ("localhost", "127.0.0.1", "::1", self._host.lower()):
            return True
        # Where it listens everywhere: an address cannot be made to point elsewhere, a name can.
        return self._host in ("0.0.0.0", "::") and (_is_address(host) or host == socket.gethostname().lower())

    def _knows_token(self, headers: Headers, asked: str) -> bool:
        assert self._token is not None
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        cookies: Mapping[str, str] = cookie_parser(headers.get("cookie", ""))
        given = (asked, bearer if kind.lower() == "bearer" else "", cookies.get(self._cookie, ""))
        return any(hmac.compare_digest(one.encode(), self._token.encode()) for one in given)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refused(status: int, why: str, authenticate: str | None = None) -> Response:
    headers = {} if authenticate is None else {"www-authenticate": authenticate}
    return JSONResponse({"error": why}, status, headers)
