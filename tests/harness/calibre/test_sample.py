"""The copy of some of a user's books, on which a code fix is tried first."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from demo import sample as copier
from demo.sample import sample
from migration.calibre.library import CalibreLibrary
from tests.support.environment import PROJECT
from tests.support.libraries.librarykit import Library, epubs

DEMO = PROJECT / "demo" / "library"


def test_a_worker_reads_the_copy_as_the_library(tmp_path: Path) -> None:
    """Every book from the first one on, with people, series, tags and files."""
    with closing(sqlite3.connect(f"file:{DEMO}/metadata.db?mode=ro", uri=True)) as db:
        ids = [row[0] for row in db.execute("SELECT id FROM books ORDER BY id")]
    made = sample(DEMO, tmp_path / "copy", ids[3], 10)
    assert made == 10
    library, copy = (
        CalibreLibrary(DEMO, tmp_path / "a"),
        CalibreLibrary(tmp_path / "copy", tmp_path / "b"),
    )
    try:
        first, last = ids[3], ids[12]
        assert copy.read_books(1, ids[-1]) == library.read_books(first, last)
        names = [file.id for file in library.read_files(first, last)]
        assert [file.id for file in copy.read_files(1, ids[-1])] == names
    finally:
        library.close()
        copy.close()


def test_a_large_file_is_only_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more than so many bytes are copied."""
    monkeypatch.setattr(copier, "WHOLE", 100)
    monkeypatch.setattr(copier, "BEGINNING", 10)
    Library(tmp_path / "library").add(*epubs(range(2)))
    assert sample(tmp_path / "library", tmp_path / "copy", 1) == 2
    files = sorted((tmp_path / "copy").rglob("*.epub"))
    assert [path.read_bytes()[:4] for path in files] == [b"PK\x03\x04"] * 2
    assert len({path.read_bytes() for path in files}) == 2
    assert {path.stat().st_size < 40 for path in files} == {True}


def test_what_is_outside_the_library_or_missing_is_not_copied(tmp_path: Path) -> None:
    """The rows are, and the library is not touched."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)))
    (tmp_path / "secret.epub").write_text("x")
    database = tmp_path / "library" / "metadata.db"
    with closing(sqlite3.connect(database)) as db, db:
        db.executescript(
            "DROP TRIGGER IF EXISTS books_update_trg; UPDATE data SET name = 'secret' "
            "WHERE book = 1; UPDATE books SET path = '..' WHERE id = 1"
        )
    next((tmp_path / "library").rglob("*2*/*.epub"), Path()).unlink(missing_ok=True)
    before = database.read_bytes()
    assert sample(tmp_path / "library", tmp_path / "copy", 1) == 3
    assert not list(tmp_path.glob("copy/**/secret*"))
    assert not list((tmp_path / "copy").parent.glob("secret.epub.*"))
    assert database.read_bytes() == before


def test_without_a_database_there_is_no_copy(tmp_path: Path) -> None:
    """It is said."""
    with pytest.raises(sqlite3.Error):
        sample(tmp_path, tmp_path / "copy", 1)
