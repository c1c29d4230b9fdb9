"""Holds for two minutes, in which everything happens at once, what benchmarks.soak holds for as long as one likes."""

import os
import secrets

import pytest

from benchmarks.soak import soak

pytestmark = pytest.mark.kernel

MINUTES = float(os.environ.get("SOAK_MINUTES", "1.5"))  # and the reading of what has come of it
CONTAINERS = int(os.environ.get("SOAK_CONTAINERS", "40"))


def test_kills_floods_changes_and_full_disks_leave_nothing_unaccounted_for() -> None:
    seed = int(os.environ.get("CHAOS_SEED", "0")) or secrets.randbelow(1 << 32)
    soak(MINUTES, CONTAINERS, seed)
