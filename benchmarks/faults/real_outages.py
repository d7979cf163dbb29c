"""Outages of a real server in the middle of a migration: what
`benchmarks/speed/real_server.py --outages` does.

Three migrations of 218 EPUBs (--books) and 5 comics, by two workers each:

* every `--part NAME=START::STOP` is stopped twice in mid-run, for --seconds, and
  started again (shell commands);
* every `--restart CMD` is run twice;
* the database ends its own connection in the middle of INSERTs and UPDATEs: triggers
  made through --db-uri, which needs a superuser, and removed afterwards. Told by a
  sequence, which no rollback takes back, each fires a few times.

Afterwards the server's own database is asked: every file once, no ebook without a file,
no working title."""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from benchmarks.speed.peers import cover
from benchmarks.table import Table
from migration.ledger import totals
from migration.state_files import logs
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, Made, epub

COMICS, WORKERS = 5, 2
DEADLINE_SECONDS = 1800
#: A worker that has files left and settles none for so long after the return of a part
#: stands still.
STILL_SECONDS = 60.0
#: The next part is not stopped before both workers go on, or for so long.
RECOVERY_SECONDS = 180.0

#: (table, event, at which uses the connection ends). The first ones of a run: the pool
#: has several connections.
BREAKS = (
    ("ebook", "INSERT", (4, 40)),
    ("ebook", "UPDATE", (6, 60)),
    ("source", "INSERT", (5, 50)),
    ("upload", "INSERT", (8, 70)),
)
_BREAK = """
CREATE SEQUENCE outage_{table}_{event};
CREATE FUNCTION outage_{table}_{event}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF nextval('public.outage_{table}_{event}') IN {uses} THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER outage_{event} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION
    outage_{table}_{event}();
"""
_MEND = """
DROP FUNCTION IF EXISTS outage_{table}_{event}() CASCADE;
DROP SEQUENCE IF EXISTS outage_{table}_{event};
"""


@dataclass(frozen=True, slots=True)
class OutageResult:
    """What one migration came to. `still`: seconds from each return until all workers
    went on."""

    codes: tuple[int, ...]
    failed: dict[str, int]
    accounted: bool
    lost: int
    twice: int
    empty: int
    working: int
    still: list[float]
    seconds: float


class Outages:
    """One server, its parts, and the way into its database."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.picture = cover()
        self.number = int(time.time()) % 1_000_000 * 1000

    def library(self, root: Path) -> tuple[Library, list[str]]:
        """A library nobody has seen; and the SHA-1 of every file the server takes."""
        library, sha1s = Library(root), []
        for _ in range(self.given.books):
            self.number += 1
            number, writer = self.number, self.number // 10
            data = epub(
                number,
                title=f"Book {number}",
                author=f"Writer {writer}",
                cover=self.picture,
            )
            authors = ((f"Writer {writer}", f"{writer}, Writer"),)
            library.add(
                Made(
                    title=f"Книга {number}",
                    authors=authors,
                    files={"EPUB": data},
                    rating=8,
                )
            )
            sha1s.append(hashlib.sha1(data, usedforsecurity=False).hexdigest())
        for _ in range(COMICS):
            self.number += 1
            library.add(
                Made(
                    title=f"Comic {self.number}",
                    files={"CBZ": str(self.number).encode() * 99},
                )
            )
        return library, sha1s

    def migrate(self, commands: list[tuple[str, str]]) -> OutageResult:
        """Two workers; each pair of `commands` (end, begin anew) is run twice in
        mid-run, when both are at work."""
        newest = self.ask("SELECT coalesce(max(id), 0) FROM ebook")
        with tempfile.TemporaryDirectory(prefix="real-outages-") as name:
            state = Path(name) / "state"
            library, sha1s = self.library(Path(name) / "library")
            began = time.monotonic()
            running = [self.worker(library.root, state, n + 1) for n in range(WORKERS)]
            self.wait_for_files(newest, 15)
            still = [
                self.away(end, begin, state, running) for end, begin in commands * 2
            ]
            codes = tuple(worker.wait(DEADLINE_SECONDS) for worker in running)
            seconds = time.monotonic() - began
            if self.given.keep:
                shutil.copytree(
                    state, Path(self.given.keep) / f"{datetime.now(tz=UTC):%H%M%S}"
                )
            found = totals.read(state / "migration_ledger.db")
            assert found is not None
            accounted = (
                found.counts.discovered == self.given.books + COMICS
                and found.counts.pending == 0
            )
            return OutageResult(
                codes,
                dict(found.failed),
                accounted,
                *self.truth(newest, sha1s),
                still,
                seconds,
            )

    def away(
        self,
        end: str,
        begin: str,
        state: Path,
        running: "list[subprocess.Popen[bytes]]",
    ) -> float:
        """Ends something for a while; returns how long after its return the last worker
        settled a file, seconds."""
        assert all(worker.poll() is None for worker in running), (
            f"ended before {end!r}: more files, or fewer seconds"
        )
        shell(end)
        if begin:
            time.sleep(self.given.seconds)
            shell(begin)
        back, since = datetime.now(tz=UTC), time.monotonic()
        waiting = dict(enumerate(running, 1))
        while waiting and time.monotonic() - since < RECOVERY_SECONDS:
            time.sleep(0.5)
            waiting = {
                n: worker
                for n, worker in waiting.items()
                if worker.poll() is None and not goes_on(state, n, back)
            }
        return time.monotonic() - since

    def worker(
        self, library: Path, state: Path, number: int
    ) -> "subprocess.Popen[bytes]":
        """Ours, as a user starts it."""
        command = [
            sys.executable,
            str(PROJECT / "bulk_migrate_calibre.py"),
            str(library),
            "--server",
            self.given.server,
            "--ws-url",
            self.given.ws_url,
            "--username",
            self.given.username,
            "--state-dir",
            str(state),
            "--worker-id",
            str(number),
            "--batch-size",
            "20",
        ]
        environment = clean_environment(MBS2_PASSWORD=os.environ["MBS2_PASSWORD"])
        return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)

    @contextmanager
    def breaking(self) -> Iterator[None]:
        """The database ends connections of its own for as long as the block runs."""
        try:
            for table, event, uses in BREAKS:
                self.run(
                    _MEND.format(table=table, event=event)
                    + _BREAK.format(table=table, event=event, uses=uses)
                )
            yield
        finally:
            for table, event, _uses in BREAKS:
                self.run(_MEND.format(table=table, event=event))

    # -- what is true ------------------------------------------------------------------

    def truth(self, newest: int, sha1s: list[str]) -> tuple[int, int, int, int]:
        """Files lost, files there twice, ebooks without a file, working titles; since
        ebook `newest`."""
        there = self.ask(
            "SELECT count(DISTINCT hash) FROM source WHERE hash = ANY(%s)", sha1s
        )
        rows = self.ask("SELECT count(*) FROM source WHERE hash = ANY(%s)", sha1s)
        without = "NOT EXISTS (SELECT FROM source WHERE ebook_id = ebook.id)"
        empty = self.ask(
            f"SELECT count(*) FROM ebook WHERE id > %s AND {without}", newest
        )
        working = self.ask(
            "SELECT count(*) FROM ebook WHERE id > %s AND title ~ ' ~[0-9a-f]{8}-[0-9]+$'",
            newest,
        )
        return len(sha1s) - there, rows - there, empty, working

    def wait_for_files(self, newest: int, files: int) -> None:
        """Until the migration is in its middle."""
        deadline = time.monotonic() + 300
        while (
            self.ask("SELECT count(*) FROM source WHERE ebook_id > %s", newest) < files
        ):
            assert time.monotonic() < deadline, "nothing arrives"
            time.sleep(0.5)

    def ask(self, question: str, *values: object) -> int:
        """One number from the server's database."""
        with psycopg.connect(self.given.db_uri, autocommit=True) as db:
            row = db.execute(question.encode(), values).fetchone()
        assert row is not None
        return int(row[0])

    def run(self, statements: str) -> None:
        """Statements in the server's database."""
        with psycopg.connect(self.given.db_uri, autocommit=True) as db:
            db.execute(statements.encode())


def goes_on(state: Path, number: int, since: datetime) -> bool:
    """Has this worker settled a file since then?"""
    for text in reversed(logs.log_path(state, number).read_text("utf-8").splitlines()):
        line = logs.parse(text)
        if line is not None and line.message.startswith(
            ("Uploaded ", "Duplicate ", "Failed ")
        ):
            return line.at > since
    return False


def shell(command: str) -> None:
    """Runs a command of the user's; its failure ends everything."""
    subprocess.run(
        command,
        shell=True,
        check=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def show(given: argparse.Namespace) -> int:
    """Prints the table; 1 when a goal is missed."""
    outages = Outages(given)
    table = Table(
        f"{given.books} EPUBs and {COMICS} comics to {given.server}, {WORKERS} workers"
    )
    parts = [part.partition("=")[2].partition("::") for part in given.part]
    if parts:
        what = f"each of {len(parts)} parts stopped twice for {given.seconds:g} s"
        add(
            table,
            what,
            outages.migrate([(stop, start) for start, _colons, stop in parts]),
        )
    if given.restart:
        add(
            table,
            f"{len(given.restart)} restarts, each twice",
            outages.migrate([(cmd, "") for cmd in given.restart]),
        )
    with outages.breaking():
        seen = outages.migrate([])
    add(table, "connections ended in the middle of INSERT and UPDATE", seen)
    return table.show()


def add(table: Table, what: str, seen: OutageResult) -> None:
    """The rows of one migration."""
    table.add(
        f"{what}: seconds, exit statuses",
        f"{seen.seconds:.0f}, {seen.codes}",
        "-",
        None,
    )
    refused = {"unsupported": COMICS}
    table.add(
        "failed beyond what it does not take",
        str(seen.failed),
        str(refused),
        seen.failed == refused,
    )
    wrong = (seen.lost, seen.twice, seen.empty, seen.working)
    table.add(
        "lost, twice, empty ebooks, working titles",
        str(wrong),
        str((0, 0, 0, 0)),
        wrong == (0, 0, 0, 0),
    )
    table.add("all accounted for", str(seen.accounted), "True", seen.accounted)
    if seen.still:
        shown = ", ".join(f"{seconds:.0f}" for seconds in seen.still)
        met = max(seen.still) <= STILL_SECONDS
        table.add(
            "seconds from each return until both workers settled a file",
            shown,
            f"{STILL_SECONDS:g}",
            met,
        )
