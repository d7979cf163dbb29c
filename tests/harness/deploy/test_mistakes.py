"""docs/mistakes.md: each mistake gets the sentence and the status it promises."""

import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import bulk_migrate_calibre
from deploy import launch
from tests.support.environment import PASSWORD, PROJECT, USERNAME, needs
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.updatekit import FAST
from tests.support.servers.firstuser import seed
from tests.support.servers.inprocess import LocalShelf, LocalWorkers, call_main

PAGE = (PROJECT / "docs" / "mistakes.md").read_text("utf-8")


@dataclass(frozen=True)
class Row:
    """One row of a table: what is done, and what is said of it."""

    what: str
    says: str
    status: str


def rows(title: str) -> list[Row]:
    """Returns the rows of the section of this title."""
    section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    return [Row(*found) for found in cells[2:]]


def promised(says: str) -> str:
    """Returns the pattern of the sentence in a cell."""
    sentence = says.split("`")[1]
    return re.escape(sentence).replace("…", ".*")


def test_what_is_said_before_anything_is_installed() -> None:
    """test_bootstrap.py shows when; the words are those of the script."""
    script = (PROJECT / "deploy" / "bootstrap.sh").read_text("utf-8")
    for row in rows("Before anything is installed"):
        for sentence in re.findall(r"`([^`]+)`", row.says):
            for part in re.split(r"[….;:,]+", sentence):
                assert part.strip() in script, row


START = {row.what: row for row in rows("At the start")}


@pytest.mark.parametrize("what", START)
def test_at_the_start(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is typed, in a folder with a library."""
    library = Library(tmp_path / "Calibre")
    library.add(*epubs(range(1)))
    (tmp_path / "a-file").touch()
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"`([^`]+)`", what)
    home = {"~/Calibre": str(library.root), "URL": "http://127.0.0.1:9"}
    program, *typed = [home.get(word, word) for word in command.split()]
    assert program == "./start.sh"
    code, said = call_main(launch.main, typed, XDG_STATE_HOME=str(tmp_path / "state"))
    assert re.search(promised(START[what].says), said), said
    assert code == int(START[what].status)
    assert len(said.strip().splitlines()) == 1, said


@contextmanager
def website(page: bytes, status: int, *, tls: Path | None = None) -> Iterator[str]:
    """Another web server; returns host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_told: None  # type: ignore[method-assign]
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate that nobody trusts."""
    needs("openssl")
    key, made = folder / "key.pem", folder / "made.pem"
    options = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
    ]
    subprocess.run(
        ["openssl", *options, "-keyout", key, "-out", made],
        check=True,
        capture_output=True,
        timeout=60,
    )
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + made.read_bytes())
    return both


NOT_FOUND = b"<html><title>404 Not Found</title></html>"
SIGN_IN = b"<!doctype html><title>Sign in</title><form></form>"


class World:
    """A library that was migrated to a server, and workers that are asked to go on."""

    def __init__(self, folder: Path, server: LocalShelf) -> None:
        self.folder, self.server = folder, server
        self.library = Library(folder / "library")
        self.library.add(*epubs(range(1)))
        self.migrated = LocalWorkers(folder / "state")

    def migrate(self) -> None:
        assert self.migrated.run(self.library.root, self.server.shelf, **FAST)[0] == 0

    def ask(self, url: str, *options: str, **more: str) -> tuple[int, str]:
        """What ./start.sh has a worker do first."""
        where = ["--server", url, "--state-dir", str(self.migrated.state_dir)]
        told = {
            "MBS2_USERNAME": USERNAME,
            "MBS2_PASSWORD": PASSWORD,
            "START_SECONDS": "0",
            **more,
        }
        given = [str(self.library.root), *where, "--open-pass", *options]
        return call_main(bulk_migrate_calibre.main, given, **told)


def _site(
    page: bytes, status: int, address: str, tls: bool = False
) -> Callable[[World], tuple[int, str]]:
    def ask(world: World) -> tuple[int, str]:
        certificate_file = certificate(world.folder) if tls else None
        with website(page, status, tls=certificate_file) as place:
            return world.ask(address.format(place))

    return ask


def _elsewhere(*options: str) -> Callable[[World], tuple[int, str]]:
    """At a new address, or another server there."""

    def ask(world: World) -> tuple[int, str]:
        world.migrate()
        seed(world.folder / "another", USERNAME, PASSWORD)
        with LocalShelf(world.folder / "another") as another:
            return world.ask(another.shelf.url, *options)

    return ask


def _by_another_name(world: World) -> tuple[int, str]:
    world.migrate()
    port = world.server.shelf.url.rpartition(":")[2]
    return world.ask(f"http://localhost:{port}")


SERVER: dict[str, Callable[[World], tuple[int, str]]] = {
    "nothing listens on the port": lambda world: world.ask("http://127.0.0.1:9"),
    "https for a server that speaks http": _site(NOT_FOUND, 404, "https://{}"),
    "http for a server that speaks https": _site(NOT_FOUND, 404, "http://{}", tls=True),
    "another web server": _site(NOT_FOUND, 404, "http://{}"),
    "the address of a page": _site(NOT_FOUND, 404, "http://{}/login"),
    "a login page before the server": _site(SIGN_IN, 200, "http://{}"),
    "a wrong password": lambda world: world.ask(
        world.server.shelf.url, MBS2_PASSWORD="wrong"
    ),
    "no password": lambda world: world.ask(world.server.shelf.url, MBS2_PASSWORD=""),
    "`localhost` for `127.0.0.1`": _by_another_name,
    "the server has a new address, with the old `--state-dir`": _elsewhere(),
    "another server, with `--rebind`": _elsewhere("--rebind"),
}


#: What is chosen before a worker is asked: test_state_places.py has it.
CHOSEN = "the server has a new address"


@pytest.mark.parametrize(
    "row",
    [row for row in rows("Where the server should be") if row.what != CHOSEN],
    ids=lambda row: row.what,
)
def test_where_the_server_should_be(row: Row, tmp_path: Path) -> None:
    """What a worker says last is what ./start.sh says."""
    data_dir = tmp_path / "shelf"
    seed(data_dir, USERNAME, PASSWORD)
    with LocalShelf(data_dir) as server:
        code, said = SERVER[row.what](World(tmp_path, server))
    assert code == int(row.status), said
    if "`" in row.says:
        assert re.search(promised(row.says), said.strip().splitlines()[-1]), said
