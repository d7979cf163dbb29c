"""The embedded server and requests that mean no good: too large, too slow, too many,
and none at all."""

import gzip
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from benchmarks.fuzz import bookshelf, drawn_requests
from bookshelf.http import bodies
from bookshelf.http.connections import ConnectionLimits
from tests.support.environment import PASSWORD, end
from tests.support.servers.inprocess import LocalShelf
from tests.support.servers.rawhttp import PART, ask, place
from tests.support.servers.shelf import Shelf, start_shelf

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """One server for the tests that leave nothing behind."""
    shelf = start_shelf(tmp_path_factory.mktemp("limits") / "shelf")
    yield shelf
    end(shelf.process)


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    """A request as text."""
    return (
        "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()
        + body
    )


# -- fuzzing ---------------------------------------------------------------------------


def test_a_short_run_of_the_fuzzer_finds_nothing(server: Shelf) -> None:
    """benchmarks/fuzz/bookshelf.py is the long one: 5,000 requests."""
    result = bookshelf.fuzz(server, 250, 21)
    assert result.findings == []
    assert set(result.statuses) == set(drawn_requests.GROUPS)


# -- bodies ----------------------------------------------------------------------------

JSON = "Content-Type: application/json"
LARGE = b'{"username": "' + b"a" * 70_000 + b'", "password": "x"}'
BOMB = gzip.compress(
    b'{"username": "admin", "password": "' + b"a" * 400_000_000 + b'"}', 9
)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(
            post("/login", JSON, "Content-Length: 200000000"), 413, id="not even begun"
        ),
        pytest.param(
            post("/login", JSON, f"Content-Length: {len(LARGE)}", body=LARGE),
            413,
            id="70 KB",
        ),
        pytest.param(
            post("/api/ebooks", JSON, f"Content-Length: {len(LARGE)}", body=LARGE),
            413,
            id="before the login",
        ),
        pytest.param(
            post(
                "/login",
                JSON,
                "Transfer-Encoding: chunked",
                body=b"%x\r\n%b\r\n" % (len(LARGE), LARGE),
            ),
            413,
            id="chunked",
        ),
        pytest.param(post("/logout", "Content-Length: 200000000"), 413, id="a form"),
        pytest.param(
            post(
                "/login",
                JSON,
                "Content-Encoding: gzip",
                "Content-Length: 50",
                body=BOMB[:50],
            ),
            415,
            id="compressed",
        ),
        pytest.param(
            post(
                "/login",
                JSON,
                "Content-Encoding: gzip",
                "Transfer-Encoding: chunked",
                body=b"5\r\naaaaa\r\n",
            ),
            415,
            id="compressed and chunked",
        ),
        pytest.param(
            post("/login", JSON + "; charset=utf-7", "Content-Length: 2", body=b"{}"),
            415,
            id="charset",
        ),
        pytest.param(
            post("/login", JSON, "Content-Length: 3", body=b'"\xff"'),
            400,
            id="no UTF-8",
        ),
    ],
)
def test_a_body_that_is_none_is_refused_before_it_is_read(
    server: Shelf, raw: bytes, status: int
) -> None:
    """With the headers every answer has."""
    answered, headers, _body = ask(place(server), raw)
    assert answered == status
    assert [headers[name] for name in ("Server", "X-Content-Type-Options")] == [
        "bookshelf",
        "nosniff",
    ]


def test_unfinished_bodies_cost_neither_memory_nor_disk(server: Shelf) -> None:
    """Nine bodies of 30 MB, begun and never finished; a compressed one of 400 MB."""
    assert server.process is not None
    raw = post(
        "/login",
        JSON,
        "Content-Encoding: gzip",
        f"Content-Length: {min(len(BOMB), 60_000)}",
        body=BOMB[:60_000],
    )
    before = psutil.Process(server.process.pid).memory_info().rss
    assert ask(place(server), raw)[0] == 415
    growth, left = bookshelf.unfinished(server, 30)
    assert (
        psutil.Process(server.process.pid).memory_info().rss - before
        < bookshelf.GROWTH_MB * 1e6
    )
    assert growth < bookshelf.GROWTH_MB
    assert left == []


# -- time-outs -------------------------------------------------------------------------


def seconds_until_closed(
    where: tuple[str, int], raw: bytes, drip: bytes = b""
) -> tuple[float, bytes]:
    """Sends, goes on with a byte every twentieth of a second, until the server closes:
    how long it took, its answer."""
    started, answer = time.monotonic(), b""
    with socket.create_connection(where, timeout=0.05) as connection:
        connection.sendall(raw)
        while time.monotonic() - started < 15:
            try:
                data = connection.recv(65536)
                answer += data
                if not data:
                    break
            except TimeoutError:
                try:
                    connection.sendall(drip)
                except OSError:
                    break
            except OSError:
                break
    return time.monotonic() - started, answer


SLOW = {
    "says nothing": (b"", b"", b""),
    "headers a byte at a time": (b"GET / HTTP/1.1\r\nX: ", b"a", b""),
    "idle after an answer": (b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n", b"", b" 200 "),
    "a body that stalls": (
        post("/login", JSON, "Content-Length: 60000", body=b"{"),
        b"",
        b" 408 ",
    ),
    "a body that drips": (
        post("/login", JSON, "Content-Length: 60000", body=b"{"),
        b" ",
        b" 408 ",
    ),
}


def test_whoever_is_too_slow_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a second here; after a minute in earnest."""
    monkeypatch.setattr(bodies, "STALL_SECONDS", 1.0)
    with (
        LocalShelf(
            tmp_path / "d",
            limits=ConnectionLimits(idle_seconds=1.0, linger_seconds=0.2),
        ) as server,
        ThreadPoolExecutor(len(SLOW)) as threads,
    ):
        seen = list(
            threads.map(
                lambda sent: seconds_until_closed(server.where, *sent[:2]),
                SLOW.values(),
            )
        )
    for (seconds, answer), (what, (_raw, _drip, status)) in zip(
        seen, SLOW.items(), strict=True
    ):
        assert 0.9 < seconds < 10, what
        assert status in answer, what
        assert bool(status) == bool(answer), what


def test_a_slow_upload_that_gets_on_is_not_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes three times as long as nothing may arrive."""
    monkeypatch.setenv("MBS2_PASSWORD", PASSWORD)
    monkeypatch.setattr(bodies, "STALL_SECONDS", 0.6)
    with LocalShelf(tmp_path / "d", limits=ConnectionLimits()) as server:
        url = f"http://127.0.0.1:{server.where[1]}"
        login = requests.post(
            f"{url}/login", json={"username": "admin", "password": PASSWORD}, timeout=20
        ).json()
        size = 12 * 70_000

        def slowly() -> Iterator[bytes]:
            yield b"--b\r\n" + PART + b"\r\n"
            for _ in range(12):
                time.sleep(0.15)
                yield b"a" * 70_000
            yield b"\r\n--b--\r\n"

        started = time.monotonic()
        answer = requests.post(
            f"{url}/api/upload",
            data=slowly(),
            timeout=20,
            headers={
                "Authorization": f"bearer {login['access_token']}",
                "Content-Type": "multipart/form-data; boundary=b",
            },
        )
        assert time.monotonic() - started > 1.8
    assert answer.json()["result"] == "ok"
    assert next((tmp_path / "d" / "uploads").glob("tmp*/a.txt")).stat().st_size == size


def test_a_session_that_was_logged_out_is_over(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """Whoever has a copy of the cookie, however its signature is spelled, and after a
    restart; other sessions go on."""
    shelf = shelves(tmp_path / "shelf")
    origin = {"Origin": shelf.url}
    form = {"username": "admin", "password": PASSWORD}
    ended, other = (
        requests.post(
            f"{shelf.url}/login",
            data=form,
            headers=origin,
            allow_redirects=False,
            timeout=30,
        ).cookies["session"]
        for _ in range(2)
    )

    def accepted(shelf: Shelf, token: str) -> bool:
        answer = requests.get(
            f"{shelf.url}/",
            cookies={"session": token},
            allow_redirects=False,
            timeout=30,
        )
        by_header = requests.get(
            f"{shelf.url}/api/genres",
            headers={"Authorization": f"bearer {token}"},
            timeout=30,
        )
        assert (answer.status_code == 200) == (by_header.status_code == 200)
        return answer.status_code == 200

    assert (accepted(shelf, ended), accepted(shelf, other)) == (True, True)
    requests.post(
        f"{shelf.url}/logout",
        cookies={"session": ended},
        headers=origin,
        allow_redirects=False,
        timeout=30,
    )
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spelled = ended[:-1] + alphabet[alphabet.index(ended[-1]) ^ 1]
    assert [accepted(shelf, token) for token in (ended, spelled, other)] == [
        False,
        False,
        True,
    ]
    end(shelf.process)
    again = shelves(tmp_path / "shelf")
    assert [accepted(again, token) for token in (ended, spelled, other)] == [
        False,
        False,
        True,
    ]
