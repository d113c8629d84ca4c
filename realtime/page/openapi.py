"""OpenAPI 3.1 description of the server. Its schemas are generated from what the server encodes."""

from typing import Annotated, Any, Final, Literal

import msgspec

from ..engine.estimate import Estimate
from .latest import RECENT, Columns


class Health(msgspec.Struct):
    """Whether estimates arrive."""

    status: Literal["ok", "starting", "stalled"]
    ticks: int
    age_s: Annotated[float | None, msgspec.Meta(description="since the newest estimate")]
    clients: int


class Problem(msgspec.Struct):
    """Why a request failed."""

    error: str


_TEXT: Final = {"type": "string"}
_TYPES: Final = {"json": "application/json", "text": "text/plain", "html": "text/html"}


def openapi(version: str, token: bool) -> dict[str, Any]:
    """The description of this version of enrapt; `token` says whether the server requires one."""
    types = (Estimate, Columns, Health, Problem)
    references, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    estimate, history, healthy, problem = references
    common = {
        "403": _response("the Host header names another machine, or Origin another site", json=problem),
    }
    security: dict[str, Any] = {}
    components: dict[str, Any] = {"schemas": schemas}
    if token:
        common["401"] = _response("the token is missing", json=problem)
        security = {"security": [{"bearer": []}, {"query": []}]}
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "query": {"type": "apiKey", "in": "query", "name": "token"},
        }

    def get(summary: str, responses: dict[str, Any], *parameters: dict[str, Any]) -> dict[str, Any]:
        taken = {"parameters": list(parameters)} if parameters else {}
        return {"get": {"summary": summary, **taken, "responses": common | responses}}

    person = {
        "name": "person",
        "in": "query",
        "description": "id of the person whose estimates are asked for; else of the one who is followed",
        "schema": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    }

    return security | {
        "openapi": "3.1.0",
        "info": {
            "title": "enrapt",
            "version": version,
            "description": "Live engagement estimates. OpenAPI cannot describe WebSockets: `/ws` sends "
            "each estimate as /estimate returns it; `/page` sends what the page shows, and accepts commands.",
        },
        "paths": {
            "/": get("the page", {"200": _response("HTML", html=_TEXT)}),
            "/health": get(
                "whether estimates arrive",
                {
                    "200": _response("they do", json=healthy),
                    "503": _response("none for 2 s", json=healthy),
                },
            ),
            "/estimate": get(
                "the newest estimate",
                {
                    "200": _response("as in a line of JSON Lines", json=estimate),
                    "404": _response("there is none yet", json=problem),
                },
                person,
            ),
            "/history": get(
                f"the estimates of the last {RECENT:g} s, or of a whole replay",
                {
                    "200": _response("by column", json=history),
                    "404": _response("there is none of this person", json=problem),
                },
                person,
            ),
            "/metrics": get("for Prometheus", {"200": _response("text format 0.0.4", text=_TEXT)}),
            "/openapi.json": get("this description", {"200": _response("OpenAPI", json={"type": "object"})}),
        },
        "components": components,
    }


def _response(description: str, **schemas: dict[str, Any]) -> dict[str, Any]:
    content = {_TYPES[kind]: {"schema": schema} for kind, schema in schemas.items()}
    return {"description": description, "content": content}
