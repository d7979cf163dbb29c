"""Servers that treat connections each in their own way, on loopback."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from migration.server.http.transport import HttpTransport, closes_silently

pytestmark = pytest.mark.integration
LANGUAGES = b'[{"id": 2, "code": "en"}]'


class Manners(BaseHTTPRequestHandler):
    """Answers everything with one language; how is in the class of the server."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One answer, and perhaps the end of the connection."""
        silent, told, seen = self.server.manners  # type: ignore[attr-defined]  # set below
        seen.append((self.client_address[1], self.headers["Connection"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(LANGUAGES)))
        if told:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(LANGUAGES)
        if silent:
            # As a busy server: the answer is there for a while before the connection
            # ends.
            threading.Event().wait(0.05)
        self.close_connection = silent or told or self.headers["Connection"] == "close"

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture(params=["keeps", "says close", "closes silently"])
def server(
    request: pytest.FixtureRequest,
) -> Iterator[tuple[str, str, list[tuple[int, str]]]]:
    """What it does, its URL, and what it saw: client ports and Connection headers."""
    seen: list[tuple[int, str]] = []
    running = ThreadingHTTPServer(("127.0.0.1", 0), Manners)
    running.daemon_threads = True
    running.manners = (  # type: ignore[attr-defined]
        request.param == "closes silently",
        request.param == "says close",
        seen,
    )
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield request.param, f"http://127.0.0.1:{running.server_port}", seen
    running.shutdown()
    running.server_close()


def test_only_a_silent_close_costs_a_connection_each(
    server: tuple[str, str, list[tuple[int, str]]],
) -> None:
    """Then every request says that it wants none kept; a server that keeps connections
    is used over one."""
    manner, url, seen = server
    assert closes_silently(url) == (manner == "closes silently")
    http = HttpTransport(url)
    http.learn_manners()
    seen.clear()
    for _ in range(3):
        assert http.send("GET", "/api/languages").body == [{"id": 2, "code": "en"}]
    http.close()
    assert len({port for port, _header in seen}) == (1 if manner == "keeps" else 3)
    assert {header == "close" for _port, header in seen} == {
        manner == "closes silently"
    }


def test_nobody_there() -> None:
    """That is said by the first real request, not by this."""
    assert closes_silently("http://127.0.0.1:9") is False
