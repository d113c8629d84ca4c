"""OpenAPI 3.1 description of the server. Its schemas are generated from what the server encodes."""

from typing import Any

import msgspec

from ..engine.estimate import Estimate
from .history import RECENT, Columns
from .metrics import CONTENT_TYPE


class Problem(msgspec.Struct):
    """Why a request failed."""

    error: str


_TEXT = {"type": "string"}


def openapi(version: str, token: bool, health: type[msgspec.Struct]) -> dict[str, Any]:
    """The description.

    Args:
        version: of enrapt.
        token: whether the server requires one.
        health: the content of `/health`.
    """
    types = (Estimate, Columns, health, Problem)
    references, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    estimate, history, healthy, problem = references

    def get(summary: str, responses: dict[str, Any]) -> dict[str, Any]:
        common = {
            "403": _response("the Host or Origin header names another server", json=problem),
            "503": _response("too many connections", text=_TEXT),
        }
        if token:
            common["401"] = _response("the token is missing", json=problem)
        return {"get": {"summary": summary, "responses": common | responses}}

    metrics = {
        "description": "text format 0.0.4",
        "content": {CONTENT_TYPE.partition(";")[0]: {"schema": _TEXT}},
    }
    security = {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"},
            "query": {"type": "apiKey", "in": "query", "name": "token"},
        }
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "enrapt",
            "version": version,
            "description": "Live engagement estimates. OpenAPI cannot describe WebSockets: `/ws` sends "
            "each estimate as /estimate returns it; `/page` sends what the page shows, and accepts commands.",
        },
        "paths": {
            "/": get(
                "the page", {"200": {"description": "HTML", "content": {"text/html": {"schema": _TEXT}}}}
            ),
            "/health": get(
                "whether estimates arrive",
                {
                    "200": _response("they do", json=healthy),
                    "503": _response("none for 2 s, or too many connections", json=healthy, text=_TEXT),
                },
            ),
            "/estimate": get(
                "the newest estimate",
                {
                    "200": _response("as in a line of JSON Lines", json=estimate),
                    "404": _response("there is none yet", json=problem),
                },
            ),
            "/history": get(
                f"the estimates of the last {RECENT:g} s, or of a whole replay",
                {"200": _response("by column", json=history)},
            ),
            "/metrics": get("for Prometheus", {"200": metrics}),
            "/openapi.json": get("this description", {"200": _response("OpenAPI", json={"type": "object"})}),
        },
        "components": {"schemas": schemas} | (security if token else {}),
    } | ({"security": [{"bearer": []}, {"query": []}]} if token else {})


def _response(
    description: str, json: dict[str, Any] | None = None, text: dict[str, Any] | None = None
) -> dict[str, Any]:
    content = {"application/json": json, "text/plain": text}
    return {
        "description": description,
        "content": {kind: {"schema": schema} for kind, schema in content.items() if schema is not None},
    }
