"""A real PostgreSQL of the test's own on loopback, and MyBookshelf2's tables in it as
far as they matter to us."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

#: Seconds for the server to accept connections.
START_SECONDS = 60.0

#: As MyBookshelf2 has them, by their description: the columns of the server's tables
#: that prepare_server looks at, with its keys and indexes, and without any on
#: source(size, hash). It ships four languages, with their ids.
MYBOOKSHELF2 = """
CREATE TABLE format (
    id bigserial PRIMARY KEY, version_id integer NOT NULL,
    mime_type varchar(128) NOT NULL, name varchar(64) NOT NULL,
    extension varchar(8) NOT NULL UNIQUE
);
CREATE TABLE language (
    id bigserial PRIMARY KEY, version_id integer NOT NULL,
    code varchar(6) NOT NULL UNIQUE, name varchar(64) NOT NULL
);
CREATE TABLE ebook (
    id bigserial PRIMARY KEY, version_id integer NOT NULL, created timestamp NOT NULL,
    modified timestamp NOT NULL,
    title varchar(256) NOT NULL, language_id bigint NOT NULL REFERENCES language,
    base_dir varchar(512) NOT NULL
);
CREATE TABLE source (
    id bigserial PRIMARY KEY, version_id integer NOT NULL, created timestamp NOT NULL,
    modified timestamp NOT NULL,
    ebook_id bigint NOT NULL REFERENCES ebook ON DELETE CASCADE,
    location varchar(512) NOT NULL,
    load_source varchar(256), format_id bigint NOT NULL REFERENCES format,
    size integer NOT NULL,
    hash varchar(128) NOT NULL, quality double precision, quality_count integer
);
CREATE INDEX ix_source_modified ON source (modified);
CREATE TABLE upload (
    id bigserial PRIMARY KEY, version_id integer NOT NULL, created timestamp NOT NULL,
    modified timestamp NOT NULL,
    file varchar(512) NOT NULL, load_source varchar(256),
    format_id bigint NOT NULL REFERENCES format,
    size integer NOT NULL, hash varchar(128) NOT NULL, meta json
);
INSERT INTO format (version_id, mime_type, name, extension) VALUES (1,
    'application/epub+zip', 'EPUB', 'epub');
INSERT INTO language (version_id, code, name)
    VALUES (1, 'cs', 'Czech'), (1, 'en', 'English'), (1, 'sk', 'Slovak'), (1, 'ru', 'Russian');
INSERT INTO ebook (version_id, created, modified, title, language_id, base_dir)
    VALUES (1, now(), now(), 'All of them', 2, 'All of them');
"""

#: `SELECT … %s` sources with distinct hashes; their sizes are those of real books, so
#: that many share none.
_FILL = """
INSERT INTO source (version_id, created, modified, ebook_id, location, load_source,
    format_id, size, hash)
SELECT 1, now(), now(), 1, 'A B/Title ' || n || '(en)/A B - Title ' || n || '.epub', 'book.epub', 1,
    20000 + (n::bigint * 7919) %% 5000000, md5(n::text) || left(md5((n + 1)::text), 8)
FROM generate_series(1, %s) AS n
"""


def binaries() -> Path:
    """Where Debian keeps PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        if os.environ.get("CI"):
            pytest.fail("postgresql is missing under CI")
        pytest.skip(
            "postgresql is not installed (./run_tests.sh --system-deps installs it)"
        )
    return found[-1].parent


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server; user `postgres` needs no password, user `guarded` does."""

    port: int

    def uri(self, database: str = "postgres", user: str = "postgres") -> str:
        """The URI of a database."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def create(self, name: str, template: str = "template1") -> str:
        """A new database; returns its URI."""
        with psycopg.connect(self.uri(), autocommit=True) as db:
            db.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'.encode())
        return self.uri(name)

    def mybookshelf2(self, name: str, sources: int = 0) -> str:
        """A new database with MyBookshelf2's tables and that many sources; returns its
        URI."""
        uri = self.create(name)
        with psycopg.connect(uri, autocommit=True) as db:
            db.execute(MYBOOKSHELF2.encode())
            db.execute(_FILL, (sources,))
            db.execute("ANALYZE")
        return uri


@contextmanager
def running() -> Iterator[Postgres]:
    """A PostgreSQL with a folder of its own; both are gone afterwards."""
    with _folder() as folder:
        data = folder / "data"
        _run(
            folder,
            "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        access = data / "pg_hba.conf"
        access.write_text(
            "host all guarded 127.0.0.1/32 scram-sha-256\n" + access.read_text()
        )
        with _started(folder, data) as found:
            yield found


@contextmanager
def standby(of: Postgres) -> Iterator[Postgres]:
    """A server that follows another one and takes no changes."""
    with _folder() as folder:
        data = folder / "data"
        _run(
            folder,
            "pg_basebackup",
            "-D",
            data,
            "-d",
            of.uri(),
            "-c",
            "fast",
            "--write-recovery-conf",
            "--no-sync",
        )
        with _started(folder, data) as found:
            yield found


@contextmanager
def _started(folder: Path, data: Path) -> Iterator[Postgres]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            binaries() / "postgres",
            "-D",
            data,
            "-p",
            str(port),
            "-k",
            folder,
            "-c",
            "listen_addresses=127.0.0.1",
            "-F",
        ],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **_dropped(),
    )
    try:
        found = Postgres(port)
        _await(found.uri())
        yield found
    finally:
        # SIGINT: clients that are still there are cut off, as they should be at the end
        # of a test.
        server.send_signal(signal.SIGINT)
        server.wait(30)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that belongs to PostgreSQL's user. Not pytest's: every new session
    closes that to everybody but root."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as name:
        if os.getuid() == 0:
            shutil.chown(name, "postgres", "postgres")
        yield Path(name)


def _run(folder: Path, program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        [binaries() / program, *arguments],
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        **_dropped(),
    )
    assert done.returncode == 0, f"{program}: {done.stderr}"


def _dropped() -> dict[str, Any]:
    """How a process is started as PostgreSQL's user when we are root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _await(uri: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            psycopg.connect(uri, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.02)
            continue
        return
    raise TimeoutError("PostgreSQL did not start")
