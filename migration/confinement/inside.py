"""The worker's side of the channel to its broker.

`install` makes the ways in which the worker's libraries connect, resolve names and run
the audit ask the broker: whatever goes round that is refused by the kernel.
"""

import contextlib
import errno
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from migration.audit import child
from migration.audit.messages import Order
from migration.confinement.broker import LONGEST
from migration.ledger import database, recovery


@dataclass(frozen=True, slots=True)
class Channel:
    """Asks the broker, one thread at a time."""

    end: socket.socket
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """Returns the broker's answer. Raises OSError."""
        packet = json.dumps(request).encode()
        with self._turn:
            socket.send_fds(self.end, [packet], descriptors)
            answer = self.end.recv(LONGEST)
        if not answer:
            raise ConnectionResetError(errno.ECONNRESET, "the broker is gone")
        found: dict[str, Any] = json.loads(answer)
        if found["error"] and request["do"] != "connect":
            raise OSError(found["error"], os.strerror(found["error"]))
        return found

    def wait(self) -> None:
        """Waits until the broker is ready. Raises OSError."""
        if not self.end.recv(LONGEST):
            raise ConnectionResetError(errno.ECONNRESET, "the broker did not start")

    def connect(self, own: socket.socket, address: Any) -> int:
        """Connects a socket with its time limit; returns an errno, 0 when connected."""
        seconds = own.gettimeout()
        request = {"do": "connect", "host": address[0], "port": address[1]}
        os.set_blocking(own.fileno(), False)
        try:
            error = int(self.ask(request, [own.fileno()])["error"])
            if error == errno.EINPROGRESS and seconds != 0:
                error = _finished(own, seconds)
        finally:
            os.set_blocking(own.fileno(), seconds is None)
        return error

    def back_up(self) -> None:
        """Has the ledger backed up. Raises OSError."""
        self.ask({"do": "back up"}, [])

    def mark(self) -> None:
        """Has the ledger marked as damaged. Raises OSError."""
        self.ask({"do": "mark"}, [])

    def resolve(self, host: str, port: int, family: int) -> list[tuple[Any, ...]]:
        """Returns what `socket.getaddrinfo` does. Raises OSError."""
        request = {"do": "resolve", "host": host, "port": port, "family": family}
        answer = self.ask(request, [])
        if "name" in answer:
            raise socket.gaierror(answer["name"], answer["said"])
        return [
            (
                socket.AddressFamily(found[0]),
                socket.SocketKind(found[1]),
                *found[2:4],
                tuple(found[4]),
            )
            for found in answer["found"]
        ]


def _finished(own: socket.socket, seconds: float | None) -> int:
    """Waits until a socket is connected; returns an errno, ETIMEDOUT after `seconds`."""
    waiting = select.poll()
    waiting.register(own.fileno(), select.POLLOUT)
    if not waiting.poll(None if seconds is None else seconds * 1000):
        return errno.ETIMEDOUT
    return own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def install(channel: Channel) -> None:
    """Makes this process connect, resolve and audit through the broker."""
    own_connect, own_connect_ex = socket.socket.connect, socket.socket.connect_ex
    inet = (socket.AF_INET, socket.AF_INET6)

    def connect(self: socket.socket, address: Any) -> None:
        if self.family not in inet:
            own_connect(self, address)
            return
        error = channel.connect(self, address)
        if error == errno.ETIMEDOUT:
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        if error:
            raise OSError(error, os.strerror(error))

    def connect_ex(self: socket.socket, address: Any) -> int:
        if self.family not in inet:
            return own_connect_ex(self, address)
        return channel.connect(self, address)

    def getaddrinfo(
        host: Any, port: Any, family: int = 0, *_more: Any, **_named: Any
    ) -> list[tuple[Any, ...]]:
        name = host.decode() if isinstance(host, bytes) else str(host)
        return channel.resolve(name, int(port), int(family))

    socket.socket.connect = connect  # type: ignore[method-assign, assignment]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = getaddrinfo
    child.started = BrokeredAudits(channel)
    database.copier = lambda _connection, _target: channel.back_up()
    recovery.marker = lambda _state_dir, _inode: channel.mark()


@dataclass(frozen=True, slots=True)
class BrokeredAudits:
    """Has the broker start the audit; used as `child.started` is."""

    channel: Channel

    @contextmanager
    def __call__(self, order: Order) -> Iterator["BrokeredAudit"]:
        """Yields the running audit, and ends it."""
        own, theirs = os.pipe()
        try:
            request = {"do": "audit", "order": order.line().decode()}
            try:
                self.channel.ask(request, [theirs])
            finally:
                os.close(theirs)
            yield BrokeredAudit(self.channel, own)
        finally:
            os.close(own)
            with contextlib.suppress(OSError):
                self.channel.ask({"do": "end"}, [])


@dataclass(frozen=True, slots=True)
class BrokeredAudit:
    """A running audit: the end of its output, and how it ended."""

    channel: Channel
    output: int

    def wait(self) -> int:
        """Returns the status of an audit that has closed its output."""
        return int(self.channel.ask({"do": "end"}, [])["status"])
