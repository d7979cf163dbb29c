"""Requests as bytes, and where they are sent."""

import http.client
import socket
from contextlib import closing
from urllib.parse import urlsplit

from tests.support.servers.shelf import Shelf


def place(shelf: Shelf) -> tuple[str, int]:
    """Where it listens."""
    parts = urlsplit(shelf.url)
    return parts.hostname or "", parts.port or 80


def ask(
    where: tuple[str, int], raw: bytes
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Sends bytes as they are; the first answer."""
    with socket.create_connection(where, timeout=20) as connection:
        connection.sendall(raw)
        with closing(http.client.HTTPResponse(connection)) as answer:
            answer.begin()
            return answer.status, answer.headers, answer.read()


PART = (
    b'Content-Disposition: form-data; name="file"; '
    b'filename="a.txt"\r\nContent-Type: text/plain\r\n'
)
