"""A newer version goes on where an older one was killed, in the middle of a pass."""

import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from migration.commands import export_map, failures, retry
from migration.errors import LedgerCorrupt
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import FIXTURES
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workers import Workers
from tests.support.network.proxy import Decision, Do, Proxy
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1",
}


class Killer:
    """Kills a worker with a request on its way, which the server carries out all the
    same."""

    def __init__(self, request: str) -> None:
        self.request = request
        self.seen = 0
        self.worker: subprocess.Popen[str] | None = None

    def decide(self, method: str, path: str) -> Decision:
        """At the second request of the kind."""
        self.seen += f"{method} {path}".endswith(self.request)
        if self.seen == 2 and self.worker is not None and self.worker.poll() is None:
            os.kill(self.worker.pid, signal.SIGKILL)
            self.worker.wait(10)
        return Do.PASS


@pytest.fixture(params=["POST /api/ebooks", "/add-upload"], ids=["create", "attach"])
def killer(
    request: pytest.FixtureRequest, shelf: Shelf
) -> Iterator[tuple[Killer, Shelf]]:
    """In front of the server."""
    made = Killer(str(request.param))
    proxy = Proxy(shelf.url, made.decide)
    yield made, Shelf(proxy.url, shelf.data_dir, None)
    proxy.stop()


def as_version_2(path: Path) -> None:
    """Puts a ledger of version 2 in its place: that version's tables, and of each row
    what they have room for.

    Times that are measured from were those of the wall clock then.
    """
    old = path.with_name("old.db")
    with closing(sqlite3.connect(old)) as db:
        db.executescript((FIXTURES / "ledger_v2.sql").read_text("utf-8"))
        tables = [
            row[0]
            for row in db.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).fetchall()
        ]
        db.execute("ATTACH ? AS new", (str(path),))
        for table in tables:
            columns = ", ".join(
                row[0]
                for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))
            )
            db.execute(
                f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM new.{table}"
            )
        db.execute(
            "DELETE FROM main.meta WHERE key NOT IN ('library', 'server', 'user')"
        )
        for table, column in (("books", "intended_at"), ("claims", "since")):
            db.execute(
                f"UPDATE main.{table} SET {column} = "
                f"'2026-11-24T00:00:00.123456+00:00' WHERE {column} IS NOT NULL"
            )
        db.execute("PRAGMA main.user_version = 2")
        db.commit()
        db.execute("DETACH new")
    for kind in ("-wal", "-shm"):
        path.with_name(path.name + kind).unlink(missing_ok=True)
    old.replace(path)


def test_the_new_version_goes_on_in_the_middle_of_a_pass(
    tmp_path: Path, workers: Workers, killer: tuple[Killer, Shelf], shelf: Shelf
) -> None:
    """With books that are not finished and a request whose answer is lost: nothing
    twice, nothing lost, proved.

    What only reads the ledger reads it before that as well.
    """
    library = Library(tmp_path / "library")
    library.add(
        *epubs(range(4)),
        Made(title="Two formats", files={"EPUB": epub(9), "TXT": b"words"}),
    )
    kill, behind = killer
    kill.worker = workers.start(library.root, behind, "--parallel-uploads", "1", **FAST)
    assert kill.worker.wait(60) == -signal.SIGKILL
    ledger = workers.state_dir / LEDGER_NAME
    as_version_2(ledger)
    with closing(sqlite3.connect(ledger)) as db:
        assert (
            db.execute(
                "SELECT COUNT(*) FROM books WHERE intention IS NOT NULL"
            ).fetchone()[0]
            >= 1
        )
        assert db.execute("SELECT closed_at, pending > 0 FROM passes").fetchall() == [
            (None, 1)
        ]
    assert export_map.export_map(ledger, tmp_path / "map.csv") == 1
    assert failures.noticed(ledger, 1, 10) == []
    code, said = workers.run(library.root, behind, **FAST)
    truth = look(shelf.data_dir)
    files = [path.read_bytes() for path in library.root.rglob("file.*")]
    assert (code, truth.ebooks, troubles(truth, files)) == (0, 5, []), said
    assert "Pass 1 closed: discovered 6 = " in said
    assert "(proved row by row)" in said
    assert workers.run(library.root, behind, **FAST)[0] == 0
    assert look(shelf.data_dir) == truth


def test_a_map_is_not_lost_to_a_damaged_ledger(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither command that reads it ends with a traceback; the file that was there
    stays, and the status is 9."""
    ledger, target = tmp_path / LEDGER_NAME, tmp_path / "map.csv"
    ledger.write_bytes(b"no database" * 500)
    target.write_text("an earlier map")
    with pytest.raises(LedgerCorrupt, match="is damaged"):
        export_map.export_map(ledger, target)
    assert target.read_text() == "an earlier map"
    assert retry.main(["--state-dir", str(tmp_path), "--all"]) == 9
    assert "is damaged" in capsys.readouterr().err
