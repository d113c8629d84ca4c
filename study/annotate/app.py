"""The HTTP endpoints of the annotation page."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ...contracts.errors import UserError, one_line
from ...realtime.page.access import AccessControl
from ..study import Dimension
from .onward import Onward
from .segments import Segment
from .suggest import most_useful
from .task import Task

SESSION: Final = "session.html"  # the page of what is rated once for a whole session
FILES: Final = Path(__file__).with_name("static")
MAX_BODY: Final = 2**25  # bytes of an edit; a day at 25 Hz in one has as many
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_JSON: Final = "application/json"
_Asked = TypeVar("_Asked")

_Seconds = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Name = Annotated[str, Meta(max_length=100)]


class Edit(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All ratings from `start` to `end`, seconds; see `StoredLabels.edit`.

    Attributes:
        client: the page that sends it; only the one that was opened last may.
        task: what the page was opened for, as `Task.key`: another one's ratings are not stored.
        segments: start, end, value and, where there is one, confidence.
    """

    client: _Name
    task: _Name
    stroke: _Name
    start: _Seconds
    end: _Seconds
    segments: list[Segment]


class Rating(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The rating of the whole session; see `StoredWhole.rate`. `client` and `task` as in `Edit`."""

    client: _Name
    task: _Name
    stroke: _Name
    value: Annotated[float, Meta(ge=-1e9, le=1e9)] | None


class Leave(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The rater goes on to the next session. `client` and `task` as in `Edit`."""

    client: _Name
    task: _Name


def app_of(
    task: Task, port: int, token: str | None, warn: Callable[[str], None], onward: Onward | None = None
) -> ASGIApp:
    """The ASGI application. See `AccessControl`.

    Args:
        warn: called with a line, from any thread, when labels cannot be stored and when they can be again.
        onward: gives the sessions after this one.
    """
    state = _State(task, warn, onward)

    async def page(request: Request) -> Response:
        name = "index.html" if state.task.stored else SESSION
        return Response((FILES / name).read_bytes(), media_type="text/html")

    async def described(request: Request) -> Response:
        return _answer(await run_in_threadpool(state.describe))

    async def labels(request: Request) -> Response:
        name = request.path_params["dimension"]
        if name not in state.task.stored:
            return _answer({"error": "no such dimension"}, 404)
        if request.method == "GET":
            return _answer(state.open(name, request.query_params.get("client", "")))
        edit = await _body(request, Edit)
        return edit if isinstance(edit, Response) else await run_in_threadpool(state.edit, name, edit)

    async def whole(request: Request) -> Response:
        name = request.path_params["dimension"]
        if name not in state.task.whole:
            return _answer({"error": "no such dimension"}, 404)
        rating = await _body(request, Rating)
        return rating if isinstance(rating, Response) else await run_in_threadpool(state.rate, name, rating)

    async def all_whole(request: Request) -> Response:
        return _answer(state.open_whole(request.query_params.get("client", "")))

    async def go_on(request: Request) -> Response:
        leave = await _body(request, Leave)
        return leave if isinstance(leave, Response) else await run_in_threadpool(state.go_on, leave)

    async def media(request: Request) -> Response:
        played = state.task.played
        return FileResponse(played.path, media_type=played.kind)

    app = Starlette(
        routes=[
            Route("/", page),
            *_files(),
            Route("/task", described),
            Route("/labels/{dimension}", labels, methods=["GET", "PUT"]),
            Route("/whole", all_whole),
            Route("/whole/{dimension}", whole, methods=["PUT"]),
            Route("/next", go_on, methods=["POST"]),
            Route("/media", media),
        ]
    )
    app.router.redirect_slashes = False
    return AccessControl(app, port, token)


class _State:
    """What the clients may see and change."""

    def __init__(self, task: Task, warn: Callable[[str], None], onward: Onward | None) -> None:
        self.task, self._warn, self._onward = task, warn, onward
        self._lock = threading.Lock()
        self._client: str | None = None  # that was opened last; None after a start
        self._trouble: str | None = None

    def describe(self) -> dict[str, Any]:
        task = self.task
        return {
            "task": task.key,
            "title": task.material.title,
            "rater": task.rater,
            "offset": task.played.offset,
            "duration": task.played.duration,
            "dimensions": [_described(stored.dimension) for stored in task.stored.values()],
            "whole": [_described(stored.dimension) for stored in task.whole.values()],
            "sessions": None if self._onward is None else self._onward.rated,
            "given": list(task.given),
            "offers": task.stretches is not None,
            "estimate": task.estimate,
        }

    def open(self, name: str, client: str) -> dict[str, Any]:
        with self._lock:
            self._client = client
            stored = self.task.stored[name]
            offered = most_useful(self.task.stretches or (), stored.segments)
            return {"segments": stored.segments, "stretches": offered}

    def open_whole(self, client: str) -> dict[str, float | None]:
        with self._lock:
            self._client = client
            return {name: stored.value for name, stored in self.task.whole.items()}

    def edit(self, name: str, edit: Edit) -> Response:
        with self._lock:
            if (refused := self._refusal(edit)) is not None:
                return refused
            stored = self.task.stored[name]
            if refused := self._stored(lambda: stored.edit(edit.start, edit.end, edit.segments, edit.stroke)):
                return refused
            offered = most_useful(self.task.stretches or (), stored.segments)
            return _answer({"rated": stored.rated, "stretches": offered})

    def rate(self, name: str, rating: Rating) -> Response:
        with self._lock:
            if (refused := self._refusal(rating)) is not None:
                return refused
            stored = self.task.whole[name]
            refused = self._stored(lambda: stored.rate(rating.value, rating.stroke))
            return refused or _answer({"value": stored.value})

    def go_on(self, leave: Leave) -> Response:
        """To the next session: `ready` when it is there, its copy's `share`, or `over` after the last."""
        with self._lock:
            if self._onward is None:
                return _answer({"error": "there is no next session: start enrapt annotate with --next"}, 404)
            if (refused := self._refusal(leave)) is not None:
                return refused
            found = self._onward.after(self.task)
            if isinstance(found, Task):
                self.task, self._client = found, None
                return _answer({"state": "ready"})
            return _answer({"state": "over"} if found is None else {"state": "preparing", "share": found})

    def _refusal(self, asked: Edit | Rating | Leave) -> Response | None:
        if asked.task != self.task.key:
            return _answer({"error": "enrapt annotate is now for another recording or rater"}, 409)
        if self._client not in (None, asked.client):
            return _answer({"error": "this page was opened a second time; rate there"}, 409)
        self._client = asked.client
        return None

    def _stored(self, store: Callable[[], None]) -> Response | None:
        """Store something; if it cannot be, an answer that says why."""
        try:
            store()
        except UserError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                self._warn(f"not stored: {error}")
            return _answer({"error": one_line(error)}, 507)
        if self._trouble is not None:
            self._trouble = None
            self._warn("stored again")
        return None


async def _body(request: Request, kind: type[_Asked]) -> _Asked | Response:
    """What a request asks for; if it is none, an answer that says why."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return _answer({"error": "more ratings than can be stored at once"}, 413)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        return _answer({"error": one_line(error)}, 422)


def _described(dimension: Dimension) -> dict[str, Any]:
    return {**msgspec.to_builtins(dimension), "values": dimension.values.tolist()}


def _answer(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=_JSON)


def _files() -> list[Route]:
    """The page's files; no other name leads to a file."""

    def route(path: Path) -> Route:
        async def content(request: Request) -> Response:
            return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

        return Route(f"/{path.name}", content)

    return [route(path) for path in sorted(FILES.iterdir()) if path.suffix in _TYPES]
