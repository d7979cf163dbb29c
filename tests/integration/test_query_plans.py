"""Every statement that migration/ runs on the ledger stays indexed: collected from real runs, then EXPLAINed."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import bulk_migrate_calibre
from migration import failures, totals, verify
from migration.ledger import LEDGER_NAME
from migration.model import BookId, FileId
from migration.options import read_options
from migration.passes import FAILED
from tests.conftest import PASSWORD, PROJECT, Shelf
from tests.librarykit import Library, Made, epub, epubs

pytestmark = pytest.mark.integration
#: What grows with the library.
GROWING = frozenset({"files", "books", "hashes", "names"})
#: Indexes of what is not done yet: they do not grow with the library.
UNFINISHED = ("unfinished_files", "open_books")
#: Statements that may scan one of these, by a part of their text, and why.
REASONED = {
    "SELECT outcome, COUNT(*) FROM files WHERE pass_id = ? GROUP BY outcome": "proof at the end of a pass, row by row",
    "LEFT JOIN books ON books.book_id = files.book_id": "--export-map writes every file",
}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[set[str]]:
    """The statements that went over any connection of this process to a ledger, with their placeholders."""
    statements: set[str] = set()
    connect = sqlite3.connect

    class Traced(sqlite3.Connection):
        """Notes what is run before it is run; a trace callback would have the values in the text."""

        def execute(self, sql: str, *more: Any) -> sqlite3.Cursor:
            statements.add(sql)
            return super().execute(sql, *more)

        def executemany(self, sql: str, *more: Any) -> sqlite3.Cursor:
            statements.add(sql)
            return super().executemany(sql, *more)

    def traced(database: Any, *args: Any, **more: Any) -> sqlite3.Connection:
        if LEDGER_NAME in str(database):
            more["factory"] = Traced
        opened: sqlite3.Connection = connect(database, *args, **more)
        return opened

    monkeypatch.setattr(sqlite3, "connect", traced)
    yield statements


def migrate(library: Path, shelf: Shelf, state: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """A worker in this process."""
    monkeypatch.setenv("MBS2_PASSWORD", PASSWORD)
    line = [str(library), "--server", shelf.url, "--state-dir", str(state), *options]
    return int(bulk_migrate_calibre.run(read_options(line, PROJECT)))


def explained(ledger: Path, sql: str) -> list[str]:
    """The steps of a statement's plan; its placeholders are bound to NULL."""
    with closing(sqlite3.connect(ledger)) as db:
        names = set(re.findall(r":(\w+)", sql))
        values: Any = dict.fromkeys(names) if names else [None] * sql.count("?")
        return [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]


def scans(steps: list[str]) -> list[str]:
    """The steps that read the whole of a table that grows, or all of it from some row on."""
    found = []
    for step in steps:
        match = re.match(r"(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?(?:INDEX (\w+)|PRIMARY KEY|.*KEY))?(.*)", step)
        if match is None or match[2] not in GROWING or match[3] in UNFINISHED:
            continue
        open_ended = ">" in match[4] and "<" not in match[4] and "=" not in match[4]
        if match[1] == "SCAN" or open_ended:
            found.append(step)
    return found


def test_no_statement_reads_the_whole_of_what_grows(
    tmp_path: Path, shelf: Shelf, seen: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passes, a retry, a check against the server, totals, an export: all that a user can ask for."""
    library, state = Library(tmp_path / "library"), tmp_path / "state"
    library.add(*epubs(range(8)), Made(files={"EPUB": epub(1, title="Book 1"), "CBZ": b"x" * 99}, series="S", rating=8))
    assert migrate(library.root, shelf, state, monkeypatch) == 1
    assert migrate(library.root, shelf, state, monkeypatch) == 1
    library.file(1).write_bytes(epub(999))
    # A pass that is open: what failed in it is counted there.
    assert migrate(library.root, shelf, state, monkeypatch, "--open-pass") == 0
    assert migrate(library.root, shelf, state, monkeypatch, "--retry-failed") == 1
    assert migrate(library.root, shelf, state, monkeypatch, "--recheck") in (0, 1)
    ledger = state / LEDGER_NAME
    found = totals.read(ledger)
    assert found is not None
    assert totals.proved(ledger, found.pass_id)
    totals.settled(ledger, found.pass_id, [], 1)
    totals.not_carried_in(ledger, found.pass_id, 1, 9)
    failures.failed_files(ledger, found.pass_id, FileId(BookId(3), "EPUB"), 5)
    totals.carried(ledger, found.pass_id, [FileId(BookId(1), "EPUB")])
    verify.export_map(ledger, tmp_path / "map.csv")
    asked = [sql for sql in sorted(seen) if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT)", sql)]
    assert len(asked) > 40
    bad = {sql: steps for sql in asked if (steps := scans(explained(ledger, sql))) and not reasoned(sql)}
    assert bad == {}
    used = [part for part in REASONED if any(part in sql for sql in asked)]
    assert used == list(REASONED)


def reasoned(sql: str) -> bool:
    """May it scan?"""
    return any(part in sql for part in REASONED)


def test_a_scan_is_found(tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: by size there is no index, by book there is one."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(2)))
    assert migrate(library.root, shelf, tmp_path / "state", monkeypatch) == 0
    ledger = tmp_path / "state" / LEDGER_NAME
    assert scans(explained(ledger, "SELECT 1 FROM files WHERE size = ?")) == ["SCAN files"]
    assert scans(explained(ledger, "SELECT 1 FROM files WHERE book_id = ?")) == []
    assert scans(explained(ledger, f"UPDATE files SET rounds = 0 WHERE {FAILED}")) == []
    assert scans(explained(ledger, "UPDATE files SET rounds = 0 WHERE outcome = 'failed'")) == ["SCAN files"]
