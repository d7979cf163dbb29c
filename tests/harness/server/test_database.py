"""The embedded server's database: writes that share a transaction, each of them whole
or not at all."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from bookshelf.errors import ApplicationError
from bookshelf.storage.database import UPLOADS_LOST_AT_MOST, Database


def add(name: str) -> Callable[[sqlite3.Connection], int]:
    """Adds a genre; returns its id."""
    return lambda db: int(
        db.execute("INSERT INTO genre (name) VALUES (?)", (name,)).lastrowid or 0
    )


def half_done(db: sqlite3.Connection) -> None:
    """Writes and then refuses."""
    add("Half")(db)
    raise ApplicationError("no")


def names(db: sqlite3.Connection) -> list[str]:
    """The genres added here."""
    rows = db.execute(
        "SELECT name FROM genre WHERE name LIKE 'T%' OR name = 'Half' ORDER BY name"
    )
    return [row[0] for row in rows if row[0] in ("Half", "T1", "T2", "T3", "T4")]


def with_database(path: Path, use: Callable[[Database], Any]) -> Any:
    """Opens it, uses it in an event loop, closes it."""

    async def run() -> Any:
        database = Database(path, permissive=False)
        try:
            return await use(database)
        finally:
            await database.close()

    return asyncio.run(run())


def test_writes_asked_for_together_share_a_commit_and_fail_alone(
    tmp_path: Path,
) -> None:
    """Four that succeed, one that refuses and one that breaks a rule of the table; two
    commits in all."""
    commits: list[str] = []

    async def use(database: Database) -> list[object]:
        # The connection is looked at to count what cannot be seen from outside: the
        # waits for the disk.
        database._writing.set_trace_callback(
            lambda text: commits.append(text) if text == "COMMIT" else None
        )
        works: list[Callable[[sqlite3.Connection], Any]] = [
            add("T1"),
            half_done,
            add("T2"),
            add("T1"),
            add("T3"),
            add("T4"),
        ]
        told: list[object] = await asyncio.gather(
            *(database.write(work) for work in works), return_exceptions=True
        )
        assert database.look(names) == ["T1", "T2", "T3", "T4"]
        return told

    told = with_database(tmp_path / "x.db", use)
    assert [type(one).__name__ for one in told] == [
        "int",
        "ApplicationError",
        "int",
        "IntegrityError",
        "int",
        "int",
    ]
    assert len(commits) <= 2
    assert with_database(tmp_path / "x.db", lambda database: database.read(names)) == [
        "T1",
        "T2",
        "T3",
        "T4",
    ]


def test_what_ends_the_transaction_is_told_to_everybody(tmp_path: Path) -> None:
    """Nothing of that transaction stays; the next one works."""

    def ends_all(db: sqlite3.Connection) -> None:
        db.execute("ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    async def use(database: Database) -> list[object]:
        works: list[Callable[[sqlite3.Connection], Any]] = [
            add("T1"),
            ends_all,
            add("T2"),
        ]
        told: list[object] = await asyncio.gather(
            *(database.write(work) for work in works), return_exceptions=True
        )
        await database.write(add("T3"))
        assert database.look(names) == ["T3"]
        return told

    told = with_database(tmp_path / "x.db", use)
    assert [type(one).__name__ for one in told] == ["OperationalError"] * 3


def test_whoever_gave_up_waiting_keeps_nobody_from_writing(tmp_path: Path) -> None:
    """A request whose client went away; the others are written."""

    async def use(database: Database) -> None:
        first = asyncio.ensure_future(database.write(add("T1")))
        second = asyncio.ensure_future(database.write(add("T2")))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert "T2" in database.look(names)

    with_database(tmp_path / "x.db", use)


def test_ids_of_uploads_never_come_back(tmp_path: Path) -> None:
    """An upload is not made to last; after a power cut its id must not be another
    upload's."""

    def upload(db: sqlite3.Connection) -> int:
        made = db.execute(
            "INSERT INTO upload (file, load_source, format_id, size, hash, meta, "
            "cover, created, modified, created_by)"
            " VALUES ('tmp1/x.epub', 'x.epub', 1, 1, 'h', '{}', 0, '', '', 1)"
        )
        return int(made.lastrowid or 0)

    async def use(database: Database) -> int:
        await database.write(
            lambda db: db.execute(
                "INSERT OR IGNORE INTO user VALUES (1, 'a', 'a@b', 'x', 'admin', 1)"
            )
        )
        return await database.write(upload, lasting=False)

    first = with_database(tmp_path / "x.db", use)
    assert with_database(tmp_path / "x.db", use) > first + UPLOADS_LOST_AT_MOST


def test_a_database_of_before_gets_what_came_later(tmp_path: Path) -> None:
    """With all that is in it; twice changes nothing."""
    path = tmp_path / "bookshelf.db"
    with_database(path, lambda database: database.write(add("T1")))
    with closing(sqlite3.connect(path)) as db:
        for table in ("bookshelf_item", "bookshelf", "ended_session"):
            db.execute(f"DROP TABLE {table}")
        db.commit()

    async def use(database: Database) -> tuple[list[str], int]:
        count = "SELECT COUNT(*) FROM bookshelf JOIN bookshelf_item, ended_session"
        found = database.look(lambda db: db.execute(count).fetchone()[0])
        return database.look(names), int(found)

    for _ in range(2):
        assert with_database(path, use) == (["T1"], 0)
