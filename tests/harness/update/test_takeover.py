"""A ledger of an earlier version does not know what was sent: every book is compared
once with the server."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migration.state_files.names import LEDGER_NAME
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library
from tests.support.libraries.updatekit import EDITS, FAST, Server, library_of
from tests.support.migration.workerkit import counts_of, lines_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

#: Long before the books of these tests were made.
LONG_AGO = "2001-01-01T00:00:00+00:00"


def migrated_by_an_earlier_version(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, *, modified_since: bool
) -> tuple[Library, Server]:
    """A migrated book of whose values the ledger has nothing.

    `modified_since`: its last edit in Calibre is after the first pass.
    """
    library = library_of(tmp_path / "library")
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    with closing(sqlite3.connect(workers.state_dir / LEDGER_NAME)) as db, db:
        for table in ("carried", "standing", "made"):
            db.execute(f"DELETE FROM {table}")
        db.execute("UPDATE files SET modified = NULL")
        db.execute("DELETE FROM meta WHERE key = 'note:carried_with'")
        if modified_since:
            db.execute("UPDATE passes SET opened_at = ?", (LONG_AGO,))
    if not modified_since:
        library.sql("UPDATE books SET last_modified = '2000-01-01 00:00:00+00:00'")
    return library, Server(shelf.url, shelf.session())


def test_a_book_that_is_the_same_on_both_sides_is_only_recorded(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Nothing is sent, nothing is said; a later edit is an ordinary one."""
    library, server = migrated_by_an_earlier_version(
        tmp_path, shelf, workers, modified_since=True
    )
    # Its cover is older than the first pass; its text may be of any time.
    os.utime(library.file(1).with_name("cover.jpg"), (0, 0))
    version = server.ebooks()[0]["version_id"]
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert server.ebooks()[0]["version_id"] == version
    assert counts_of(workers).duplicate == 1
    assert not any("changed on" in line for line in lines_of(workers))
    EDITS["title"].ours(library)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert server.ebooks()[0]["title"] == "Ours"


def test_what_people_changed_on_the_server_stays(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Calibre has not modified the book since the first pass: its values are the base."""
    library, server = migrated_by_an_earlier_version(
        tmp_path, shelf, workers, modified_since=False
    )
    EDITS["title"].theirs(server, server.ebooks()[0])
    assert workers.run(library.root, shelf, "--prefer", "calibre", **FAST)[0] == 0
    assert server.ebooks()[0]["title"] == "Theirs"
    assert any(
        "title was changed on the server only" in one for one in lines_of(workers)
    )
    EDITS["series_index"].ours(library)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert server.ebooks()[0]["series_index"] == 5


@pytest.mark.parametrize(
    ("prefer", "title"), [("server", "Theirs"), ("calibre", "Ours")]
)
def test_a_book_that_calibre_modified_since_is_a_conflict_once(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, prefer: str, title: str
) -> None:
    library, server = migrated_by_an_earlier_version(
        tmp_path, shelf, workers, modified_since=True
    )
    EDITS["title"].theirs(server, server.ebooks()[0])
    EDITS["title"].ours(library)
    for _ in range(2):
        assert workers.run(library.root, shelf, "--prefer", prefer, **FAST)[0] == 0
        assert server.ebooks()[0]["title"] == title
    said = [
        line.partition(": ")[2].partition(" ")[0]
        for line in lines_of(workers)
        if "changed on both sides" in line
    ]
    # The cover was written after the first pass too, and what the server made of a
    # picture does not tell which one it was.
    assert sorted(said) == ["cover", "title"]


def test_the_comparison_is_throttled(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The limit is asked before each book of which nothing is recorded, and only then."""
    library, _server = migrated_by_an_earlier_version(
        tmp_path, shelf, workers, modified_since=False
    )
    # The first book passes at once; a book that is known waits for nothing.
    slow = {**FAST, "COMPARE_PER_MIN": "0.001"}
    assert workers.run(library.root, shelf, **slow)[0] == 0
    calibre.touch(library, 1)
    assert workers.run(library.root, shelf, **slow)[0] == 0
