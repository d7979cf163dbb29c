"""HTTP responses that must be complete within their time-out.

An ordinary time-out applies to each read, so a server that sends a byte every five
seconds would evade it.
"""

import http.client
import io
import socket
import time
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

#: Bytes of a body read and sent at a time; the usual 16 KB cost more for large books
#: than hashing them.
BLOCK_BYTES = 256 * 1024


class _Punctual(io.RawIOBase):
    """A socket's stream that ends at a deadline.

    Each wait is limited to the time left.
    """

    def __init__(
        self, raw: io.RawIOBase, connection: socket.socket, seconds: float
    ) -> None:
        self._raw = raw
        self._connection = connection
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Reads the next bytes. Raises TimeoutError when the time is up."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer was not whole in time")
        self._connection.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        """Closes the socket's stream."""
        self._raw.close()
        super().close()


class PunctualResponse(http.client.HTTPResponse):
    """A response that must be complete within the connection's time-out.

    The time counts from the end of the request.
    """

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
    """An adapter for `requests`: responses with a deadline, bodies in larger blocks."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Makes the base class use our connections."""
        super().init_poolmanager(*args, **more, blocksize=BLOCK_BYTES)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **more: Any) -> Any:
        """Makes the base class use our connections."""
        manager = super().proxy_manager_for(proxy, **more)
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager
