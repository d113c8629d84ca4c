"""Access control: a page of another site, open in the same browser, can neither read nor send commands.

With a token, each request needs it, and nothing more: any `Host` will do, so that the server can be reached
by every name and port that leads to it (mDNS, forwarded ports, containers). DNS rebinding gains nothing, as a
page under another name has neither the token nor the cookie.

Without a token only this machine can connect, and the `Host` header must be a name of it (`localhost`, a
loopback address; with any port, which may be forwarded): that prevents DNS rebinding.

An `Origin` header, which browsers add to requests of other sites and to WebSockets, must be this server's or
one of `origins`. Those get CORS headers, also without the token, because browsers ask before they send it.
They do not get `Access-Control-Allow-Credentials`: a page of another site has to have the token itself, and
cannot use the cookie of the user.
"""

import hmac
from collections.abc import Collection
from typing import Final
from urllib.parse import unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .hosts import is_loopback

_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",  # an address may contain the token
    "cross-origin-resource-policy": "same-origin",  # for requests without CORS
}
_PREFLIGHT: Final = {
    "access-control-allow-methods": "GET",
    "access-control-allow-headers": "authorization",
    "access-control-max-age": "600",
}


class AccessControl:
    """ASGI middleware that refuses requests with 401 or 403, and adds security headers to responses.

    Args:
        port: of this server.
        token: that requests need; None where only this machine can connect.
        origins: of other sites whose pages may connect, as `options.origin_of` gives them.
    """

    def __init__(
        self, app: ASGIApp, port: int, token: str | None = None, origins: Collection[str] = ()
    ) -> None:
        self._app, self._token, self._origins = app, token, origins
        self._cookie = f"enrapt_{port}"  # browsers send cookies to all ports of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        given = _token_in(scope["query_string"].decode("latin-1"))
        origin = headers.get("origin", "")
        allowed = origin in self._origins
        preflight = (
            allowed
            and scope["type"] == "http"
            and scope["method"] == "OPTIONS"
            and "access-control-request-method" in headers
        )
        answer = self._refusal(headers, given, preflight)
        if answer is None and preflight:
            answer = Response(None, 204, _PREFLIGHT)

        async def send_with_headers(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                response = MutableHeaders(scope=message)
                response.update(_HEADERS)
                if allowed:
                    response["access-control-allow-origin"] = origin
                if self._origins:
                    response["vary"] = "Origin"
                if given and self._token is not None and answer is None:
                    cookie = f"{self._cookie}={self._token}; Path=/; HttpOnly; SameSite=Strict"
                    response.append("set-cookie", cookie)
            await send(message)

        await (self._app if answer is None else answer)(scope, receive, send_with_headers)

    def _refusal(self, headers: Headers, given: str, preflight: bool) -> Response | None:
        host = headers.getlist("host")
        if self._token is None and not (len(host) == 1 and _is_this_machine(host[0])):
            return _refused(403, "the Host header names another machine")
        origin = headers.getlist("origin")
        own = [f"http://{name}" for name in host]
        if origin and origin != own and not (len(origin) == 1 and origin[0] in self._origins):
            return _refused(403, "the Origin header names another site; --allow-origin allows one")
        if self._token is not None and not preflight and not self._has_token(headers, given):
            return _refused(401, "a token is required: ?token=… in the address, or Authorization: Bearer …")
        return None

    def _has_token(self, headers: Headers, given: str) -> bool:
        assert self._token is not None
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        cookies = cookie_parser(headers.get("cookie", ""))
        tokens = (given, bearer if kind.lower() == "bearer" else "", cookies.get(self._cookie, ""))
        return any(hmac.compare_digest(one.encode(), self._token.encode()) for one in tokens)


def _token_in(query: str) -> str:
    """The first token; unlike in a form, `+` is not a space."""
    for option in query.split("&"):
        name, _, value = option.partition("=")
        if name == "token":
            return unquote(value)
    return ""


def _is_this_machine(header: str) -> bool:
    host, separator, port = header.rpartition(":")
    if not separator or header.endswith("]"):
        host, port = header, ""
    if port and not (port.isascii() and port.isdecimal()):
        return False
    return is_loopback(host.removeprefix("[").removesuffix("]").lower())


def _refused(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status, {"www-authenticate": "Bearer"} if status == 401 else {})
