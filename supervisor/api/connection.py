"""One connection: HTTP/1.1 by h11 on one side, the ASGI application on the other.

Laws: requests of a connection are answered one after the other; only while it waits for the
next one may it be ended for idleness, or because the server closes. Every wait can be
cancelled, so a peer that never reads or writes holds up nobody. While it is the peer that is
waited for, the connection may be dropped to make room; what was asked for is then not begun.
Only HTTP/1.1 is spoken: no upgrade, no WebSocket.
"""

import math
import re
import select
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote

import h11
import trio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from supervisor.api.limits import HEAD, HEADERS, LIMITS, READ, Limits
from supervisor.core.operator import Operator

#: Within a segment of a path: it stays as it is written, so that no name is taken for more of the path.
_SLASH = re.compile(rb"%2f", re.IGNORECASE)
GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Connection:
    """One peer, `uid` by the kernel's word and `operator` by the name records give it."""

    def __init__(
        self,
        app: ASGIApp,
        stream: trio.SocketStream,
        uid: int,
        operator: Operator,
        limits: Limits = LIMITS,
    ) -> None:
        self.app = app
        self.stream = stream
        self.uid = uid
        self.operator = operator
        self.limits = limits
        self.wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD)
        self.last = False
        self.dropped = False
        self._life = trio.CancelScope()
        self._owed: dict[str, float] = {}
        self._waiting: trio.CancelScope | None = None
        self._head: h11.Response | None = None
        self._bodiless = False

    def finish(self) -> None:
        """Answer what is under way and then end; at once if nothing is."""
        self.last = True
        if self._waiting:
            self._waiting.cancel()

    @property
    def waiting_since(self) -> float:
        """Since when the peer has owed us bytes, or the reading of ours; infinity: it does not."""
        return min((since for what, since in self._owed.items() if not self._is_ours(what)), default=math.inf)

    def _is_ours(self, what: str) -> bool:
        """Whether only our next turn is waited for: the bytes are here, or more could be sent at once (poll(2))."""
        wanted = {"bytes": select.POLLIN, "reading": select.POLLOUT}.get(what, 0)
        poll = select.poll()
        poll.register(self.stream.socket.fileno(), wanted)
        return any(found & wanted for _, found in poll.poll(0))

    def drop(self) -> None:
        """End it now; for one that keeps us waiting."""
        self.dropped = True
        self._life.cancel()

    async def run(self) -> None:
        """Answer requests until the peer, idleness or the server ends it."""
        with self._life:
            while not self.last and (request := await self._request()) and not self.dropped:
                scope = _scope(request) | {"operator": self.operator}
                try:
                    await self.app(scope, self._receive, self._send)
                except ClientDisconnect:
                    return
                if not self._reusable():
                    return
                self.wire.start_next_cycle()

    @contextmanager
    def _owing(self, what: str) -> Iterator[None]:
        self._owed[what] = trio.current_time()
        try:
            yield
        finally:
            self._owed.pop(what, None)

    def _reusable(self) -> bool:
        """Not after an answer cut short, with more body to come, or when one side wants to close."""
        with suppress(h11.RemoteProtocolError):
            while self.wire.their_state is h11.SEND_BODY and self.wire.next_event() is not h11.NEED_DATA:
                pass  # what the application did not care to read
        return self.wire.our_state is h11.DONE and self.wire.their_state is h11.DONE

    async def _request(self) -> h11.Request | None:
        self._waiting = trio.CancelScope(deadline=trio.current_time() + self.limits.head)
        with self._waiting:
            try:
                event = await self._event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return None
            if isinstance(event, h11.Request):
                if _too_large(event):
                    await self._refuse(431)
                    return None
                self._waiting = None
                self._bodiless = event.method == b"HEAD"
                return event
        return None

    async def _refuse(self, status: int) -> None:
        """What came is not HTTP/1.1; say so if that is still possible."""
        if self.wire.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            headers = [("content-length", "0"), ("connection", "close")]
            data = self.wire.send(h11.Response(status_code=status, headers=headers)) or b""
            with suppress(*GONE):
                await self.stream.send_all(data + (self.wire.send(h11.EndOfMessage()) or b""))

    async def _event(self) -> Any:
        """The next event; ConnectionClosed also where the peer broke off."""
        while (event := self.wire.next_event()) is h11.NEED_DATA:
            if self.wire.they_are_waiting_for_100_continue:
                await self._put(self.wire.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            if not await self._feed():
                return h11.ConnectionClosed()
        return event

    async def _feed(self) -> bool:
        """Let the wire have what comes next; False where nobody is there any more."""
        try:
            if self.wire.their_state in (h11.IDLE, h11.SEND_BODY):
                with self._owing("bytes"):
                    data = await self.stream.receive_some(READ)
            else:
                data = await self.stream.receive_some(READ)
        except GONE:
            return False
        self.wire.receive_data(data)
        return not self.dropped

    # ── what the application calls ─────────────────────────────────────────────────────

    async def _receive(self) -> MutableMapping[str, Any]:
        """A piece of the body; once there is no more, returns only when the peer has gone."""
        try:
            event = await self._event()
        except h11.RemoteProtocolError:
            return {"type": "http.disconnect"}
        if isinstance(event, h11.Data):
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        if isinstance(event, h11.EndOfMessage):
            return {"type": "http.request", "body": b"", "more_body": False}
        if event is not h11.PAUSED or await self._pipelined():
            await self._hung_up()
        return {"type": "http.disconnect"}

    async def _pipelined(self) -> bool:
        """The next request is here already and its turn comes. True when no more can come, False for too much."""
        while True:
            data, ended = self.wire.trailing_data
            if len(data) > HEAD:
                return False
            if ended or not await self._feed():
                return True

    async def _hung_up(self) -> None:
        """Return when nobody can read our answer: a peer that only ended its own side (shutdown(2)) still may."""
        poll = select.poll()
        poll.register(self.stream.socket.fileno(), 0)  # POLLHUP alone, which nobody has to ask for (poll(2))
        if not poll.poll(0):
            # Whether it still reads is known at the next piece, or not before its place is needed.
            with self._owing("more"):
                await trio.sleep_forever()

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        """The head waits for the first piece of the body, so that both go out together."""
        if message["type"] == "http.response.start":
            self._head = h11.Response(status_code=message["status"], headers=list(message.get("headers", [])))
            return
        data = b""
        if self._head:
            data += self.wire.send(self._head) or b""
            self._head = None
        body = b"" if self._bodiless else message.get("body", b"")
        if body:
            data += self.wire.send(h11.Data(data=body)) or b""
        if not message.get("more_body", False):
            data += self.wire.send(h11.EndOfMessage()) or b""
        await self._put(data)

    async def _put(self, data: bytes) -> None:
        try:
            with self._owing("reading"), trio.fail_after(self.limits.unread):
                await self.stream.send_all(data)
        except (*GONE, trio.TooSlowError):
            raise ClientDisconnect from None


def _too_large(request: h11.Request) -> bool:
    """h11 counts only a head that comes in pieces."""
    size = len(request.target) + sum(len(key) + len(value) + 4 for key, value in request.headers)
    return size > HEAD or len(request.headers) > HEADERS


def _scope(request: h11.Request) -> dict[str, Any]:
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii").upper(),
        "scheme": "http",
        "path": unquote(_SLASH.sub(b"%252F", path).decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": None,
        "server": None,
    }
