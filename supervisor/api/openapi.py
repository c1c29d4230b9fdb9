"""The API's own description, drawn from its routes and the Structs of schema.py.

Laws: pure; a route without an entry in SHAPES is a KeyError, which a test turns up.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from supervisor.api import schema

Json = dict[str, Any]
LINES = "application/x-ndjson"

#: Path → (query or body Struct, answer: a Struct, a list of it, or a media type).
SHAPES: dict[str, tuple[Any, Any]] = {
    "/v1/info": (None, schema.Info),
    "/v1/containers": (schema.Names, list[schema.Container]),
    "/v1/containers/{name}": (None, schema.Container),
    "/v1/containers/{name}/why": (schema.WhyQuery, schema.Why),
    "/v1/containers/{name}/start": (schema.Nothing, list[schema.Container]),
    "/v1/containers/{name}/stop": (schema.Nothing, list[schema.Container]),
    "/v1/containers/{name}/restart": (schema.Nothing, list[schema.Container]),
    "/v1/containers/{name}/kill": (schema.Kill, list[schema.Container]),
    "/v1/stop": (schema.Nothing, schema.Stopping),
    "/v1/plan": (None, schema.Plan),
    "/v1/reload": (schema.Nothing, schema.Plan),
    "/v1/logs": (schema.LogsQuery, LINES),
    "/v1/events": (schema.EventsQuery, LINES),
    "/v1/ship": (None, list[schema.Sink]),
    "/v1/openapi.json": (None, "application/json"),
}


def _schemas() -> tuple[dict[Any, Json], Json]:
    kinds = [
        kind for pair in SHAPES.values() for kind in pair if kind is not None and not isinstance(kind, str)
    ]
    kinds.append(schema.Failure)
    shapes, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return dict(zip(map(repr, kinds), shapes, strict=True)), components


def _parameters(path: str, method: str, asked: Any, components: Json) -> list[Json]:
    found: list[Json] = []
    if "{name}" in path:
        shape = {"type": "string", "pattern": schema.NAME}
        found.append({"name": "name", "in": "path", "required": True, "schema": shape})
    if method == "GET" and asked is not None:
        properties = components[asked.__name__]["properties"]
        found += [{"name": key, "in": "query", "schema": shape} for key, shape in properties.items()]
    return found


def _operation(
    method: str, path: str, act: Callable[..., Any], shapes: dict[Any, Json], components: Json
) -> Json:
    asked, answer = SHAPES[path]
    kind = answer if isinstance(answer, str) else "application/json"
    content = {kind: {} if isinstance(answer, str) else {"schema": shapes[repr(answer)]}}
    failure = {"application/json": {"schema": shapes[repr(schema.Failure)]}}
    operation: Json = {
        "operationId": act.__name__,
        "summary": (act.__doc__ or "").strip(),
        "responses": {
            "202" if answer is schema.Stopping else "200": {"description": "done", "content": content},
            "default": {"description": "why it could not be done", "content": failure},
        },
    }
    if parameters := _parameters(path, method, asked, components):
        operation["parameters"] = parameters
    if method == "POST":
        operation["requestBody"] = {"content": {"application/json": {"schema": shapes[repr(asked)]}}}
    return operation


def document(routes: Sequence[tuple[str, str, Callable[..., Any]]], version: str) -> Json:
    """OpenAPI 3.1 of these routes."""
    shapes, components = _schemas()
    paths: Json = {}
    for method, path, act in routes:
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, act, shapes, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "supervisor", "version": version},
        "paths": paths,
        "components": {"schemas": components},
    }
