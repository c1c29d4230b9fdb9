"""The JSON Schema of one TOML file, read off the tables the parser itself uses."""

from typing import Any

from supervisor.config.identity import NAME
from supervisor.config.parse import CONTAINER, NAMED, SINGLE

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_DOCS = {
    "supervisor": "the supervisor itself; at most one in the folder",
    "defaults": "any container key; a container's own keys win, tables merge",
    "container": "containers by name",
    "group": "strategies over containers, by name",
}


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a file as TOML tables; for editors, the parser is stricter."""
    reference = {"$ref": "#/$defs/container"}
    properties: dict[str, Any] = {}
    for key, shape in SINGLE.items():
        properties[key] = {**(reference if shape is CONTAINER else shape.schema), "description": _DOCS[key]}
    for key, shape in NAMED.items():
        properties[key] = {
            "type": "object",
            "description": _DOCS[key],
            "patternProperties": {f"^{NAME.pattern}$": reference if shape is CONTAINER else shape.schema},
            "additionalProperties": False,
        }
    return {
        "$schema": _DRAFT,
        "title": "supervisor configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "$defs": {"container": dict(CONTAINER.schema)},
    }
