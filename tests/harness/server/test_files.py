"""The embedded server and its data directory: rights, what a killed server leaves, a
database that goes away."""

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from bookshelf.storage.database import Database
from bookshelf.storage.file_watch import DatabaseGone
from bookshelf.storage.files import FileStore
from bookshelf.storage.housekeeping import (
    LEFT_BEHIND_AT_MOST,
    sweep_books,
    sweep_uploads,
)
from tests.support.servers.datadirkit import copied_over, deleted, other_database, put


@pytest.mark.parametrize(
    ("files", "new", "left"),
    [(3, False, 0), (LEFT_BEHIND_AT_MOST + 1, False, None), (3, True, None)],
)
def test_a_database_that_fits_its_files_no_more_costs_no_file(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    files: int,
    new: bool,
    left: int | None,
) -> None:
    """An older or an empty database: nothing is removed, and that is said."""
    there = [put(tmp_path, f"book {number}".encode()) for number in range(files)]
    database = Database(tmp_path / "bookshelf.db", permissive=False)
    assert database.new
    database.look(lambda db: sweep_books(db, FileStore(tmp_path), new=new))
    assert len([path for path in there if path.exists()]) == (
        files if left is None else left
    )
    assert ("nothing is removed" in caplog.text) == (left is None)
    close(database)


def close(database: Database) -> None:
    """Closes a database that no event loop uses."""
    asyncio.run(database.close())


def test_uploads_of_others_and_of_today_stay(tmp_path: Path) -> None:
    """Only folders named as this server names them, old or unfinished."""
    files = FileStore(tmp_path)
    names = {
        "tmp11111111": "x.epub",
        "tmp22222222": "x.epub",
        "tmp33333333": ".arriving",
        "others": "x.epub",
        "tmp4": ".x",
    }
    for name, file in names.items():
        (files.uploads / name).mkdir()
        (files.uploads / name / file).write_text("x")
    for name in ("tmp22222222", "others"):
        os.utime(files.uploads / name, (1, 1))
    assert sweep_uploads(files) == 2
    assert sorted(path.name for path in files.uploads.iterdir()) == [
        "others",
        "tmp11111111",
        "tmp4",
    ]


TAKEN_AWAY: dict[str, Callable[[Path], object]] = {
    "deleted": deleted,
    "replaced": lambda data_dir: other_database(data_dir).replace(
        data_dir / "bookshelf.db"
    ),
    "overwritten": copied_over,
    "emptied": lambda data_dir: os.truncate(data_dir / "bookshelf.db", 0),
    "log moved": lambda data_dir: (data_dir / "bookshelf.db-wal").rename(
        data_dir / "old"
    ),
    "directory moved": lambda data_dir: data_dir.rename(
        data_dir.with_name("elsewhere")
    ),
}


@pytest.mark.parametrize("how", TAKEN_AWAY)
def test_a_database_that_goes_away_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Before the next answer and the next write; it is said once, with what to do."""
    data_dir = tmp_path / "shelf"
    data_dir.mkdir()

    async def use() -> None:
        database = Database(data_dir / "bookshelf.db", permissive=False)
        await database.write(
            lambda db: db.execute("INSERT INTO genre (name) VALUES ('x')")
        )
        database.check()
        TAKEN_AWAY[how](data_dir)
        for _ in range(2):
            with pytest.raises(DatabaseGone):
                database.check()
            with pytest.raises(DatabaseGone):
                await database.write(
                    lambda db: db.execute("INSERT INTO genre (name) VALUES ('y')")
                )
        await database.close()

    asyncio.run(use())
    assert (
        caplog.text.count(
            "while the server was running: every answer is 503 from now on"
        )
        == 1
    )
    assert "run the migration with --recheck" in caplog.text


def test_what_the_server_itself_writes_is_no_alarm(tmp_path: Path) -> None:
    """The log is written back into the database from time to time, which changes its
    header; others may read it."""

    def write(number: int) -> Callable[[sqlite3.Connection], object]:
        name = f"{number}" + "x" * 100_000
        return lambda db: db.execute("INSERT INTO genre (name) VALUES (?)", (name,))

    async def use() -> int:
        database = Database(tmp_path / "x.db", permissive=False)
        headers = set()
        for number in range(60):
            await database.write(write(number))
            database.check()
            headers.add((tmp_path / "x.db").read_bytes()[:100])
            with closing(sqlite3.connect(tmp_path / "x.db")) as other:
                other.execute("SELECT COUNT(*) FROM genre").fetchone()
        database.check()
        await database.close()
        return len(headers)

    assert asyncio.run(use()) > 1


def test_a_write_into_a_deleted_database_is_not_acknowledged(tmp_path: Path) -> None:
    """Also when it goes away between the question and the disk."""

    async def use() -> None:
        database = Database(tmp_path / "x.db", permissive=False)

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO genre (name) VALUES ('x')")
            (tmp_path / "x.db").unlink()

        with pytest.raises(DatabaseGone):
            await database.write(work)
        assert database.gone
        with pytest.raises(DatabaseGone):
            await database.write(lambda db: db.execute("SELECT 1"))
        await database.close()

    asyncio.run(use())
