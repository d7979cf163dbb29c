"""What is said of an address where the server has never answered."""

import pytest

from migration.server.http.address import explained

URL = "http://nas:6006"
PAGE = "POST http://nas:6006/login answered with HTTP 404 404 Not Found"
TABLE = [
    (URL, "POST …: connection refused", "nothing listens on port 6006 of nas"),
    ("http://[::1]", "POST …: connection refused", "on port 80 of [::1]"),
    (URL, "POST …: host name not found", "no machine is known here by the name nas"),
    (
        "https://nas:6006/books",
        "SSLError(1, '[SSL: WRONG_VERSION_NUMBER] wrong version number')",
        "port 6006 speaks http, not https: http://nas:6006/books",
    ),
    ("https://nas", "[SSL: CERTIFICATE_VERIFY_FAILED]", "is named by SSL_CERT_FILE"),
    (URL, PAGE, "what answers there is not MyBookshelf2"),
    (f"{URL}/login", PAGE, "not MyBookshelf2; or leave out /login"),
    (URL, "answered with HTTP 501 Unsupported method", "is not MyBookshelf2"),
    (URL, "answered with text/html instead of JSON: Sign in", "is not MyBookshelf2"),
    # What passes by itself, and what says enough.
    (URL, "answered with HTTP 502 Bad Gateway", ""),
    (URL, "answered with HTTP 429 Too Many Requests", ""),
    (URL, "answered with a redirect to https://sso.example/login", ""),
    (URL, "no answer in time", ""),
    (URL, "connection reset", ""),
]


@pytest.mark.parametrize(("url", "said", "why"), TABLE)
def test_what_is_said(url: str, said: str, why: str) -> None:
    told = explained(said, url, lambda _host, _port: False)
    assert why in told
    assert bool(told) is bool(why)


@pytest.mark.parametrize(
    "said", ["connection reset", "connection closed without an answer", "HTTP 400"]
)
def test_a_port_that_speaks_https(said: str) -> None:
    """It is asked, because it says nothing that http understands."""
    asked: list[tuple[str, int]] = []

    def speaks(host: str, port: int) -> bool:
        asked.append((host, port))
        return True

    why = explained(said, "http://nas/books", speaks)
    assert why == "port 80 speaks https, not http: https://nas:80/books"
    assert asked == [("nas", 80)]
    assert "https" not in explained(said, "https://nas", speaks)
