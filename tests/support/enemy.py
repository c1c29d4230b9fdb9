"""Messages for the helper that no daemon of ours sends: requests that are refused where they are sound, and damaged ones.

Law: seeded, so that a failure can be had again.
"""

import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

from supervisor.errors import ProtocolError
from supervisor.helper import policy
from supervisor.helper.protocol import decode_request

ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1 << 53, 10**400, 1.5, float("nan"), float("inf"), "", "live", "../live", "live\0", "\ud800",
    "é" * 700, "😀" * 340, "a" * 3900, [], {}, [[]], ["live"], {"name": "live"}, "/proc/self/mem", "_supervisor",
)  # fmt: skip


def sound(dice: random.Random) -> dict[str, Any]:
    """A request that is well formed, about the wrong run or nobody."""
    name = dice.choice(["live", "other", "idle", "nobody", "_supervisor", "..", "live.1"])
    run = dice.choice([0, 1, 2, 3, 1 << 40])
    return dice.choice(
        [
            {"do": "launch", "name": name, "run": run},
            {"do": "signal", "name": name, "run": run, "signal": dice.randrange(65)},
            {"do": "kill", "name": name, "run": run},
            {"do": "remove", "name": name},
            {"do": "notify", "state": "READY=1"},
            {
                "do": "probe",
                "name": name,
                "run": run,
                "kind": dice.choice(["ready", "health", "notify", "exec"]),
            },
            {"do": "reload", "apply": dice.choice([True, False])},
            {"do": "exit"},
        ]
    )


def damaged(dice: random.Random) -> bytes:
    """Noise, cut short, too long, nested, bytes changed, a key of another type or too many, one too few, or nothing."""
    request = sound(dice)
    text = json.dumps(request).encode()
    changed = bytearray(text)
    for _ in range(dice.randrange(1, 6)):
        changed[dice.randrange(len(text))] = dice.randrange(256)
    depth = dice.randrange(100, 2000)
    odd = request | {dice.choice([*request, "uid", "argv"]): dice.choice(ODD)}
    less = [key for key in request if key != dice.choice(list(request))]
    return dice.choice(
        [
            dice.randbytes(dice.randrange(600)),
            text[: dice.randrange(len(text))],
            json.dumps(request | {"padding": "x" * dice.randrange(4096, 60_000)}).encode(),
            b"[" * depth + b"]" * dice.choice((0, depth)),
            bytes(changed),
            json.dumps(odd).encode(),
            json.dumps({key: request[key] for key in less}).encode(),
            text,
        ]
    )


def without_effect(count: int, runs: dict[str, int], seed: int) -> Iterator[bytes]:
    """`runs` of what lives; "idle" is at rest. Whatever would be acted on is left out."""
    dice = random.Random(seed)
    while count:
        data = damaged(dice)
        with contextlib.suppress(ProtocolError):
            request = decode_request(data)
            phase = policy.LIVE if request.name in runs else policy.IDLE if request.name == "idle" else None
            if not policy.objection(request, phase, runs.get(request.name, 0)):
                continue
        count -= 1
        yield data
