"""The HTTP endpoints of the annotation page."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

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
from .material import Material
from .playable import Playable
from .segments import Segment
from .stored import StoredLabels
from .suggest import Stretch, most_useful

FILES: Final = Path(__file__).with_name("static")
MAX_BODY: Final = 2**25  # bytes of an edit; a day at 25 Hz in one has as many
_TYPES: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_JSON: Final = "application/json"

_Seconds = Annotated[float, Meta(ge=-1e9, le=1e9)]
_Name = Annotated[str, Meta(max_length=100)]


class Edit(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All ratings from `start` to `end`, seconds; see `StoredLabels.edit`.

    Attributes:
        client: the page that sends it; only the one that was opened last may.
        segments: start, end, value and, where there is one, confidence.
    """

    client: _Name
    stroke: _Name
    start: _Seconds
    end: _Seconds
    segments: list[Segment]


@dataclass(frozen=True, slots=True)
class Task:
    """What one rater rates.

    Attributes:
        stored: by dimension.
        given: the stretches to rate, seconds; empty: the rater marks them.
        stretches: what `--next` offers; None without it.
        estimate: rows of time, mean, low and high that the rater may see; None: none, the rater is blind.
    """

    material: Material
    played: Playable
    rater: str
    stored: Mapping[str, StoredLabels]
    given: Sequence[tuple[float, float]] = ()
    stretches: Sequence[Stretch] | None = None
    estimate: Sequence[tuple[float, float, float, float]] | None = None


def app_of(task: Task, port: int, token: str | None, warn: Callable[[str], None]) -> ASGIApp:
    """The ASGI application. See `AccessControl`.

    Args:
        warn: called with a line, from any thread, when labels cannot be stored and when they can be again.
    """
    state = _State(task, warn)

    async def described(request: Request) -> Response:
        return _answer(state.describe())

    async def labels(request: Request) -> Response:
        name = request.path_params["dimension"]
        if name not in task.stored:
            return _answer({"error": "no such dimension"}, 404)
        if request.method == "GET":
            return _answer(state.open(name, request.query_params.get("client", "")))
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return _answer({"error": "more ratings than can be stored at once"}, 413)
        try:
            edit = msgspec.json.decode(body, type=Edit)
        except msgspec.MsgspecError as error:
            return _answer({"error": one_line(error)}, 422)
        return await run_in_threadpool(state.edit, name, edit)

    async def media(request: Request) -> Response:
        return FileResponse(task.played.path, media_type=task.played.kind)

    app = Starlette(
        routes=[
            *_files(),
            Route("/task", described),
            Route("/labels/{dimension}", labels, methods=["GET", "PUT"]),
            Route("/media", media),
        ]
    )
    app.router.redirect_slashes = False
    return AccessControl(app, port, token)


class _State:
    """What the clients may see and change."""

    def __init__(self, task: Task, warn: Callable[[str], None]) -> None:
        self._task, self._warn = task, warn
        self._lock = threading.Lock()
        self._client: str | None = None  # that was opened last; None after a start
        self._trouble: str | None = None

    def describe(self) -> dict[str, Any]:
        task = self._task
        return {
            "title": task.material.title,
            "rater": task.rater,
            "offset": task.played.offset,
            "duration": task.played.duration,
            "dimensions": [
                {**msgspec.to_builtins(stored.dimension), "values": stored.dimension.values.tolist()}
                for stored in task.stored.values()
            ],
            "given": list(task.given),
            "offers": task.stretches is not None,
            "estimate": task.estimate,
        }

    def open(self, name: str, client: str) -> dict[str, Any]:
        with self._lock:
            self._client = client
            stored = self._task.stored[name]
            offered = most_useful(self._task.stretches or (), stored.segments)
            return {"segments": stored.segments, "stretches": offered}

    def edit(self, name: str, edit: Edit) -> Response:
        with self._lock:
            if self._client not in (None, edit.client):
                return _answer({"error": "this page was opened a second time; rate there"}, 409)
            self._client = edit.client
            stored = self._task.stored[name]
            try:
                stored.edit(edit.start, edit.end, edit.segments, edit.stroke)
            except UserError as error:
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._warn(f"not stored: {error}")
                return _answer({"error": one_line(error)}, 507)
            if self._trouble is not None:
                self._trouble = None
                self._warn("stored again")
            offered = most_useful(self._task.stretches or (), stored.segments)
            return _answer({"rated": stored.rated, "stretches": offered})


def _answer(content: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type=_JSON)


def _files() -> list[Route]:
    """The page's files; no other name leads to a file."""

    def route(path: Path) -> Route:
        async def content(request: Request) -> Response:
            return Response(path.read_bytes(), media_type=_TYPES[path.suffix])

        return Route("/" if path.name == "index.html" else f"/{path.name}", content)

    return [route(path) for path in sorted(FILES.iterdir()) if path.suffix in _TYPES]
