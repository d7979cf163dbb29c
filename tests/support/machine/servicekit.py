"""systemd's side of sd_notify: a real datagram socket that remembers what it was sent,
and by whom.

It reads all the time, as systemd does: the kernel keeps ten messages, and a service
does not wait to say more."""

import contextlib
import select
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self


class Manager:
    """Listens on a socket of its own; `watchdog` is what services are told, seconds."""

    def __init__(self, watchdog: float = 1.0) -> None:
        # pytest's own folders are too deep for the name of a socket.
        self._folder = tempfile.TemporaryDirectory(prefix="notify-")
        self.address = str(Path(self._folder.name) / "socket")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind(self.address)
        self._socket.setblocking(False)
        self._watchdog = watchdog
        self.all: list[str] = []
        self.senders: set[int] = set()
        self._unread: list[str] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def environment(self) -> dict[str, str]:
        """What a service gets from systemd."""
        return {
            "NOTIFY_SOCKET": self.address,
            "WATCHDOG_USEC": str(int(self._watchdog * 1_000_000)),
        }

    def received(self) -> list[str]:
        """What has come since the last call."""
        with self._lock:
            self._drain()
            found, self._unread = self._unread, []
        self.all += found
        return found

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Meanwhile nothing is read."""
        with self._lock:
            yield

    def _listen(self) -> None:
        while not self._closing.is_set():
            if select.select([self._socket], [], [], 0.05)[0]:
                with self._lock:
                    self._drain()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                message, ancillary, _flags, _address = self._socket.recvmsg(
                    4096, socket.CMSG_SPACE(12)
                )
                self._unread.append(message.decode())
                self.senders |= {
                    struct.unpack("3i", data)[0] for _level, _kind, data in ancillary
                }

    def has(self, message: str) -> bool:
        """Has this message come since the start?"""
        self.received()
        return message in self.all

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        self._reader.join()
        self._socket.close()
        self._folder.cleanup()
