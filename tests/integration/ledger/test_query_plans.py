"""Every statement that migration/ runs on the ledger stays indexed: collected from real
runs, then EXPLAINed."""

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from migration.ledger.schema import TABLES
from migration.ledger.tables.passes import FAILED
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
#: What grows with the library.
GROWING = frozenset({"files", "books", "hashes", "names"})
#: Indexes of what is not done yet: they do not grow with the library.
UNFINISHED = ("unfinished_files", "open_books")
#: Statements that may scan one of these, by a part of their text, and why.
REASONED = {
    "SELECT outcome, COUNT(*) FROM files WHERE pass_id = ? GROUP BY outcome": (
        "proof at the end of a pass, row by row"
    ),
    "LEFT JOIN books ON books.book_id = files.book_id": "--export-map writes every file",
}


#: A process in which every statement on a ledger is noted, with its placeholders,
#: before it is run; a trace callback would have the values in the text. Arguments:
#: where to, what to run (Python), and its arguments.
TRACED = """
import atexit, json, sqlite3, sys
seen, connect = set(), sqlite3.connect
class Traced(sqlite3.Connection):
    def execute(self, sql, *more):
        seen.add(sql)
        return super().execute(sql, *more)
    def executemany(self, sql, *more):
        seen.add(sql)
        return super().executemany(sql, *more)
def traced(database, *args, **more):
    if "migration_ledger.db" in str(database):
        more["factory"] = Traced
    return connect(database, *args, **more)
sqlite3.connect = traced
atexit.register(lambda: json.dump(sorted(seen), open(sys.argv[1], "w")))
exec(sys.argv[2])
"""
WORKER = (
    "import bulk_migrate_calibre; sys.exit(bulk_migrate_calibre.main(sys.argv[3:]))"
)
READERS = """
from pathlib import Path
from migration.commands import export_map, failures
from migration.ledger import arrivals, changed, totals
from migration.model import BookId, FileId
ledger = Path(sys.argv[3])
number = totals.read(ledger).pass_id
assert totals.proved(ledger, number)
totals.settled(ledger, number, [], 1)
totals.settled(ledger, number, [FileId(BookId(1), "EPUB")], None)
then = arrivals.baseline(ledger, number, 1)
arrivals.since(ledger, then, 1)
arrivals.since(ledger, arrivals.Baseline(number, 0, {1: 0, 9: 1}), 1)
arrivals.fates(ledger, number, 1, [FileId(BookId(1), "EPUB")])
arrivals.next_book(ledger)
changed.wrong_books(ledger, ["wrong title"])
totals.not_carried_in(ledger, number, 1, 9)
failures.failed_files(ledger, number, FileId(BookId(3), "EPUB"), 5)
failures.noticed(ledger, number, 5)
export_map.export_map(ledger, ledger.with_name("map.csv"))
"""


@dataclass(slots=True)
class Collector:
    """Runs things in processes of their own and collects the statements they ran on the
    ledger."""

    folder: Path
    statements: set[str] = field(default_factory=set)

    def run(self, code: str, *arguments: str) -> int:
        """Returns the exit status."""
        noted = self.folder / "statements.json"
        command = [sys.executable, "-c", TRACED, str(noted), code, *arguments]
        environment = clean_environment(MBS2_PASSWORD=PASSWORD)
        ended = subprocess.run(
            command,
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        self.statements.update(json.loads(noted.read_bytes()))
        return ended.returncode


def explained(ledger: Path, sql: str) -> list[str]:
    """The steps of a statement's plan; its placeholders are bound to NULL."""
    with closing(sqlite3.connect(ledger)) as db:
        names = set(re.findall(r":(\w+)", sql))
        numbered = [int(number) for number in re.findall(r"\?(\d+)", sql)]
        number = max(numbered, default=sql.count("?"))
        values: Any = dict.fromkeys(names) if names else [None] * number
        return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


def scans(steps: list[str]) -> list[str]:
    """The steps that read the whole of a table that grows, or all of it from some row
    on."""
    found = []
    for step in steps:
        match = re.match(
            r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?(?:INDEX (\w+)|PRIMARY KEY|.*KEY))?(.*)",
            step,
        )
        if match is None or match[2] not in GROWING or match[3] in UNFINISHED:
            continue
        open_ended = ">" in match[4] and "<" not in match[4] and "=" not in match[4]
        if match[1] == "SCAN" or open_ended:
            found.append(step)
    return found


def test_no_statement_reads_the_whole_of_what_grows(
    tmp_path: Path, shelf: Shelf
) -> None:
    """Two passes, retries in a closed and in an open one, a check against the server,
    totals, lists, an export."""
    library, ledger, seen = (
        Library(tmp_path / "library"),
        tmp_path / "state" / LEDGER_NAME,
        Collector(tmp_path),
    )
    library.add(
        *epubs(range(8)),
        Made(
            files={"EPUB": epub(1, title="Book 1"), "CBZ": b"x" * 99},
            series="S",
            rating=8,
        ),
    )
    line = [str(library.root), "--server", shelf.url, "--state-dir", str(ledger.parent)]
    assert seen.run(WORKER, *line) == 1
    assert seen.run(WORKER, *line) == 1
    library.file(1).write_bytes(epub(999))
    assert seen.run(WORKER, *line, "--open-pass") == 0
    assert seen.run(WORKER, *line, "--retry-failed") == 1
    assert seen.run(WORKER, *line, "--recheck") in (0, 1)
    assert seen.run(READERS, str(ledger)) == 0
    asked = [
        sql
        for sql in sorted(seen.statements)
        if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT)", sql)
    ]
    assert len(asked) > 40
    bad = {
        sql: steps
        for sql in asked
        if (steps := scans(explained(ledger, sql))) and not reasoned(sql)
    }
    assert bad == {}
    used = [part for part in REASONED if any(part in sql for sql in asked)]
    assert used == list(REASONED)


def reasoned(sql: str) -> bool:
    """May it scan?"""
    return any(part in sql for part in REASONED)


def test_a_scan_is_found(tmp_path: Path) -> None:
    """The check can fail: by size there is no index, by book there is one."""
    ledger = tmp_path / LEDGER_NAME
    with closing(sqlite3.connect(ledger)) as db:
        db.executescript(TABLES)
    assert scans(explained(ledger, "SELECT 1 FROM files WHERE size = ?")) == [
        "SCAN files"
    ]
    assert scans(explained(ledger, "SELECT 1 FROM files WHERE book_id = ?")) == []
    assert scans(explained(ledger, f"UPDATE files SET rounds = 0 WHERE {FAILED}")) == []
    assert scans(
        explained(ledger, "UPDATE files SET rounds = 0 WHERE outcome = 'failed'")
    ) == ["SCAN files"]
