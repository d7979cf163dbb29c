"""What is seen of a real library's files, and heard of changes to them."""

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from auto_monitor.model import LibrarySeen
from auto_monitor.observe.library import LibraryFiles, not_whole, seen_in
from tests.support.libraries.calibreside import locked
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.workerkit import wait_for

heard = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two books."""
    made = Library(tmp_path / "library")
    made.add(*epubs(range(2)))
    return made


@pytest.fixture
def files(library: Library) -> Iterator[LibraryFiles]:
    """Listening."""
    made = LibraryFiles(library.root, seconds=20)
    made.look()
    yield made
    made.close()


def trouble(library: Library) -> str:
    """Why it cannot be used."""
    return seen_in(library.root).trouble


def replace_it(library: Library) -> None:
    """As a tool that synchronises: a copy, same size and time, moved over it."""
    path = library.root / "metadata.db"
    shutil.copy2(path, library.root / "metadata.db.part")
    (library.root / "metadata.db.part").replace(path)


def touch(library: Library) -> None:
    """Another time, nothing else."""
    path = library.root / "metadata.db"
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


CHANGES: list[tuple[str, Callable[[Library], object]]] = [
    ("a book more", lambda library: library.add(*epubs([7]))),
    ("an edit", lambda library: library.sql("UPDATE books SET title = 'X'")),
    ("replaced by a copy", replace_it),
    ("another time", touch),
]


@pytest.mark.parametrize(
    "change", [row[1] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_every_change_gives_another_mark(
    library: Library, files: LibraryFiles, change: Callable[[Library], object]
) -> None:
    """And none gives the same."""
    before = files.look()
    assert before.mark
    assert files.look() == before
    change(library)
    assert files.look() != before


@heard
@pytest.mark.parametrize(
    "change", [row[1] for row in CHANGES], ids=[row[0] for row in CHANGES]
)
def test_every_change_on_this_machine_is_heard_once(
    library: Library, files: LibraryFiles, change: Callable[[Library], object]
) -> None:
    """At once; a book's own files, and readers, are none."""
    (library.root / "Author" / "new.txt").write_text("x")
    (library.root / "metadata_db_prefs_backup.json").write_text("{}")
    with closing(library.connect()) as db:
        db.execute("SELECT * FROM books").fetchall()
    assert not files.stirred()
    change(library)
    assert files.stirred()
    assert not files.stirred()


def test_without_events_a_look_is_enough(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another system, or for a writer on another machine."""
    monkeypatch.setattr(sys, "platform", "darwin")
    files = LibraryFiles(library.root, seconds=20)
    before = files.look()
    library.sql("UPDATE books SET title = 'X'")
    assert not files.stirred()
    assert files.look().mark not in ("", before.mark)
    files.close()


@heard
def test_a_library_that_is_replaced_as_a_whole_is_heard_again(
    library: Library, files: LibraryFiles, tmp_path: Path
) -> None:
    """The folder is moved away, and another one takes its place: as after a mount."""
    library.root.rename(tmp_path / "old")
    assert files.stirred()
    assert files.look() == LibrarySeen(trouble="metadata.db is not there")
    assert not files.stirred()
    shutil.copytree(tmp_path / "old", library.root)
    assert files.look().mark
    library.sql("UPDATE books SET title = 'X'")
    assert files.stirred()


def test_a_library_that_never_was_there_is_no_error(tmp_path: Path) -> None:
    """It is only looked at."""
    files = LibraryFiles(tmp_path / "nowhere", seconds=20)
    assert files.look().trouble == "metadata.db is not there"
    assert not files.stirred()
    files.close()


def test_a_file_that_is_being_copied_is_not_whole(library: Library) -> None:
    """Whatever part of it has arrived."""
    path = library.root / "metadata.db"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert trouble(library) == (
        f"metadata.db is not whole: {len(whole) - 1} of {len(whole)} bytes"
    )
    for part in (whole[:99], b"", b"x" * len(whole)):
        path.write_bytes(part)
        assert trouble(library) == "metadata.db is not a database, or not copied yet"
    path.write_bytes(whole)
    assert trouble(library) == ""
    path.unlink()
    assert trouble(library) == "metadata.db is not there"
    path.mkdir()
    assert trouble(library).startswith("metadata.db cannot be read: ")


def test_a_file_of_an_old_sqlite_may_have_any_size() -> None:
    """It leaves the number of pages, which may be wrong, unmarked."""
    head = bytearray(100)
    head[:16] = b"SQLite format 3\0"
    head[16:18], head[28:32] = (4096).to_bytes(2, "big"), (9).to_bytes(4, "big")
    assert "is not whole: 4096 of 36864 bytes" in not_whole(bytes(head), 4096)
    head[16:18] = (1).to_bytes(2, "big")
    assert "is not whole: 4096 of 589824 bytes" in not_whole(bytes(head), 4096)
    head[24:28] = (5).to_bytes(4, "big")
    assert not_whole(bytes(head), 4096) == ""


def test_the_files_beside_it_count_unless_they_are_empty(library: Library) -> None:
    """A reader may have made an empty one; in any other there are changes, or there
    is a crash, which the worker understands."""
    before = seen_in(library.root)
    (library.root / "metadata.db-wal").touch()
    assert seen_in(library.root) == before
    (library.root / "metadata.db-journal").write_bytes(b"x")
    beside = seen_in(library.root)
    assert beside not in (before, LibrarySeen())
    path = library.root / "metadata.db"
    path.write_bytes(path.read_bytes()[:-1])
    assert trouble(library) == ""


def test_a_look_neither_waits_for_calibre_nor_stops_it(library: Library) -> None:
    """While it has the library locked; and its lock is still its own afterwards."""
    with locked(library):
        assert seen_in(library.root).trouble == ""
        with closing(library.connect()) as other:
            other.execute("PRAGMA busy_timeout = 0")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("SELECT * FROM books").fetchall()
    library.sql("UPDATE books SET title = 'X'")


def test_a_dead_mount_is_trouble_and_hangs_nobody(tmp_path: Path) -> None:
    """Opening a pipe that nobody writes blocks as a dead mount does."""
    os.mkfifo(tmp_path / "metadata.db")
    files = LibraryFiles(tmp_path, seconds=0.01)
    dead = LibrarySeen(trouble="no answer within 0.01 s")
    assert [files.look(), files.look()] == [dead, dead]
    pipe = (tmp_path / "metadata.db").rename(tmp_path / "pipe")
    (tmp_path / "metadata.db").write_bytes(b"")
    with pipe.open("wb"):
        pass
    wait_for(lambda: files.look() != dead)
    files.close()
