"""One connection: HTTP/1.1 by h11 on one side, the ASGI application on the other.

Laws: requests of a connection are answered one after the other; only while it waits for the
next one may it be ended for idleness, or because the server closes. Every wait can be
cancelled, so a peer that never reads or writes holds up nobody. Only HTTP/1.1 is spoken: no
upgrade, no WebSocket.
"""

from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

import h11
import trio
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

#: A request's head must be complete this long after the connection opened or the last answer ended.
IDLE = 15.0
HEAD_LIMIT = 16 * 1024
GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


class Connection:
    def __init__(self, app: ASGIApp, stream: trio.SocketStream) -> None:
        self.app = app
        self.stream = stream
        self.wire = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self.last = False
        self._waiting: trio.CancelScope | None = None
        self._head: h11.Response | None = None
        self._bodiless = False

    def finish(self) -> None:
        """Answer what is under way and then end; at once if nothing is."""
        self.last = True
        if self._waiting:
            self._waiting.cancel()

    async def run(self) -> None:
        """Answer requests until the peer, idleness or the server ends it."""
        while not self.last and (request := await self._request()):
            try:
                await self.app(_scope(request), self._receive, self._send)
            except ClientDisconnect:
                return
            if not self._reusable():
                return
            self.wire.start_next_cycle()

    def _reusable(self) -> bool:
        """Not after an answer cut short, with more body to come, or when one side wants to close."""
        with suppress(h11.RemoteProtocolError):
            while self.wire.their_state is h11.SEND_BODY and self.wire.next_event() is not h11.NEED_DATA:
                pass  # what the application did not care to read
        return self.wire.our_state is h11.DONE and self.wire.their_state is h11.DONE

    async def _request(self) -> h11.Request | None:
        self._waiting = trio.CancelScope(deadline=trio.current_time() + IDLE)
        with self._waiting:
            try:
                event = await self._event()
            except h11.RemoteProtocolError as error:
                await self._refuse(error.error_status_hint)
                return None
            if isinstance(event, h11.Request):
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
            try:
                self.wire.receive_data(await self.stream.receive_some(65536))
            except GONE:
                return h11.ConnectionClosed()
        return event

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
        if event is h11.PAUSED:  # the next request is here already: its turn comes
            await trio.sleep_forever()
        return {"type": "http.disconnect"}

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
            await self.stream.send_all(data)
        except GONE:
            raise ClientDisconnect from None


def _scope(request: h11.Request) -> dict[str, Any]:
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version.decode("ascii"),
        "method": request.method.decode("ascii").upper(),
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": None,
        "server": None,
    }
