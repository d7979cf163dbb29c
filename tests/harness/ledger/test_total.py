"""The total of a pass, and failed files that are tried again: over real ledgers, old
ones included."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migration.commands import retry
from migration.errors import WrongLedger
from migration.ledger import schema, totals
from migration.ledger.database import LedgerDatabase
from migration.model import BookId, FileId
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import FIXTURES
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.migration.statekit import State
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf


def old_ledger(path: Path, version: int) -> None:
    """One of an older version, with an open pass."""
    tables = (FIXTURES / "ledger_v2.sql").read_text("utf-8")
    if version == 1:
        tables, dropped = re.subn(
            r",\n    -- how many files the library listed.*\n    listed INTEGER\n",
            "\n",
            tables,
        )
        assert dropped == 1
    with closing(sqlite3.connect(path)) as db:
        db.executescript(tables)
        for older in range(2, version):
            for statement in schema.UPGRADES[older]:
                db.execute(statement)
        db.execute(
            "INSERT INTO passes (opened_at, highest_id, discovered) VALUES "
            "('2026-11-24T00:00:00+00:00', 9, 4)"
        )
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()


@pytest.mark.parametrize("version", sorted(schema.UPGRADES))
def test_a_ledger_of_an_older_version_is_read_and_made_one_of_this_version(
    tmp_path: Path, version: int
) -> None:
    """It has the columns of a new one then; its open pass gets its total from the next
    worker that joins."""
    path = tmp_path / LEDGER_NAME
    old_ledger(path, version)
    before = totals.read(path)
    assert before is not None
    assert (before.listed, before.total, before.counts.discovered) == (None, None, 4)
    for _ in range(2):
        LedgerDatabase(path).close()
    LedgerDatabase(tmp_path / "new.db").close()
    with (
        closing(sqlite3.connect(path)) as db,
        closing(sqlite3.connect(tmp_path / "new.db")) as new,
    ):
        assert db.execute("PRAGMA user_version").fetchone()[0] == schema.VERSION
        assert db.execute("SELECT discovered, listed FROM passes").fetchall() == [
            (4, None)
        ]
        for (table,) in new.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            columns = "SELECT name FROM pragma_table_info(?) ORDER BY name"
            assert (
                db.execute(columns, (table,)).fetchall()
                == new.execute(columns, (table,)).fetchall()
            )


def test_the_total_is_known_before_the_first_file_is_read(
    tmp_path: Path, workers: Workers, shelf: Shelf
) -> None:
    """Files, not books; it stays although the library grows meanwhile, and ends as what
    was found."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)), Made(files={"EPUB": epub(9), "TXT": b"some text"}))
    assert workers.run(library.root, shelf, "--open-pass")[0] == 0
    opened = totals.read(workers.state_dir / LEDGER_NAME)
    assert opened is not None
    assert (opened.total, opened.counts.discovered) == (5, 0)
    library.add(*epubs(range(20, 22)))
    assert workers.run(library.root, shelf, "--join-only")[0] == 0
    closed = totals.read(workers.state_dir / LEDGER_NAME)
    assert closed is not None
    assert (closed.listed, closed.total, closed.counts.discovered) == (5, 5, 5)


def test_files_of_an_open_pass_reopen_their_range(tmp_path: Path) -> None:
    """Counters, tallies and ranges in one transaction; a range that nobody failed in
    stays closed."""
    state = State(tmp_path)
    state.failed(4)
    state.sql("UPDATE passes SET discovered = 4, failed = 4")
    state.sql(
        "INSERT INTO tallies VALUES (1, 'failed', 'too big', 2), (1, 'failed', 'empty', 2)"
    )
    state.sql("INSERT INTO ranges VALUES (1, 1, 3, 'x', '2026-11-24T00:00:00+00:00')")
    state.sql("INSERT INTO ranges VALUES (1, 4, 4, 'x', '2026-11-24T00:00:00+00:00')")
    files = [
        FileId(BookId(1), "EPUB"),
        FileId(BookId(3), "EPUB"),
        FileId(BookId(9), "EPUB"),
    ]
    assert retry.retry(tmp_path, files) == 2
    assert retry.retry(tmp_path, files) == 0
    found = totals.read(tmp_path / LEDGER_NAME)
    assert found is not None
    assert (found.counts.failed, found.counts.pending, dict(found.failed)) == (
        2,
        2,
        {"empty": 2},
    )
    assert found.counts.balanced()
    with closing(sqlite3.connect(tmp_path / LEDGER_NAME)) as db:
        assert db.execute(
            "SELECT first_id, owner, closed_at IS NULL FROM ranges"
        ).fetchall() == [
            (1, None, 1),
            (4, "x", 0),
        ]
    assert retry.retry(tmp_path, None) == 2
    everything = totals.read(tmp_path / LEDGER_NAME)
    assert everything is not None
    assert (
        everything.counts.failed,
        everything.counts.pending,
        dict(everything.failed),
    ) == (0, 4, {})


@pytest.mark.parametrize(
    "arguments",
    [[], ["--all", "1:EPUB"], ["x"], ["1"], ["1:"], [":EPUB"], ["9" * 30 + ":EPUB"]],
    ids=str,
)
def test_wrong_usage_of_retry(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 2 and a sentence."""
    with pytest.raises(SystemExit) as ended:
        retry.main(["--state-dir", str(tmp_path), *arguments])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("reopen --help explains the options)")


def test_retry_without_a_ledger_makes_none(tmp_path: Path) -> None:
    """And says so."""
    with pytest.raises(WrongLedger, match="nothing was migrated"):
        retry.retry(tmp_path, None)
    assert list(tmp_path.iterdir()) == []
