"""The embedded server and requests that mean no good: too large, too slow, too many,
and none at all."""

import asyncio
import gzip
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import requests
from aiohttp import web

from benchmarks import fuzz_bookshelf, fuzz_requests, fuzz_values
from bookshelf.access.throttle import ALLOWED
from bookshelf.application import SHELF
from bookshelf.config import read_config
from bookshelf.http import bodies
from bookshelf.http.connections import ConnectionLimits, Runner
from bookshelf.server import ENGINE, make_application, routes
from tests.conftest import PASSWORD, Shelf, end, start_shelf

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """One server for the tests that leave nothing behind."""
    shelf = start_shelf(tmp_path_factory.mktemp("limits") / "shelf")
    yield shelf
    end(shelf.process)


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


def post(path: str, *lines: str, body: bytes = b"") -> bytes:
    """A request as text."""
    return (
        "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()
        + body
    )


# -- fuzzing ---------------------------------------------------------------------------


def test_a_short_run_of_the_fuzzer_finds_nothing(server: Shelf) -> None:
    """benchmarks/fuzz_bookshelf.py is the long one: 5,000 requests."""
    result = fuzz_bookshelf.fuzz(server, 250, 21)
    assert result.findings == []
    assert set(result.statuses) == set(fuzz_requests.GROUPS)


def test_the_fuzzer_knows_every_route(tmp_path: Path) -> None:
    """A route that is added has to be added there too."""
    known = {(method, path) for method, path, _body in fuzz_values.ROUTES}
    app = make_application(read_config(["--data-dir", str(tmp_path / "d")]))
    for route in routes(app[ENGINE]):
        path = route.path.replace(r"{id:\d{1,18}}", "{}").replace(
            "{prefix:.+}", "{text}"
        )
        alternatives = [path]
        while "{kind:" in alternatives[0]:
            before, _, rest = alternatives[0].partition("{kind:")
            kinds, _, after = rest.partition("}")
            alternatives = [before + kind + after for kind in kinds.split("|")]
        assert {(route.method, one) for one in alternatives} <= known
    asyncio.run(app[SHELF].database.close())


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
    growth, left = fuzz_bookshelf.unfinished(server, 30)
    assert (
        psutil.Process(server.process.pid).memory_info().rss - before
        < fuzz_bookshelf.GROWTH_MB * 1e6
    )
    assert growth < fuzz_bookshelf.GROWTH_MB
    assert left == []


PART = (
    b'Content-Disposition: form-data; name="file"; '
    b'filename="a.txt"\r\nContent-Type: text/plain\r\n'
)


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


class InProcess:
    """A server in a thread, with limits of the test's own."""

    def __init__(self, data_dir: Path, limits: ConnectionLimits) -> None:
        self.data_dir, self._limits = data_dir, limits
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self.where = ("127.0.0.1", 0)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        runner = Runner(
            make_application(read_config(["--data-dir", str(self.data_dir)])),
            self._limits,
            1.0,
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.where = ("127.0.0.1", runner.addresses[0][1])
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def __enter__(self) -> "InProcess":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)


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
        InProcess(
            tmp_path / "d", ConnectionLimits(idle_seconds=1.0, linger_seconds=0.2)
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
    with InProcess(tmp_path / "d", ConnectionLimits()) as server:
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


def test_one_address_cannot_take_all_connections(tmp_path: Path) -> None:
    """The next one is told so; when others end there is room again."""
    head = b"GET /login HTTP/1.1\r\nHost: x\r\n\r\n"
    with InProcess(tmp_path / "d", ConnectionLimits(per_address=3)) as server:
        held = [socket.create_connection(server.where, timeout=20) for _ in range(3)]
        for connection in held:
            connection.sendall(head)
            assert connection.recv(12) == b"HTTP/1.1 200"
        status, headers, _body = ask(server.where, head)
        assert (status, headers["Retry-After"]) == (503, "5")
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 10
        while (
            status := ask(server.where, head)[0]
        ) == 503 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert status == 200


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
