"""What the server answers, for programs: OpenAPI 3.1. Tests hold it against the server."""

from typing import Any

from .history import RECENT
from .metrics import CONTENT_TYPE

_NUMBER = {"type": "number"}
_NULLABLE = {"type": ["number", "null"]}


def _object(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


def _by_name(value: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": value}


_ESTIMATE = _object(
    {
        "tick": {"type": "integer", "minimum": 0},
        "t": {"type": "number", "description": "seconds of the session"},
        "engagement": _object(dict.fromkeys(("mean", "std", "low", "high"), _NUMBER))
        | {"description": "0 to 1; low and high bound the central 90 %"},
        "present": _by_name({"type": "boolean"}),
        "age_ms": _by_name(_NULLABLE),
        "surprise": _by_name(_NULLABLE) | {"description": "nats"},
    },
    latency_ms=_object(
        {"step": _NUMBER}, total=_NUMBER, tick=_NUMBER, extract=_by_name(_NUMBER), waits=_by_name(_NUMBER)
    ),
)
_HISTORY = _object(
    {name: {"type": "array", "items": _NUMBER} for name in ("t", "mean", "low", "high")}
    | {"present": _by_name({"type": "array", "items": {"enum": [0, 1]}})}
)
_HEALTH = _object(
    {
        "status": {"enum": ["ok", "starting", "stalled"]},
        "ticks": {"type": "integer"},
        "age_s": _NULLABLE | {"description": "since the newest estimate came"},
        "clients": {"type": "integer"},
    }
)
_ERROR = _object({"error": {"type": "string"}})


def description(version: str, token: bool) -> dict[str, Any]:
    """Of a server of that version of enrapt; `token`: whether it asks for one."""

    def get(what: str, answers: dict[str, Any]) -> dict[str, Any]:
        common = {
            "403": _answer("another host, or another origin, was asked for", json=_ERROR),
            "503": _answer("too many connections", text={"type": "string"}),
        }
        if token:
            common["401"] = _answer("the token is missing", json=_ERROR)
        return {"get": {"summary": what, "responses": common | answers}}

    text = {"type": "string"}
    told: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "enrapt",
            "version": version,
            "description": "Engagement, estimated now. WebSockets, which OpenAPI does not describe: `/ws` "
            "sends each estimate as /estimate gives it; `/page` what the page shows, and takes commands.",
        },
        "paths": {
            "/": get(
                "the page", {"200": {"description": "HTML", "content": {"text/html": {"schema": text}}}}
            ),
            "/health": get(
                "whether estimates come",
                {
                    "200": _answer("they do", json=_HEALTH),
                    "503": _answer(
                        "none came for 2 s, or too many connections", json=_HEALTH, text={"type": "string"}
                    ),
                },
            ),
            "/estimate": get(
                "the newest estimate",
                {
                    "200": _answer("as in a line of JSON Lines", json=_ESTIMATE),
                    "404": _answer("there is none yet", json=_ERROR),
                },
            ),
            "/history": get(
                f"the estimates of the last {RECENT:g} s, or of a whole replay",
                {"200": _answer("by column", json=_HISTORY)},
            ),
            "/metrics": get(
                "for Prometheus",
                {
                    "200": {
                        "description": "text format 0.0.4",
                        "content": {CONTENT_TYPE.partition(";")[0]: {"schema": text}},
                    }
                },
            ),
            "/openapi.json": get("this", {"200": _answer("OpenAPI", json={"type": "object"})}),
        },
    }
    if token:
        told["components"] = {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "token"},
            }
        }
        told["security"] = [{"bearer": []}, {"query": []}]
    return told


def _answer(
    what: str, json: dict[str, Any] | None = None, text: dict[str, Any] | None = None
) -> dict[str, Any]:
    content = {"application/json": json, "text/plain": text}
    return {
        "description": what,
        "content": {kind: {"schema": schema} for kind, schema in content.items() if schema is not None},
    }
