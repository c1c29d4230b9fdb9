"""The service manager's watchdog (sd_watchdog_enabled(3)), fed through the helper: it started the helper, not us."""

import os

import trio

from supervisor.launcher.client import Link


async def feed(link: Link) -> None:
    """WATCHDOG=1 at half the time the service manager asked for, for ever; at once if it did not ask."""
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0") or 0)
    while microseconds:
        await link.notify("WATCHDOG=1")
        await trio.sleep(microseconds / 2_000_000)
