"""An answer that goes on: NDJSON in chunks of whole lines, until the records, the caller or the supervisor end.

Laws: a chunk is asked for only when the one before has been taken, so a slow reader costs no
memory; the generator is always closed; an error half way cuts the connection short of its
end mark, so that a caller can tell.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import trio
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class NdJson(Response):
    media_type = "application/x-ndjson"

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        first: bytes,
        closing: trio.Event,
        report: Callable[[BaseException], None],
    ) -> None:
        super().__init__(headers={"cache-control": "no-store"})
        del self.headers["content-length"]
        self.chunks = chunks
        self.first = first
        self.closing = closing
        self.report = report

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        complete = True
        async with aclosing(self.chunks), trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_after, nursery.cancel_scope, self.closing.wait)
            nursery.start_soon(_cancel_after, nursery.cancel_scope, lambda: _gone(receive))
            complete = scope["method"] == "HEAD" or await self._send(send)
            nursery.cancel_scope.cancel()
        if complete:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send) -> bool:
        try:
            # Even an empty first piece: it takes the headers along to a follower who waits.
            await send({"type": "http.response.body", "body": self.first, "more_body": True})
            async for chunk in self.chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except ClientDisconnect:
            return False
        except Exception as error:  # noqa: BLE001
            # Ours to report; the caller sees a cut stream.
            self.report(error)
            return False
        return True


async def _cancel_after(scope: trio.CancelScope, wait: Callable[[], Awaitable[None]]) -> None:
    await wait()
    scope.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
