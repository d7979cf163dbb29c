"""What MyBookshelf2's image and database are made of: Calibre's archive, the bridge to
old libraries, the login."""

import hashlib
import io
import os
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest

from tests.support.environment import PROJECT, clean_environment, needs
from tests.support.servers import postgreskit

pytestmark = pytest.mark.integration
DEPLOY = PROJECT / "deploy" / "server"
DOCKERFILE = DEPLOY / "Dockerfile"


# -- Calibre's own release -------------------------------------------------------------


@dataclass
class Site:
    """A web site on loopback: what it has, by path, and what was asked for."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    def publish(self, arch: str, archive: bytes, checksum: str | None = None) -> None:
        """Puts a release there, and its checksum as Calibre publishes it."""
        self.files[f"/5.44.0/calibre-5.44.0-{arch}.txz"] = archive
        said = hashlib.sha512(archive).hexdigest() if checksum is None else checksum
        self.files[f"/signatures/calibre-5.44.0-{arch}.txz.sha512"] = said.encode()


@pytest.fixture
def site() -> Iterator[Site]:
    """The site, served."""
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            body = made.files.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield made
    server.shutdown()
    thread.join(10)
    server.server_close()


def archive(*tools: str) -> bytes:
    """A release with these tools at its top, as Calibre packs them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as tar:
        for tool in tools:
            entry = tarfile.TarInfo(tool)
            entry.mode, entry.size = 0o755, len(b"#!/bin/sh\n")
            tar.addfile(entry, io.BytesIO(b"#!/bin/sh\n"))
    return packed.getvalue()


RELEASE = archive("ebook-meta", "ebook-convert")


@dataclass(frozen=True)
class Installed:
    """How an installation ended."""

    status: int
    said: str
    files: list[str]


@pytest.fixture
def install(site: Site, tmp_path: Path) -> Callable[..., Installed]:
    """Runs install_calibre.sh against the site, on a machine that `uname` calls so."""
    for program in ("curl", "xz"):
        needs(program)
    programs, target = tmp_path / "bin", tmp_path / "calibre"
    programs.mkdir()

    def run(machine: str = "x86_64", **environment: str) -> Installed:
        uname = programs / "uname"
        uname.write_text(f"#!/bin/sh\necho {machine}\n")
        uname.chmod(0o755)
        root = f"http://127.0.0.1:{site.port}"
        given = {
            "CALIBRE_VERSION": "5.44.0",
            "CALIBRE_URL": f"{root}/@VERSION@/calibre-@VERSION@-@ARCH@.txz",
            "CALIBRE_SHA512_URL": f"{root}/signatures/calibre-@VERSION@-@ARCH@.txz.sha512",
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "no_proxy": "*",
        }
        done = subprocess.run(
            ["sh", str(DEPLOY / "install_calibre.sh"), str(target)],
            env=clean_environment(**{**given, **environment}),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        found = (
            sorted(path.name for path in target.iterdir()) if target.is_dir() else []
        )
        return Installed(done.returncode, done.stderr, found)

    return run


@pytest.mark.parametrize(
    ("machine", "arch"),
    [("x86_64", "x86_64"), ("aarch64", "arm64"), ("arm64", "arm64")],
)
def test_the_release_for_this_machine(
    site: Site, install: Callable[..., Installed], machine: str, arch: str
) -> None:
    """Calibre names architectures in its own way; the checksum is asked for before the
    archive."""
    site.publish(arch, RELEASE)
    assert install(machine) == Installed(0, "", ["ebook-convert", "ebook-meta"])
    assert site.asked == [
        f"/signatures/calibre-5.44.0-{arch}.txz.sha512",
        f"/5.44.0/calibre-5.44.0-{arch}.txz",
    ]


def test_a_checksum_with_a_file_name_behind_it(
    site: Site, install: Callable[..., Installed]
) -> None:
    """As `sha512sum` writes it."""
    site.publish(
        "x86_64", RELEASE, f"{hashlib.sha512(RELEASE).hexdigest()}  calibre.txz\n"
    )
    assert install().status == 0


def test_an_archive_that_was_tampered_with(
    site: Site, install: Callable[..., Installed]
) -> None:
    """Nothing of it is unpacked."""
    site.publish("x86_64", RELEASE, hashlib.sha512(RELEASE + b"x").hexdigest())
    done = install()
    assert (done.status, done.files) == (1, [])
    assert (
        "is not the file whose checksum was published; nothing was unpacked"
        in done.said
    )


def test_an_archive_without_the_tools(
    site: Site, install: Callable[..., Installed]
) -> None:
    """A right checksum of the wrong thing."""
    site.publish("x86_64", archive("ebook-meta"))
    done = install()
    assert (done.status, "there is no ebook-convert in the archive" in done.said) == (
        1,
        True,
    )


def test_the_second_address_and_the_checksum_itself(
    site: Site, install: Callable[..., Installed]
) -> None:
    """Checksums of older releases move; and one may be given by hand."""
    site.files["/5.44.0/calibre-5.44.0-x86_64.txz"] = RELEASE
    sum_of_it = hashlib.sha512(RELEASE).hexdigest()
    site.files["/old/sum"] = sum_of_it.encode()
    root = f"http://127.0.0.1:{site.port}"
    assert install(CALIBRE_SHA512_URL=f"{root}/new/sum {root}/old/sum").status == 0
    site.asked.clear()
    assert install(CALIBRE_SHA512=sum_of_it.upper()).status == 0
    assert site.asked == ["/5.44.0/calibre-5.44.0-x86_64.txz"]
    assert install(CALIBRE_SHA512="0" * 128).status == 1


#: What is wrong, the exit status, what is said; nothing is unpacked.
REFUSALS = [
    ({"CALIBRE_VERSION": "9.9.9"}, 1, "no checksum for Calibre 9.9.9 on x86_64"),
    ({"CALIBRE_SHA512": "ab"}, 1, "the checksum has 2 digits"),
    (
        {"CALIBRE_SHA512": "<html>not here</html>"},
        1,
        "what was published as checksum is none: <html>not here</html>",
    ),
    ({"CALIBRE_SHA512_URL": ""}, 2, "usage: "),
    (
        {"CALIBRE_SHA512_URL": "http://elsewhere.example/x"},
        2,
        "does not begin with https://",
    ),
    ({"CALIBRE_URL": "ftp://elsewhere.example/x"}, 2, "does not begin with https://"),
    ({"CALIBRE_URL": ""}, 2, "usage: "),
    ({"CALIBRE_VERSION": "../5"}, 2, "is not a version such as 5.44.0"),
    ({"CALIBRE_VERSION": "5.44.0/&"}, 2, "is not a version such as 5.44.0"),
]


@pytest.mark.parametrize(("given", "status", "said"), REFUSALS)
def test_refusals(
    site: Site,
    install: Callable[..., Installed],
    given: dict[str, str],
    status: int,
    said: str,
) -> None:
    """Each names the reason; nothing is unpacked."""
    site.publish("x86_64", RELEASE)
    done = install(**given)
    assert said in done.said
    assert (done.status, done.files) == (status, [])


def test_a_machine_calibre_has_nothing_for(install: Callable[..., Installed]) -> None:
    """The way out is named."""
    done = install("riscv64")
    assert (done.status, done.files) == (2, [])
    assert (
        "Calibre publishes nothing for riscv64; build with CALIBRE_SOURCE=debian"
        in done.said
    )


# -- the bridge to old libraries -------------------------------------------------------

#: What asexor and Flask-Script do, in a process of its own: the file changes names of
#: the whole process.
_AS_THE_SERVER = """
import asyncio, inspect, logging
import deploy.server.server_compat
from aiohttp import ClientSession, web

@asyncio.coroutine
def plain(value):
    return asyncio.sleep(0, value)

async def handler(request):
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    seen["task"] = asyncio.Task.current_task() is asyncio.current_task()
    for number in range(500):
        ws.send_str(str(number))
    seen["heard"] = [(await ws.receive_str()) for _ in range(500)]
    async for message in ws:
        await ws.close()
        ws.send_str("nobody is there any more")
    return ws

async def main():
    loop = asyncio.get_event_loop()
    app = web.Application(loop=loop)
    app.router.add_get("/ws", handler)
    server = await loop.create_server(app.make_handler(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{port}/ws") as ws:
        received = [(await ws.receive_str()) for _ in range(500)]
        assert received == [str(number) for number in range(500)]
        for number in range(500):
            ws.send_str(str(number))
        await ws.send_str("end")
        async for message in ws:
            raise AssertionError(message)
    assert await plain(7) == 7 and await asyncio.coroutine(lambda: 8)() == 8
    assert isinstance(asyncio.current_task(), asyncio.Task)
    server.close()

seen = {}
asyncio.run(main())
assert seen == {"task": True, "heard": [str(number) for number in range(500)]}
assert inspect.getargspec(lambda a, *b, c=1, **d: 0) == (["a"], "b", "d", None)
assert not logging.getLogger("aiohttp.access").isEnabledFor(logging.INFO)
print("as ever")
"""


def test_old_libraries_find_what_they_expect() -> None:
    """Frames sent without await, by the server or by the command line, arrive in order;
    names that Python removed are there; tokens stay out of the log."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _AS_THE_SERVER],
        cwd=PROJECT,
        env=clean_environment(PYTHONWARNINGS=""),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("as ever\n", "")


# -- the database ----------------------------------------------------------------------


def test_the_database_is_prepared_once_and_left_alone_later() -> None:
    """A login that is no superuser owns it, makes tables, searches without accents; a
    second run changes nothing."""
    with postgreskit.running() as server:
        assert "MBS2_DB_PASSWORD is not set" in _prepare(server, 3)
        named = {
            "MBS2_DB_PASSWORD": 'it\'s; a \\ "secret"',
            "MBS2_DB_USER": "o'shelf",
            "MBS2_DB_NAME": 'bo"oks',
        }
        for given in ({"MBS2_DB_PASSWORD": "secret"}, named):
            _prepare(server, 0, **given)
            assert _prepare(server, 0, **{**given, "MBS2_DB_PASSWORD": ""}) == ""
        _use(server, dbname="ebooks", user="ebooks", password="secret")
        _use(
            server, dbname='bo"oks', user="o'shelf", password=named["MBS2_DB_PASSWORD"]
        )


def test_the_password_of_the_database_may_be_in_a_file(tmp_path: Path) -> None:
    """As Docker mounts a secret."""
    secret = tmp_path / "it's a secret"
    secret.write_text('it\'s; a \\ "$secret" #1\n', "utf-8")
    with postgreskit.running() as server:
        _prepare(server, 0, MBS2_DB_PASSWORD="", MBS2_DB_PASSWORD_FILE=str(secret))
        password = secret.read_text("utf-8").rstrip("\n")
        _use(server, dbname="ebooks", user="ebooks", password=password)


def test_the_official_image_s_own_user_may_be_the_server_s() -> None:
    """POSTGRES_USER and POSTGRES_DB made role and database already: no password is
    needed to add the rest."""
    with postgreskit.running() as server:
        with psycopg.connect(server.uri(), autocommit=True) as db:
            db.execute("CREATE ROLE ebooks SUPERUSER LOGIN")
            db.execute("CREATE DATABASE ebooks OWNER ebooks")
        _prepare(server, 0, user="ebooks", database="ebooks")
        with psycopg.connect(server.uri("ebooks", "ebooks")) as db:
            assert db.execute(
                "SELECT to_tsvector('custom', 'Válka')::text"
            ).fetchone() == ("'valka':1",)


def _prepare(
    server: postgreskit.Postgres,
    status: int,
    user: str = "postgres",
    database: str = "postgres",
    **given: str,
) -> str:
    """Runs the file as the official image does; returns what it complained of."""
    where = ["-h", "127.0.0.1", "-p", str(server.port), "-U", user, "-d", database]
    done = subprocess.run(
        [
            postgreskit.binaries() / "psql",
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            *where,
            "-f",
            DEPLOY / "initdb" / "mybookshelf2.sql",
        ],
        env=clean_environment(PGOPTIONS="-c client_min_messages=warning", **given),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    return done.stderr


def _use(server: postgreskit.Postgres, **login: str) -> None:
    # Only strings.
    with psycopg.connect(host="127.0.0.1", port=server.port, **login) as db:  # type: ignore[arg-type]
        rights = db.execute(
            "SELECT rolsuper OR rolcreaterole OR rolcreatedb FROM pg_roles WHERE rolname = user"
        )
        assert rights.fetchone() == (False,)
        db.execute("CREATE TABLE ebook (title varchar)")
        asked = "SELECT to_tsvector('custom', 'Válka s mloky: running')::text, unaccent('čapek')"
        assert db.execute(asked.encode()).fetchone() == (
            "'mloki':3 'run':4 'valka':1",
            "capek",
        )


# -- the image's files -----------------------------------------------------------------


def test_every_stage_declares_what_it_uses() -> None:
    """A build argument counts in the stage that declares it only; an undeclared one is
    empty, and nobody is told."""
    head, *stages = re.split(
        r"^(?=FROM )", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE
    )
    assert "ARG BASE_IMAGE=" in head
    for stage in stages:
        body = stage.split("\n", 1)[1]
        declared = set(re.findall(r"^ARG (\w+)", body, re.MULTILINE))
        assert set(re.findall(r"\$\{(\w+)\}", body)) - {"more"} <= declared, stage


def test_nothing_of_mybookshelf2_is_copied() -> None:
    """Only files of deploy/ get in, all of which exist; the code is mounted."""
    copied = re.findall(
        r"^COPY (?!--from)(?:--\S+ )?(\S+)", DOCKERFILE.read_text("utf-8"), re.MULTILINE
    )
    assert copied
    for name in copied:
        assert name.startswith("deploy/") and (PROJECT / name).is_file(), name


@pytest.mark.parametrize(
    "name",
    ["simplejson", "requests", "urllib3", "certifi", "charset-normalizer", "idna"],
)
def test_what_nothing_else_would_miss_is_there(name: str) -> None:
    """What answers ratings, and what the command line sends its requests with; pip adds
    nothing by itself."""
    lines = (DEPLOY / "requirements-server.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith(f"{name}==")]


def test_libraries_are_pinned_each_with_its_reason() -> None:
    """A migration of days must not meet another version after a rebuild; the task
    engine is at one commit."""
    for line in (DEPLOY / "requirements-server.txt").read_text("utf-8").splitlines():
        assert (
            not line
            or line.startswith("#")
            or re.fullmatch(r"[\w-]+==[\w.]+( +# \S.*)?", line)
        ), line
    assert re.search(
        r"^ARG ASEXOR=https://\S+/[0-9a-f]{40}\.tar\.gz$",
        DOCKERFILE.read_text("utf-8"),
        re.MULTILINE,
    )
