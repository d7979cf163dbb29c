"""Server-sent events: one snapshot for all browsers every two seconds.

A slow browser misses some and delays no other.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from aiohttp import web

from dashboard.reading.state_reader import Snapshot, StateReader

#: Seconds between two snapshots while pages are open, and while none is (for the
#: charts).
WATCHED_SECONDS, ALONE_SECONDS = 2.0, 15.0
#: The most browsers that may watch at once.
MOST_STREAMS = 32


class SnapshotStream:
    """Takes the snapshots of one dashboard and sends them to all pages."""

    def __init__(self, reader: StateReader, clock: Callable[[], datetime]) -> None:
        self._reader = reader
        self._clock = clock
        self._queues: set[asyncio.Queue[str | None]] = set()
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._taken = 0.0
        self._last: Snapshot | None = None
        self._closed = False

    async def latest(self) -> Snapshot:
        """Returns a snapshot at most a second old.

        It is taken in a thread, because the disk may be slow but the page must not be.
        """
        async with self._lock:
            # Not the wall clock, which may be set back.
            now = asyncio.get_running_loop().time()
            if now - self._taken >= WATCHED_SECONDS / 2 or self._last is None:
                self._last = await asyncio.to_thread(
                    self._reader.snapshot, self._clock()
                )
                self._taken = now
            return self._last

    async def run(self) -> None:
        """Takes and sends snapshots until cancelled."""
        while True:
            try:
                value = (await self.latest()).to_json()
            except OSError as error:
                # The state directory may be gone for a moment: the page says so, and
                # goes on when it is back.
                value = {"state": "unreadable", "error": error.strerror or str(error)}
            self._send(f"event: snapshot\ndata: {json.dumps(value)}\n\n")
            self._wake.clear()
            with suppress(TimeoutError):
                if self._queues:
                    await asyncio.sleep(WATCHED_SECONDS)
                else:
                    await asyncio.wait_for(self._wake.wait(), ALONE_SECONDS)

    def _send(self, event: str | None) -> None:
        for queue in self._queues:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(event)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /api/events: snapshots until the browser or the server ends."""
        if len(self._queues) >= MOST_STREAMS or self._closed:
            raise web.HTTPServiceUnavailable(
                text="Too many pages watch already; close one."
            )
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)
        self._queues.add(queue)
        self._wake.set()
        try:
            await response.prepare(request)
            first = json.dumps((await self.latest()).to_json())
            await response.write(
                f"retry: 3000\nevent: snapshot\ndata: {first}\n\n".encode()
            )
            while (event := await queue.get()) is not None:
                await response.write(event.encode())
        except (ConnectionError, OSError):
            pass  # browser or state directory is gone: the browser reconnects
        finally:
            self._queues.discard(queue)
        return response

    def tell_end(self, task: "asyncio.Task[None]") -> None:
        """Logs an error that ended `run` and closes the streams, so no page hangs."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logging.error(
                "The dashboard takes no more snapshots; start it again", exc_info=error
            )
            self.close()

    def close(self) -> None:
        """Ends every stream."""
        self._closed = True
        self._send(None)
