"""Records as lines for people: `12:34:56.789 web       | text`.

Laws: one line a record, in local time unless in UTC, with the day before it if that is not today, in the order they come; `|` is stdout, `!` stderr and
`*` the supervisor; whatever a container printed is made safe first; a record that cannot be
understood is shown as it is, made safe.
"""

import base64
import json
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any
from zlib import crc32

from supervisor.cli.render import paint, safe, shorten, word

#: The name column grows with the names that come, to this at most.
WIDEST = 24
PALETTE = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
LEVELS = {"warning": "33", "error": "31", "critical": "31"}
HEAD = frozenset({"ts", "level", "event", "container", "run"})


class Lines:
    """Remembers how wide the names were, so that lines stay below one another."""

    def __init__(
        self,
        names: Iterable[str] = (),
        *,
        colour: bool = False,
        utc: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.width = min(WIDEST, max([*map(len, names), 9]))
        self.colour = colour
        self._second = lru_cache(maxsize=64)(partial(_second, utc=utc, now=now))  # many records share one
        self._labels: dict[str, tuple[str, str]] = {}

    def line(self, raw: bytes) -> str:
        """One record, without newline."""
        try:
            record = json.loads(raw)
            return self._line(record)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return safe(raw.decode(errors="replace").rstrip("\n"))

    def _line(self, record: dict[str, Any]) -> str:
        name, shade = self._label(str(record.get("container") or "supervisor"))
        if record["event"] == "output":
            is_error = record.get("stream") == "stderr"
            mark = paint("!" if is_error else "|", "31" if is_error else shade, colour=self.colour)
            return f"{self._clock(record['ts'])} {name} {mark} {printed(record)}"
        text = paint(said(record), LEVELS.get(str(record.get("level")), ""), colour=self.colour)
        return f"{self._clock(record['ts'])} {name} * {text}"

    def _clock(self, ts: str) -> str:
        return f"{self._second(ts[:19])}.{int(ts[20:23]):03}"

    def _label(self, who: str) -> tuple[str, str]:
        """The name as wide as the others, and its colour, which it keeps from one call of the program to the next."""
        if who not in self._labels:
            shown = word(who)
            if len(shown) > self.width:
                self.width = min(WIDEST, len(shown))
                self._labels.clear()
            shade = PALETTE[crc32(shown.encode(errors="replace")) % len(PALETTE)]
            self._labels[who] = (
                paint(shorten(shown, self.width).ljust(self.width), shade, colour=self.colour),
                shade,
            )
        return self._labels[who]


def _second(ts: str, *, utc: bool, now: Callable[[], float]) -> str:
    """The time of day of the first 19 characters of a `ts`; with month and day if they are not today's."""
    moment = datetime.fromisoformat(ts).replace(tzinfo=UTC).timestamp()
    zone = time.gmtime if utc else time.localtime
    then, today = zone(moment), zone(now())
    return time.strftime("%H:%M:%S" if then[:3] == today[:3] else "%m-%d %H:%M:%S", then)


def printed(record: dict[str, Any]) -> str:
    """What the container printed. `…` at the end: the line goes on in the next record."""
    if "line_b64" in record:
        text = base64.b64decode(record["line_b64"]).decode(errors="backslashreplace")
    elif "data" in record:
        text = json.dumps(record["data"], ensure_ascii=False)
    else:
        text = record["line"]
    # A carriage return at the end is how programs end lines on a terminal; it says nothing.
    return safe(text.removesuffix("\r")) + ("…" if record.get("partial") else "")


def said(record: dict[str, Any]) -> str:
    """An event of the supervisor as `exited run=3 code=1 …`."""
    words = [str(record["event"]).removeprefix("container.")]
    words += [f"run={record['run']}"] if record.get("run") is not None else []
    for key, value in record.items():
        if key not in HEAD and value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            words.append(
                f"{key}={text}" if isinstance(value, str) and " " not in text else f"{key}={_quoted(value)}"
            )
    return safe(" ".join(words))


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
