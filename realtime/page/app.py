"""What is answered, and to whom what is told."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from .clients import Clients, frame_of
from .latest import Latest
from .messages import Command, typed
from .metrics import CONTENT_TYPE, prometheus
from .openapi import description
from .safety import Safety

STALLED: Final = 2.0  # s without an estimate

PAGE: Final = Path(__file__).with_name("static")
_TYPES: Final = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}


def app_of(
    latest: Latest, clients: Clients, take: Callable[[Command], None], host: str, port: int, token: str | None
) -> ASGIApp:
    """The application.

    Args:
        take: called with what clients ask for.
        host, port, token: see `Safety`.
    """

    async def health(request: Request) -> Response:
        age = latest.age
        status = "starting" if age is None else "stalled" if age > STALLED else "ok"
        told = {
            "status": status,
            "ticks": latest.ticks,
            "age_s": None if age is None else round(age, 3),
            "clients": sum(clients.connected.values()),
        }
        return JSONResponse(told, 200 if status == "ok" else 503)

    async def estimate(request: Request) -> Response:
        if latest.estimate is None:
            return JSONResponse({"error": "there is no estimate yet"}, 404)
        return Response(latest.text, media_type="application/json")

    async def history(request: Request) -> Response:
        return Response(msgspec.json.encode(latest.history.columns()), media_type="application/json")

    async def metrics(request: Request) -> Response:
        return Response(prometheus(latest, clients), headers={"content-type": CONTENT_TYPE})

    told = description(_version(), token is not None)

    async def openapi(request: Request) -> Response:
        return JSONResponse(told)

    async def estimates(websocket: WebSocket) -> None:
        if await _enters(websocket, clients):
            with clients.joined("/ws", websocket) as client:
                await client.listen(None)

    async def page(websocket: WebSocket) -> None:
        if await _enters(websocket, clients):
            with clients.joined("/page", websocket) as client:
                for kind, content in (("hello", latest.hello), ("status", latest.status)):
                    if content is not None:
                        client.put(frame_of(typed(kind, content)))
                await client.listen(take)

    app = Starlette(
        routes=[
            *_files(),
            Route("/health", health),
            Route("/estimate", estimate),
            Route("/history", history),
            Route("/metrics", metrics),
            Route("/openapi.json", openapi),
            WebSocketRoute("/ws", estimates),
            WebSocketRoute("/page", page),
        ]
    )
    app.router.redirect_slashes = False
    return Safety(app, host, port, token)


async def _enters(websocket: WebSocket, clients: Clients) -> bool:
    if clients.full:
        await websocket.send_denial_response(JSONResponse({"error": "too many connections"}, 503))
        return False
    await websocket.accept()
    return True


def _files() -> list[Route]:
    """The page's files; no other name leads to a file."""

    def route(path: Path) -> Route:
        async def content(request: Request) -> Response:
            return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

        return Route("/" if path.name == "index.html" else f"/{path.name}", content)

    return [route(path) for path in sorted(PAGE.iterdir()) if path.suffix in _TYPES]


def _version() -> str:
    try:
        return version("enrapt")
    except PackageNotFoundError:
        return "unknown"
