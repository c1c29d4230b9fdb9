"""Holds when any part of the supervisor is killed at any moment: what was not told to change keeps its processes, no line is
lost, doubled or out of order, every exit status is exact, and nothing leaks.

The rounds' seed is printed; CHAOS_SEED=N plays them again, CHAOS_ROUNDS=N plays more of them.
"""

import os
import secrets

import pytest

from tests.support.chaos import Chaos, restless, steady
from tests.support.running import Supervise

pytestmark = pytest.mark.kernel

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "15"))
STILL = 4


def test_killed_at_any_moment_it_loses_nothing_and_leaves_nothing(supervise: Supervise) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "0")) or secrets.randbelow(1 << 32)
    running = supervise(steady(STILL) | restless(), settings={"restarts_per_second": 1000})
    chaos = Chaos(running, seed, STILL)
    print(f"CHAOS_SEED={seed}")
    for number in range(ROUNDS):
        chaos.round()
        print(f"round {number + 1}")
    chaos.check()
    print(dict(chaos.done))
