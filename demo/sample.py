"""`python -m demo.sample LIBRARY FOLDER FIRST [WRONG]`: copies some books of a Calibre
library.

A candidate is tried on them before it meets the library itself. The library is only
read: rows of at most 200 books from id FIRST on are copied, and their files where they
are small; of a large one its beginning stands for it. Rows and bytes never leave this
machine, and the copy is deleted after the trial. With WRONG, ids with commas between
them, it is these books, and for what one book does to the next some before each."""

import shutil
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath

#: The most books; bytes of a file that is copied whole, and of all files together; bytes
#: that stand for a larger one.
BOOKS, WHOLE, ALL, BEGINNING = 200, 256 << 10, 24 << 20, 16 << 10
#: Seconds that Calibre may have the database locked.
BUSY_SECONDS = 10.0

#: What no worker reads, or what is nobody's business.
_LEFT_OUT = frozenset(
    (
        "annotations",
        "annotations_dirtied",
        "books_plugin_data",
        "conversion_options",
        "feeds",
        "last_read_positions",
        "metadata_dirtied",
        "preferences",
    )
)


def main() -> int:
    """Makes the copy; prints how many books are in it."""
    library, folder = Path(sys.argv[1]), Path(sys.argv[2])
    wrong = [int(text) for text in "".join(sys.argv[4:]).split(",") if text]
    sys.stdout.write(f"{sample(library, folder, int(sys.argv[3]), wrong=wrong)}\n")
    return 0


def sample(
    library: Path,
    folder: Path,
    first: int,
    most: int = BOOKS,
    wrong: Sequence[int] = (),
) -> int:
    """Copies rows and files; returns the number of books.

    Raises sqlite3.Error or OSError.
    """
    folder.mkdir(parents=True)
    # Read-only is what the URI says; ATTACH copies values with their types.
    user = f"{(library / 'metadata.db').absolute().as_uri()}?mode=ro"
    with closing(
        sqlite3.connect(
            f"{(folder / 'metadata.db').absolute().as_uri()}?mode=rwc",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
        )
    ) as db:
        db.text_factory = bytes
        db.execute("ATTACH ? AS calibre", (user,))
        db.execute("BEGIN")
        _copy_rows(db, _chosen(db, first, most, wrong))
        db.execute("COMMIT")
        files = list(_files(db))
        number = int(db.execute("SELECT COUNT(*) FROM main.books").fetchone()[0])
    left = ALL
    for book, path in files:
        left -= _copy_file(library / path, folder / path, book, left)
    return number


def _chosen(
    db: sqlite3.Connection, first: int, most: int, wrong: Sequence[int]
) -> list[int]:
    """Returns the ids of at most so many books."""
    if not wrong:
        return _ids(db, ">= ? ORDER BY id", first, most)
    chosen: set[int] = set()
    each = max(1, most // len(wrong))
    for book in wrong[:most]:
        chosen |= set(_ids(db, "<= ? ORDER BY id DESC", book, each))
    return sorted(chosen)


def _ids(db: sqlite3.Connection, which: str, book: int, most: int) -> list[int]:
    # `which` is one of the two above.
    sql = f"SELECT id FROM calibre.books WHERE id {which} LIMIT ?"  # noqa: S608
    return [int(row[0]) for row in db.execute(sql, (book, most))]


def _copy_rows(db: sqlite3.Connection, chosen: Sequence[int]) -> None:
    """Copies the chosen books and whatever rows are about them."""
    tables = {
        name.decode(): sql.decode()
        for name, sql in db.execute(
            "SELECT name, sql FROM calibre.sqlite_master WHERE type = 'table' AND "
            "name NOT LIKE 'sqlite_%' AND name NOT LIKE '%_fts%' AND sql NOT LIKE "
            "'CREATE VIRTUAL%'"
        )
        if name.decode() not in _LEFT_OUT
    }
    for sql in tables.values():
        db.execute(sql)
    db.executemany(
        "INSERT INTO main.books SELECT * FROM calibre.books WHERE id = ?",
        [(book,) for book in chosen],
    )
    links = {}
    for name in tables:
        columns = _columns(db, name)
        if "book" in columns:
            _copy(db, name, "book IN (SELECT id FROM main.books)")
        elif name in ("library_id", "custom_columns"):
            _copy(db, name, "1")
        if name.startswith("books_") and name.endswith("_link"):
            others = [one for one in columns if one not in ("id", "book", "extra")]
            links[name] = (name[len("books_") : -len("_link")], others[0])
    for link, (table, column) in links.items():
        if table in tables:
            known = f'SELECT "{column}" FROM main."{link}"'  # noqa: S608 - as above
            _copy(db, table, f"id IN ({known})")


def _copy(db: sqlite3.Connection, table: str, which: str) -> None:
    # Names of tables are Calibre's own, from its schema.
    db.execute(
        f'INSERT OR IGNORE INTO main."{table}" SELECT * FROM calibre."{table}" WHERE {which}'  # noqa: S608
    )


def _columns(db: sqlite3.Connection, table: str) -> list[str]:
    rows = db.execute(f'PRAGMA calibre.table_info("{table}")').fetchall()
    return [row[1].decode() for row in rows]


def _files(db: sqlite3.Connection) -> Iterator[tuple[str, PurePosixPath]]:
    """Yields the files of the chosen books, and their covers, by paths below."""
    for book, folder, name, form in db.execute(
        "SELECT b.id, b.path, d.name, d.format FROM main.books b JOIN main.data d ON "
        "d.book = b.id UNION ALL SELECT id, path, CAST('cover' AS BLOB), CAST('jpg' AS "
        "BLOB) FROM main.books ORDER BY 1"
    ):
        place = "/".join(
            (_text(folder), f"{_text(name)}.{_text(form).lower()}")
        ).lstrip("/")
        path = PurePosixPath(place)
        if ".." not in path.parts:
            yield f"{book}.{_text(form)}", path


def _text(value: object) -> str:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else ""


def _copy_file(source: Path, target: Path, mark: str, left: int) -> int:
    """Copies a file, or its beginning; returns how many bytes that were.

    A file that is not there is not there in the copy either.
    """
    try:
        if source.is_symlink() or not source.is_file():
            return 0
        size = source.stat().st_size
        target.parent.mkdir(parents=True, exist_ok=True)
        if size <= min(WHOLE, left):
            shutil.copy2(source, target)
            return size
        if target.name == "cover.jpg":
            return 0
        with source.open("rb") as opened:
            data = opened.read(BEGINNING if left > BEGINNING else 64)
        # No two of them are the same file for the server.
        target.write_bytes(data + f"\n{mark}\n".encode())
        return len(data)
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    sys.exit(main())
