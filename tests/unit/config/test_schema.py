"""The schema knows exactly the keys the parser knows, and the specs have no key of their own."""

import dataclasses
import json
from typing import Any

from supervisor.config.cgroup import FILES
from supervisor.config.container import CONTAINER, OUTPUT
from supervisor.config.depends import DEPENDS
from supervisor.config.groups import GROUP
from supervisor.config.hooks import ON
from supervisor.config.mounts import KEYS as MOUNT
from supervisor.config.parse import NAMED, SINGLE
from supervisor.config.probes import HEALTH, READY
from supervisor.config.restart import BACKOFF, LIMIT, RESTART, STOP
from supervisor.config.schedule import SCHEDULE
from supervisor.config.schema import json_schema
from supervisor.config.settings import LOGS, MONITOR, SUPERVISOR
from supervisor.core import spec

SCHEMA = json_schema()


def keys(schema: dict[str, Any]) -> set[str]:
    return set(schema["properties"])


def container(*path: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA["$defs"]["container"]
    for key in path:
        found = found["properties"][key]
    return found


def test_schema_and_parser_know_the_same_keys() -> None:
    assert keys(SCHEMA) == SINGLE.keys() | NAMED.keys()
    assert keys(container()) == CONTAINER.keys()
    assert keys(container("stop")) == STOP.keys()
    assert keys(container("depends")) == DEPENDS.keys()
    assert keys(container("output")) == OUTPUT.keys()
    assert keys(container("on")) == ON.keys()
    assert keys(container("schedule")["oneOf"][1]) == SCHEDULE.keys()
    assert keys(container("ready")) == READY.keys()
    assert keys(container("health")) == HEALTH.keys()
    assert keys(container("mounts")["items"]) == MOUNT.keys()
    restart = container("restart")["oneOf"][1]
    assert keys(restart) == RESTART.keys()
    assert keys(restart["properties"]["backoff"]) == BACKOFF.keys()
    assert keys(restart["properties"]["limit"]) == LIMIT.keys()
    assert keys(SCHEMA["properties"]["supervisor"]) == SUPERVISOR.keys()
    assert keys(SCHEMA["properties"]["supervisor"]["properties"]["logs"]) == LOGS.keys()
    assert keys(SCHEMA["properties"]["supervisor"]["properties"]["monitor"]) == MONITOR.keys()
    (group,) = SCHEMA["properties"]["group"]["patternProperties"].values()
    assert keys(group) == GROUP.keys()


def test_cgroup_files_are_there_quoted_and_dotted() -> None:
    def dotted(schema: dict[str, Any], prefix: str = "") -> set[str]:
        found = set()
        for name, inner in schema["properties"].items():
            if "properties" in inner:
                found |= dotted(inner, f"{prefix}{name}.")
            else:
                found.add(prefix + name)
        return found

    assert dotted(container("cgroup")) == FILES.keys()
    assert FILES.keys() <= keys(container("cgroup"))


def test_every_field_of_a_container_has_its_key() -> None:
    fields = {field.name for field in dataclasses.fields(spec.Container)}
    assert CONTAINER.keys() - fields == {"env_file", "replicas"}
    assert fields - CONTAINER.keys() == {"name", "service"}


def test_every_key_says_what_it_is() -> None:
    def check(schema: dict[str, Any]) -> None:
        for inner in schema.get("properties", {}).values():
            assert inner.get("description") or "properties" in inner
            check(inner)

    check(SCHEMA)
    check(container())


def test_the_schema_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
