"""Requests nobody should send, to every route of the embedded server: a table; 1 when
one is answered wrongly.

    python -m benchmarks.fuzz.bookshelf [--requests 5000] [--seed 13] [--unfinished-mb
    200]

Each is sent over loopback, with and without a login, and must be answered within some
seconds: never with a 5xx, always with the security headers, without the name of a
library. Then three uploads, three logins and three ebooks of 200 MB each are begun and
never finished: the server's memory must be what it was before, and nothing may be left
of them on the disk."""

import argparse
import contextlib
import http.client
import socket
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from benchmarks.fuzz.drawn_requests import GROUPS, Fuzzer, Request
from benchmarks.table import Table
from bookshelf.errors import FOREIGN_KEY
from tests.support.environment import end
from tests.support.servers.shelf import Shelf, start_shelf
from tests.support.servers.shelfkit import Server, epub

ANSWER_SECONDS = 10.0
GROWTH_MB = 10.0
#: What every answer carries.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": "bookshelf",
}
#: What no answer may hold.
BETRAYING = (b"Traceback", b"aiohttp/", b"Python/", b"sqlite3.")


@dataclass(slots=True)
class Result:
    """What came of a run: answers by group and status, and what was wrong."""

    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)


def send(place: tuple[str, int], request: Request) -> tuple[int, str]:
    """The status of the answer (0: closed without one), and what is wrong with it (""
    nothing)."""
    try:
        with socket.create_connection(place, timeout=ANSWER_SECONDS) as connection:
            # Whoever refuses a body need not read it; the answer is there all the same.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request.raw)
            if request.frames is None:
                return _assessed(connection, request)
            status, wrong = _assessed(connection, request)
            return (
                (status, wrong or _drained(connection, request.frames))
                if status == 101
                else (status, wrong)
            )
    except TimeoutError:
        return 0, f"no answer within {ANSWER_SECONDS:g} s"
    except OSError as error:
        return 0, f"connection: {error}"


def _assessed(connection: socket.socket, request: Request) -> tuple[int, str]:
    try:
        with contextlib.closing(
            http.client.HTTPResponse(connection, method=request.method)
        ) as answer:
            answer.begin()
            body = b"" if answer.status == 101 else answer.read()
    except (http.client.HTTPException, ConnectionError) as error:
        return 0, f"no answer: {error!r}"
    wrong = [
        f"{name}: {answer.headers.get(name)}"
        for name, value in HEADERS.items()
        if answer.headers[name] != value
    ]
    if "default-src 'none'" not in answer.headers.get("Content-Security-Policy", ""):
        wrong.append("no policy")
    if answer.status >= 500 and FOREIGN_KEY.encode() not in body:
        wrong.append(f"HTTP {answer.status} {body[:200]!r}")
    wrong += [
        f"holds {word!r}"
        for word in BETRAYING
        if word in body + str(answer.headers).encode()
    ]
    return answer.status, "; ".join(wrong)


def _drained(connection: socket.socket, frames: bytes) -> str:
    """Sends frames to the task engine and reads until it closes, or has nothing more to
    say."""
    try:
        connection.sendall(frames)
        connection.settimeout(0.02)
        while connection.recv(65536):
            pass
    except TimeoutError:
        return ""
    except OSError:
        pass
    return ""


def fuzz(shelf: Shelf, requests: int, seed: int) -> Result:
    """Sends requests; the server must be alive afterwards."""
    parts = urlsplit(shelf.url)
    place = (parts.hostname or "", parts.port or 80)
    server = Server(shelf.url, shelf.ws_url, shelf.username, shelf.password)
    server.login()
    fuzzer = Fuzzer(seed, parts.netloc, server.token)
    result = Result()
    for number in range(requests):
        if number % 100 == 0:
            server.with_file(epub(), title=f"Target {number}")
            fuzzer.uploads.append(server.upload(epub()).json()["file"])
        request = fuzzer.request()
        status, wrong = send(place, request)
        result.statuses.setdefault(request.group, Counter())[status] += 1
        if wrong:
            result.findings.append(
                f"#{number} {request.group}: {wrong}\n    {request.raw[:300]!r} "
                f"{request.frames!r:.200}"
            )
    if server.call("GET", "/api/languages").status_code != 200:
        result.findings.append("the server does not answer any more")
    server.http.close()
    return result


def unfinished(shelf: Shelf, megabytes: int) -> tuple[float, list[str]]:
    """Begins three bodies on each of three routes, sends most of them and hangs up:
    growth in MB, and what was left."""
    assert shelf.process is not None
    server = Server(shelf.url, shelf.ws_url, shelf.username, shelf.password)
    server.login()
    assert server.upload(epub()).status_code == 200
    process = psutil.Process(shelf.process.pid)
    before, there = process.memory_info().rss, set(_uploads(shelf))
    parts = urlsplit(shelf.url)
    for path, kind in (
        ("/api/upload", "multipart/form-data; boundary=x"),
        ("/login", "application/json"),
        ("/api/ebooks", "application/json"),
    ):
        for chunked in (False, True, False):
            _begin(
                (parts.hostname or "", parts.port or 80),
                path,
                kind,
                server.token,
                megabytes,
                chunked=chunked,
            )
    deadline = time.monotonic() + 10
    while set(_uploads(shelf)) != there and time.monotonic() < deadline:
        time.sleep(0.1)
    server.http.close()
    return (process.memory_info().rss - before) / 1e6, sorted(
        set(_uploads(shelf)) - there
    )


def _uploads(shelf: Shelf) -> list[str]:
    return [str(path) for path in (shelf.data_dir / "uploads").rglob("*")]


def _begin(
    place: tuple[str, int],
    path: str,
    kind: str,
    token: str,
    megabytes: int,
    *,
    chunked: bool,
) -> None:
    """Sends the head and most of a body, and closes the connection."""
    size = megabytes * 1_000_000
    length = (
        "Transfer-Encoding: chunked"
        if chunked
        else f"Content-Length: {size + 1_000_000}"
    )
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: bearer "
        f"{token}\r\nContent-Type: {kind}\r\n{length}\r\n\r\n"
    )
    part = (
        b'--x\r\nContent-Disposition: form-data; name="file"; '
        b'filename="x.txt"\r\nContent-Type: text/plain\r\n\r\n'
    )
    block = b"a" * 1_000_000
    framed = b"%x\r\n%b\r\n" % (len(block), block) if chunked else block
    first = b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
    with socket.create_connection(place, timeout=ANSWER_SECONDS) as connection:
        try:
            connection.sendall(
                head.encode() + (first if path == "/api/upload" else b"")
            )
            for _ in range(megabytes):
                connection.sendall(framed)
        except (OSError, TimeoutError):
            # Refused, as it should be on all routes but one.
            return


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--unfinished-mb", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shelf = start_shelf(Path(folder) / "shelf")
        try:
            table = Table("The embedded server and requests nobody should send")
            started = time.monotonic()
            result = fuzz(shelf, given.requests, given.seed)
            seconds = time.monotonic() - started
            for group in GROUPS:
                seen = result.statuses.get(group, Counter())
                told = ", ".join(
                    f"{status or 'closed'}: {count}"
                    for status, count in sorted(seen.items())
                )
                table.add(
                    group, f"{seen.total()} requests ({told})", "no 5xx, headers", None
                )
            wrong = len(result.findings)
            table.add(
                f"{given.requests} requests in {seconds:.0f} s",
                f"{wrong} wrong",
                "0 wrong",
                wrong == 0,
            )
            growth, left = unfinished(shelf, given.unfinished_mb)
            table.add(
                "memory after unfinished bodies",
                f"{growth:+.1f} MB",
                f"≤ {GROWTH_MB:g} MB",
                growth <= GROWTH_MB,
            )
            table.add("files left of them", str(len(left)), "0", not left)
        finally:
            end(shelf.process)
    for finding in result.findings[:50]:
        print(finding)
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
