"""HTTP answers that must be whole within their time-out: a byte every five seconds is
no way round it."""

import http.client
import io
import socket
import time
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

#: Bytes of a body read and sent at a time; 16 KB, as usual, cost more for large books
#: than hashing them.
BLOCK_BYTES = 256 * 1024


class _Punctual(io.RawIOBase):
    """What comes from a socket until a moment; every wait is cut to the time that is
    left."""

    def __init__(
        self, raw: io.RawIOBase, connection: socket.socket, seconds: float
    ) -> None:
        self._raw = raw
        self._connection = connection
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """The next bytes. Raises TimeoutError when the time is up."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer was not whole in time")
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Lets go of the socket."""
        self._raw.close()
        super().close()


class PunctualResponse(http.client.HTTPResponse):
    """Headers and body must be there within the connection's time-out, counted from the
    end of the request."""

    def __init__(self, connection: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(connection, *args, **more)
        seconds = connection.gettimeout()
        if seconds:
            raw = self.fp.detach()
            self.fp = io.BufferedReader(_Punctual(raw, connection, seconds))


class _Connection(urllib3.connection.HTTPConnection):
    response_class = PunctualResponse


class _SecureConnection(urllib3.connection.HTTPSConnection):
    response_class = PunctualResponse


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class PunctualAdapter(HTTPAdapter):
    """For a session of `requests`: punctual answers, bodies in larger blocks."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """As the base class, with our connections."""
        super().init_poolmanager(*args, **more, blocksize=BLOCK_BYTES)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """As the base class, with our connections."""
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager
