"""What a request to the server carries besides what was asked for: cookies that a
load balancer sets, a login in the URL, the words a proxy needs."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from migration.errors import ServerUnreachable
from migration.server.http.transport import HttpTransport

LANGUAGES = b'[{"id": 2, "code": "en"}]'


class Recorder(BaseHTTPRequestHandler):
    """Answers everything with one language and a cookie; keeps what was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One answer."""
        self._answer()

    def do_PUT(self) -> None:
        """The same, to what has a body."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer()

    def _answer(self) -> None:
        asked = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, asked))  # type: ignore[attr-defined]  # set below
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(LANGUAGES)))
        self.send_header("Set-Cookie", "route=b2; Path=/api; HttpOnly")
        self.end_headers()
        self.wfile.write(LANGUAGES)

    def log_message(self, format: str, *args: object) -> None:
        """Silence."""


@pytest.fixture
def recorder() -> Iterator[ThreadingHTTPServer]:
    """A server on loopback whose `asked` are paths and headers."""
    running = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    running.daemon_threads = True
    running.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def asked_of(recorder: ThreadingHTTPServer) -> list[tuple[str, dict[str, str]]]:
    """What it saw, without what makes each request another for a cache."""
    seen: list[tuple[str, dict[str, str]]] = recorder.asked  # type: ignore[attr-defined]
    return [(path.partition("?")[0], headers) for path, headers in seen]


def test_cookies_are_kept_for_the_next_requests(
    recorder: ThreadingHTTPServer,
) -> None:
    """A load balancer finds the same server again; a new connection begins anew."""
    http = HttpTransport(f"http://127.0.0.1:{recorder.server_port}")
    http.send("GET", "/api/languages")
    http.send("GET", "/api/languages", token="a.b.c")
    http.close()
    http.send("GET", "/api/languages")
    http.close()
    cookies = [headers.get("cookie") for _path, headers in asked_of(recorder)]
    assert cookies == [None, "route=b2", None]
    assert asked_of(recorder)[1][1]["authorization"] == "Bearer a.b.c"


def test_a_login_in_the_url_is_sent(recorder: ThreadingHTTPServer) -> None:
    """As a proxy in front of the server wants it, below a path of its own."""
    where = f"http://me:secret@127.0.0.1:{recorder.server_port}/books/"
    http = HttpTransport(where)
    http.send("GET", "/api/languages")
    http.close()
    ((path, headers),) = asked_of(recorder)
    assert (path, headers["authorization"]) == (
        "/books/api/languages",
        "Basic bWU6c2VjcmV0",
    )


def test_a_proxy_is_told_the_whole_address(
    recorder: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its own login; the one of the environment is looked up once."""
    proxy = f"http://us:pass@127.0.0.1:{recorder.server_port}"
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    http = HttpTransport("http://books.example")
    monkeypatch.delenv("http_proxy")
    http.send("GET", "/api/languages")
    http.close()
    ((path, headers),) = asked_of(recorder)
    assert path == "http://books.example/api/languages"
    assert headers["proxy-authorization"] == "Basic dXM6cGFzcw=="


def test_a_proxy_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trouble of a setting is said as that of an address is."""
    monkeypatch.setenv("http_proxy", "http://")
    monkeypatch.setenv("no_proxy", "")
    http = HttpTransport("http://books.example")
    with pytest.raises(ServerUnreachable, match="proxy URL"):
        http.send("GET", "/api/languages")
