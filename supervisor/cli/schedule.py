"""`check --schedule NAME`: the delays that the restart policy of a container will take."""

import json
import os
import sys

from supervisor.config.load import load
from supervisor.core.restart import schedule
from supervisor.core.spec import Container, Restart
from supervisor.errors import ConfigError, RequestError

#: As many as show where the longest delay is reached, with the default policy and most others.
SHOWN = 15


def run(path: str, name: str, *, as_json: bool) -> int:
    """Print them; exit 2 with the problems of the files, as `check`."""
    try:
        found = load(path, root=os.geteuid() == 0)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    specs = [one for one in found.containers if name in {one.name, one.service}]
    if not specs:
        raise RequestError("not-found", f'there is no container "{name}"')
    delays = schedule(specs[0].restart, SHOWN)
    if as_json:
        print(json.dumps({"name": specs[0].name, "delays": delays, "gives_up": len(delays) < SHOWN}))
    else:
        print("\n".join(lines(specs[0], delays)))
    return 0


def lines(spec: Container, delays: tuple[float, ...]) -> list[str]:
    """For people: of a container whose every run fails as soon as it starts."""
    restart, told = spec.restart, []
    total = 0.0
    for number, seconds in enumerate(delays, 1):
        total += seconds
        told.append(f"restart {number:2} after {seconds:7.3f} s   ({total:.3f} s since the first failure)")
    told.append(_end(restart, given_up=len(delays) < SHOWN))
    if restart.backoff.jitter and delays:
        told.append(f"each ± {restart.backoff.jitter:.0%} at random")
    return told


def _end(restart: Restart, *, given_up: bool) -> str:
    if restart.policy == "never":
        return 'never restarted (policy "never")'
    if given_up and restart.limit:
        return f"then given up: more than {restart.limit.failures} failures within {restart.limit.within:g} s"
    return "and so on: never given up"
