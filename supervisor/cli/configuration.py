"""Commands about files: check, schema, doctor, and start of a configuration."""

# ruff: noqa: PLC0415  # each command pays for its own imports only
import json
import os
import sys
from argparse import Namespace

from supervisor.errors import ConfigError


def run(arguments: Namespace, where: str | None) -> int:
    """Carry out one of them."""
    if arguments.command == "check":
        if arguments.schedule:
            from supervisor.cli import schedule

            return schedule.run(arguments.config, arguments.schedule, as_json=arguments.json)
        return check(arguments.config, as_json=arguments.json)
    if arguments.command == "schema":
        from supervisor.config.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    if arguments.command == "doctor":
        from supervisor.cli import doctor

        return doctor.run(arguments.config, json_output=arguments.json)
    from supervisor.cli import start

    return start.start(arguments.what[0], arguments.detach, where)


def check(path: str, *, as_json: bool) -> int:
    """Every problem on stderr as file:line: key: text, exit 2; or one line that all is well."""
    from supervisor.config.load import load
    from supervisor.launcher.seccomp import compile_filters

    try:
        found = load(path, root=os.geteuid() == 0)
        compile_filters(found)
    except ConfigError as error:
        if as_json:
            print(
                json.dumps({"ok": False, "problems": [each._asdict() for each in error.problems]}, indent=2)
            )
        else:
            for problem in error.problems:
                print(problem, file=sys.stderr)
        return 2
    if as_json:
        names = [each.name for each in found.containers]
        print(json.dumps({"ok": True, "problems": [], "containers": names, "notes": found.notes}, indent=2))
        return 0
    many = len(found.containers)
    print(f"{path}: {many} container{'' if many == 1 else 's'}, no problems")
    for note in found.notes:
        print(f"note: {note}")
    return 0
