"""What happens to the data directory of an embedded server."""

import hashlib
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

# -- what is left of a killed server ---------------------------------------------------


def put(data_dir: Path, data: bytes, extension: str = "epub") -> Path:
    """A book file without a row."""
    sha1 = hashlib.sha1(data).hexdigest()
    path = data_dir / "books" / sha1[:2] / f"{sha1}.{extension}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# -- a database that goes away ---------------------------------------------------------


def other_database(data_dir: Path) -> Path:
    """A healthy one, not in use."""
    path = data_dir.parent / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE genre (id INTEGER PRIMARY KEY, name TEXT)")
    return path


def deleted(data_dir: Path) -> None:
    """With what is beside it."""
    for path in data_dir.glob("bookshelf.db*"):
        path.unlink()


def copied_over(data_dir: Path) -> None:
    """A backup is copied into the file, as `cp` does it."""
    shutil.copyfile(other_database(data_dir), data_dir / "bookshelf.db")
