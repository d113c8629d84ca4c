"""The HTTP and WebSocket endpoints."""

from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from .access import AccessControl
from .clients import Clients, Handler
from .connections import Connections
from .latest import Latest
from .messages import typed
from .metrics import CONTENT_TYPE, prometheus
from .openapi import Health, Problem, openapi

STALLED: Final = 2.0  # s without an estimate
PART: Final = 1 << 14  # bytes of a response that are sent at a time

FILES: Final = Path(__file__).with_name("static")
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def app_of(latest: Latest, clients: Clients, handle: Handler, needs_token: bool) -> Starlette:
    """The application of one run; `handle` is called with each command of a client. See `guarded`."""

    async def health(request: Request) -> Response:
        content = health_of(latest, clients)
        return _json(content, 200 if content.status == "ok" else 503)

    async def estimate(request: Request) -> Response:
        if (past := latest.past(request.query_params.get("person"))) is None:
            return _missing(request)
        return Response(past.text, media_type="application/json")

    async def history(request: Request) -> Response:
        past = latest.history(request.query_params.get("person"))
        return _missing(request) if past is None else _json(past)

    async def metrics(request: Request) -> Response:
        return Response(prometheus(latest, clients), headers={"content-type": CONTENT_TYPE})

    description = msgspec.json.encode(openapi(version("enrapt"), needs_token))

    async def described(request: Request) -> Response:
        return Response(description, media_type="application/json")

    async def estimates(websocket: WebSocket) -> None:
        await clients.serve("/ws", websocket)

    async def page(websocket: WebSocket) -> None:
        await clients.serve("/page", websocket, handle, first)

    def first() -> list[str]:
        people = latest.people if latest.several else None
        contents = (("hello", latest.description), ("status", latest.status), ("people", people))
        return [typed(kind, content) for kind, content in contents if content is not None]

    app = Starlette(
        routes=[
            *files("index.html"),
            Route("/health", health),
            Route("/estimate", estimate),
            Route("/history", history),
            Route("/metrics", metrics),
            Route("/openapi.json", described),
            WebSocketRoute("/ws", estimates),
            WebSocketRoute("/page", page),
        ]
    )
    app.router.redirect_slashes = False
    return app


def health_of(latest: Latest, clients: Clients) -> Health:
    """Whether estimates arrive."""
    age = latest.age
    status: Literal["ok", "starting", "stalled"] = (
        "starting" if age is None else "stalled" if age > STALLED else "ok"
    )
    connected = sum(clients.connected.values())
    return Health(status, latest.ticks, None if age is None else round(age, 3), connected)


def guarded(
    app: ASGIApp, connections: Connections, port: int, token: str | None, origins: Collection[str]
) -> ASGIApp:
    """The application with access control, deadlines, and responses in parts. See `AccessControl`."""

    async def allowed(scope: Scope, receive: Receive, send: Send) -> None:
        with connections.allowed(scope["client"], scope["type"] == "websocket"):
            await app(scope, receive, send)

    controlled = AccessControl(allowed, port, token, origins)

    async def timed(scope: Scope, receive: Receive, send: Send) -> None:
        with connections.requested(scope["client"], scope["type"] == "websocket"):
            await controlled(scope, receive, in_parts(send))

    return timed


def in_parts(send: Send) -> Send:
    """Sends a response's content in parts, each when most of those before it have been taken.

    So the response ends when the client has nearly all of it, and a large one is not copied as a whole.
    """

    async def send_in_parts(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or len(body) <= PART:
            await send(message)
            return
        for start in range(0, len(body), PART):
            more = message.get("more_body", False) or start + PART < len(body)
            await send({**message, "body": body[start : start + PART], "more_body": more})

    return send_in_parts


def _missing(request: Request) -> Response:
    whose = " of this person" if "person" in request.query_params else " yet"
    return _json(Problem(f"there is no estimate{whose}"), 404)


def _json(content: msgspec.Struct, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def files(root: str) -> list[Route]:
    """The page's files, one of them at the root; no other name leads to a file."""

    def route(path: Path) -> Route:
        async def content(request: Request) -> Response:
            return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

        return Route("/" if path.name == root else f"/{path.name}", content)

    pages = {"index.html", "group.html"} - {root}
    paths = sorted(path for path in FILES.iterdir() if path.suffix in _TYPES and path.name not in pages)
    return [route(path) for path in paths]
