"""The data directory of a new embedded server whose first user is there already, with a
password that is quickly checked."""

import asyncio
import sqlite3
import tempfile
from functools import cache
from pathlib import Path

import argon2


def seed(
    data_dir: Path, name: str, password: str, *, users: tuple[str, ...] = ()
) -> None:
    """Puts the database into a data directory that is new; leaves any other alone.

    `users` have the same password, and the role user only.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        return
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = data_dir / "bookshelf.db"
    database.touch(mode=0o600)
    database.write_bytes(_database(name, password, users))


@cache
def _database(name: str, password: str, users: tuple[str, ...]) -> bytes:
    # Not for every process of the tests: only some start servers.
    from bookshelf.storage.database import Database

    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    hashed = weak.hash(password)
    rows = [
        (user, f"{user}@localhost", hashed, "admin" if user == name else "user")
        for user in (name, *users)
    ]

    def insert(db: sqlite3.Connection) -> None:
        db.executemany(
            "INSERT INTO user (user_name, email, password, role) VALUES (?, ?, ?, ?)",
            rows,
        )

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bookshelf.db"
        database = Database(path, permissive=False)
        database.write_now(insert)
        asyncio.run(database.close())
        return path.read_bytes()
