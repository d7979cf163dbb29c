"""The process of the direct lane; a worker starts it (`child.py`).

`python -m migration.lanes.direct N` talks over the socket with this descriptor, and
ends with it.
"""

import os
import sys
import threading
import time
from multiprocessing.connection import Connection

from common.errors import told
from migration.errors import Fatal, MigrationError
from migration.lanes.direct.child import end_with_the_worker
from migration.lanes.direct.host import Host
from migration.lanes.direct.messages import Failed, Moved, Opening, Ready
from migration.lanes.direct.opening import open_host

#: Seconds between two messages about bytes that were placed.
MOVED_SECONDS = 0.2


class Voice:
    """Says what was placed, now and then; used by several threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._count, self._said = 0, time.monotonic()

    def moved(self, count: int) -> None:
        """Counts bytes that were placed."""
        with self._lock:
            self._count += count
            if time.monotonic() - self._said >= MOVED_SECONDS:
                self._connection.send(Moved(self._count))
                self._count, self._said = 0, time.monotonic()

    def say(self, message: object) -> None:
        """Sends a reply."""
        with self._lock:
            self._connection.send(message)


def main() -> int:
    """Answers until the worker closes the connection."""
    end_with_the_worker()
    connection = Connection(int(sys.argv[1]))
    voice = Voice(connection)
    opening = connection.recv()
    assert isinstance(opening, Opening)
    try:
        host = open_host(opening, voice.moved)
    except MigrationError as error:
        voice.say(_failed(error))
        return 1
    voice.say(Ready())
    _answer(host, connection, voice)
    return 0


def _answer(host: Host, connection: Connection, voice: Voice) -> None:
    while True:
        try:
            request = connection.recv()
        except (EOFError, OSError):
            # The worker is gone or has no more work; nothing is under way here.
            host.close()
            return
        try:
            voice.say(host.answer(request))
        except MigrationError as error:
            voice.say(_failed(error))


def _failed(error: MigrationError) -> Failed:
    return Failed(isinstance(error, Fatal), told(error))


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    # Threads that wait for a slow disk must not keep the process.
    os._exit(status)
