"""What the page's process serves of several runs: a page of all, and below `people/NAME/` a page of each."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from .app import files, health_of
from .clients import QUEUE, Clients
from .connections import Connections
from .messages import Command, estimate_json, typed
from .service import Service
from .wire import Described, Ended, Mark, Message, Named, Tick


class GroupService:
    """Shows the runs of several people to clients. Used by one thread.

    Messages to the page of all are those of a page of one, with `who`, and `ended`.

    Args:
        names: of the people.
        connections, limit, needs_token: see `Service`; the pages share the WebSockets.
        pass_on: called with each command of a client, and whose run it is for.

    Attributes:
        connections: as given.
        app: the ASGI application, without access control.
    """

    def __init__(
        self,
        names: Sequence[str],
        connections: Connections,
        limit: int,
        pass_on: Callable[[str, Command], None],
        needs_token: bool,
    ) -> None:
        self.connections = connections
        share = max(1, limit // (len(names) + 1))
        self.people = {
            name: Service(connections, share, partial(pass_on, name), needs_token) for name in names
        }
        self._ended: dict[str, str] = {}
        self._clients = Clients(share, connections)
        self._clients.queue = QUEUE * len(names)
        routes = [WebSocketRoute("/page", self._page), Route("/health", self._health), *files("group.html")]
        for name, service in self.people.items():
            routes += [Route(f"/people/{name}", _with_slash), Mount(f"/people/{name}", service.app)]
        self.app = Starlette(routes=routes)
        self.app.router.redirect_slashes = False

    def show(self, message: Message) -> None:
        """Keep what a run sent, and send it to the clients of its page, and of that of all."""
        assert isinstance(message, Named)
        name, content = message.name, message.message
        self.people[name].show(content)
        match content:
            case Described(description):
                self._ended.pop(name, None)
                self._send("hello", name, description)
            case Tick(estimate, person=person):
                if person is None or estimate.person in (None, person):  # of several in view the followed one
                    self._clients.send("/page", lambda: _estimate(name, estimate_json(estimate)))
                if content.status is not None:
                    self._send("status", name, content.status)
            case Mark(t, label):
                self._send("mark", name, {"t": t, "label": label})
            case Ended(why):
                self._ended[name] = why
                self._send("ended", name, {"why": why})

    def _send(self, kind: str, name: str, content: dict[str, Any]) -> None:
        self._clients.send("/page", lambda: typed(kind, {**content, "who": name}))

    async def _page(self, websocket: WebSocket) -> None:
        await self._clients.serve("/page", websocket, first=self._first)

    def _first(self) -> list[str]:
        texts = [typed("people", {"names": list(self.people)})]
        for name, service in self.people.items():
            contents = (("hello", service.latest.description), ("status", service.latest.status))
            texts += [
                typed(kind, {**content, "who": name}) for kind, content in contents if content is not None
            ]
            if name in self._ended:
                texts.append(typed("ended", {"why": self._ended[name], "who": name}))
        return texts

    async def _health(self, request: Request) -> Response:
        """That of each; 503 unless estimates of all arrive whose run is not over."""
        each = {name: health_of(service.latest, service.clients) for name, service in self.people.items()}
        well = all(health.status == "ok" for name, health in each.items() if name not in self._ended)
        return Response(
            msgspec.json.encode({"people": each}), 200 if well else 503, media_type="application/json"
        )


async def _with_slash(request: Request) -> Response:
    """To the page, whose other files are found from there."""
    return RedirectResponse(f"{request.url.path.rpartition('/')[2]}/")


def _estimate(name: str, text: str) -> str:
    return f'{{"type":"estimate","who":{msgspec.json.encode(name).decode()},{text[1:]}'
