"""The embedded server and requests that mean no good: too large, too slow, too many,
and none at all."""

import asyncio
import http.client
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.fuzz import values
from bookshelf.access.throttle import ALLOWED
from bookshelf.application import SHELF
from bookshelf.config import read_config
from bookshelf.http.connections import ConnectionLimits
from bookshelf.server import ENGINE, make_application, routes
from tests.support.environment import PASSWORD
from tests.support.migration.workerkit import wait_for
from tests.support.servers.inprocess import LocalShelf
from tests.support.servers.rawhttp import PART, ask, place
from tests.support.servers.shelf import Shelf


@pytest.fixture
def server(shelf: Shelf) -> Shelf:
    """A server of the test's own."""
    return shelf


def test_the_fuzzer_knows_every_route(tmp_path: Path) -> None:
    """A route that is added has to be added there too."""
    known = {(method, path) for method, path, _body in values.ROUTES}
    app = make_application(read_config(["--data-dir", str(tmp_path / "d")]))
    for route in routes(app[ENGINE]):
        path = route.path.replace(r"{id:\d{1,18}}", "{}").replace(
            "{prefix:.+}", "{text}"
        )
        path = path.replace("{library:[0-9a-f]{8}}", "1a2b3c4d")
        alternatives = [path]
        while "{kind:" in alternatives[0]:
            before, _, rest = alternatives[0].partition("{kind:")
            kinds, _, after = rest.partition("}")
            alternatives = [before + kind + after for kind in kinds.split("|")]
        assert {(route.method, one) for one in alternatives} <= known
    asyncio.run(app[SHELF].database.close())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(
            b"--b\r\n" + PART + b"\r\nabc\r\n--b--\r\n", 200, id="as it should be"
        ),
        pytest.param(
            b"--b\r\n" + PART + b"\r\nabc\r\n--b--",
            200,
            id="no line end after the last boundary",
        ),
        pytest.param(
            b"a preamble\r\n--b \t\r\n" + PART + b"\r\nabc\r\n--b--\r\nend",
            200,
            id="preamble and epilogue",
        ),
        pytest.param(
            b"--b\r\n" + PART + b"\r\n\r\n--\r\n--c\r\n-\r\n--b--\r\n",
            200,
            id="nearly a boundary",
        ),
        pytest.param(
            b"x\r\n" * 5000 + b"--b\r\n" + PART + b"\r\nabc\r\n--b--\r\n",
            413,
            id="a long preamble",
        ),
        pytest.param(b"x" * 20_000, 413, id="nothing but preamble"),
        pytest.param(
            b"--b\r\n" + PART + b"X: y\r\n" * 4000 + b"\r\nabc\r\n--b--\r\n",
            413,
            id="many headers",
        ),
        pytest.param(
            b"--b\r\n" + PART + b"\r\nabc\r\n--b--\r\n" + b"x" * 20_000,
            413,
            id="a long epilogue",
        ),
        pytest.param(
            b"--b\r\n" + PART + b"\r\nabc\r\n--b\r\n" + PART + b"\r\nabc\r\n--b--\r\n",
            400,
            id="two parts",
        ),
        pytest.param(b"--b\r\n" + PART + b"\r\nabc", 400, id="no end"),
        pytest.param(b"--b\r\n" + PART + b"\r\nabc\r\n--b", 400, id="half an end"),
        pytest.param(
            b"--b\r\n" + PART.replace(b"a.txt", b"a\0.txt") + b"\r\nabc\r\n--b--\r\n",
            400,
            id="NUL",
        ),
        pytest.param(
            b"--b\r\n" + PART.replace(b"a.txt", b"\xff.txt") + b"\r\nabc\r\n--b--\r\n",
            400,
            id="no UTF-8",
        ),
        pytest.param(b"--b\r\n" + PART + b"\r\n\r\n--b--\r\n", 400, id="an empty file"),
        pytest.param(b"--b--\r\n", 400, id="no part"),
    ],
)
def test_what_is_around_an_upload_is_bounded(
    server: Shelf, body: bytes, expected: int
) -> None:
    """Preamble, headers, number of parts, epilogue; nothing stays of what is
    refused."""
    there = set((server.data_dir / "uploads").rglob("*"))
    with server.session() as session:
        answer = session.post(
            f"{server.url}/api/upload",
            data=body,
            timeout=20,
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
    assert answer.status_code == expected
    new = [
        path
        for path in set((server.data_dir / "uploads").rglob("*")) - there
        if path.is_file()
    ]
    assert len(new) == (1 if expected == 200 else 0)


def test_the_bytes_of_an_upload_arrive_as_they_are(server: Shelf) -> None:
    """Whatever the pieces they come in, and with delimiters that are nearly one."""
    data = (b"\r\n--b" * 3 + b"\r\n-\r\n--" + bytes(range(256)) * 3000).replace(
        b"\r\n--b", b"\r\n--B"
    )
    body = b"--b\r\n" + PART + b"\r\n" + data + b"\r\n--b--\r\n"
    with server.session() as session:
        token = str(session.headers["Authorization"])
    head = (
        "POST /api/upload HTTP/1.1\r\nHost: x\r\nAuthorization: "
        f"{token}\r\nContent-Length: {len(body)}\r\n"
    )
    with socket.create_connection(place(server), timeout=20) as connection:
        connection.sendall(
            head.encode() + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        )
        for start in range(0, len(body), 7919):
            connection.sendall(body[start : start + 7919])
            if start < 300_000:
                time.sleep(0.001)
        with closing(http.client.HTTPResponse(connection)) as answer:
            answer.begin()
            assert answer.status == 200, answer.read()
    stored = max(
        (server.data_dir / "uploads").glob("tmp*/a.txt"),
        key=lambda path: path.stat().st_mtime_ns,
    )
    assert stored.read_bytes() == data


# -- time-outs -------------------------------------------------------------------------


def test_one_address_cannot_take_all_connections(tmp_path: Path) -> None:
    """The next one is told so; when others end there is room again."""
    head = b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n"
    with LocalShelf(tmp_path / "d", limits=ConnectionLimits(per_address=3)) as server:
        held = [socket.create_connection(server.where, timeout=20) for _ in range(3)]
        for connection in held:
            connection.sendall(head)
            assert connection.recv(12) == b"HTTP/1.1 200"
        status, headers, _body = ask(server.where, head)
        assert (status, headers["Retry-After"]) == (503, "5")
        for connection in held:
            connection.close()
        wait_for(lambda: ask(server.where, head)[0] == 200)


# -- logins ----------------------------------------------------------------------------


def try_login(
    shelf: Shelf, address: str, password: str, name: str = "admin"
) -> tuple[int, str, str]:
    """A login from one of the addresses of this machine: status, answer,
    Retry-After."""
    connection = http.client.HTTPConnection(
        *place(shelf), timeout=30, source_address=(address, 0)
    )
    try:
        body = f'{{"username": "{name}", "password": "{password}"}}'
        connection.request("POST", "/login", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return (
            answer.status,
            answer.read().decode(),
            answer.headers.get("Retry-After", ""),
        )
    finally:
        connection.close()


def test_guessing_ends_soon_and_keeps_nobody_else_out(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """429 for the one who guesses, also with the right password; the owner, elsewhere,
    gets in."""
    shelf = shelves(tmp_path / "shelf")
    with ThreadPoolExecutor(ALLOWED + 3) as threads:
        tried = list(
            threads.map(
                lambda _: try_login(shelf, "127.0.0.9", "guess"), range(ALLOWED + 3)
            )
        )
        wrong = [status for status, _answer, _wait in tried if status == 200]
        assert ALLOWED <= len(wrong) <= ALLOWED + 1
        status, _answer, wait = try_login(shelf, "127.0.0.9", PASSWORD)
        assert status == 429
        assert 0 < int(wait) <= 60
        # Workers of a migration start together: none of them waits.
        right = list(
            threads.map(lambda _: try_login(shelf, "127.0.0.1", PASSWORD), range(6))
        )
    assert {(status, "access_token" in answer) for status, answer, _wait in right} == {
        (200, True)
    }
