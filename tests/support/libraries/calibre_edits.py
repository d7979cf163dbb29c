"""Edits of a library as Calibre makes them: each sets the book's `last_modified`."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.libraries.librarykit import Library, link

_SECONDS = itertools.count(1)


def touch(library: Library, book_id: int) -> None:
    """A new `last_modified`, in Calibre's own form."""
    n = next(_SECONDS)
    library.sql(
        "UPDATE books SET last_modified = ? WHERE id = ?",
        (
            f"2027-01-01 {n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}+00:00",
            book_id,
        ),
    )


def set_title(library: Library, book_id: int, title: str) -> None:
    """The title."""
    library.sql("UPDATE books SET title = ? WHERE id = ?", (title, book_id))
    touch(library, book_id)


def edit_title(root: Path, book_id: int, title: str) -> None:
    """The title of a book of any library."""
    library = Library.__new__(Library)
    library.root = root
    set_title(library, book_id, title)


def set_names(
    library: Library,
    book_id: int,
    kind: str,
    values: Sequence[tuple[object, ...]],
) -> None:
    """Replaces authors (name, sort), tags, series, languages or ratings of a book."""
    columns = {
        "authors": ("author", ("name", "sort")),
        "tags": ("tag", ("name",)),
        "series": ("series", ("name",)),
        "languages": ("lang_code", ("lang_code",)),
        "ratings": ("rating", ("rating",)),
    }
    column, names = columns[kind]
    db = library.connect()
    with db:
        db.execute(f"DELETE FROM books_{kind}_link WHERE book = ?", (book_id,))
        for value in values:
            link(db, book_id, kind, column, names, value)
    db.close()
    touch(library, book_id)


def set_index(library: Library, book_id: int, index: float) -> None:
    """The series index."""
    library.sql("UPDATE books SET series_index = ? WHERE id = ?", (index, book_id))
    touch(library, book_id)


def set_cover(library: Library, book_id: int, picture: bytes | None) -> None:
    """Calibre's cover.jpg; None removes it."""
    path = library.file(book_id).parent / "cover.jpg"
    if picture is None:
        path.unlink(missing_ok=True)
    else:
        path.write_bytes(picture)
    library.sql(
        "UPDATE books SET has_cover = ? WHERE id = ?", (picture is not None, book_id)
    )
    touch(library, book_id)


def replace_file(
    library: Library, book_id: int, data: bytes, kind: str = "EPUB"
) -> None:
    """Other bytes for a format, as "embed metadata" writes them."""
    path = library.file(book_id, kind)
    path.unlink(missing_ok=True)
    path.write_bytes(data)
    touch(library, book_id)


def add_file(library: Library, book_id: int, data: bytes, kind: str) -> None:
    """One more format of a book."""
    first = library.file(book_id)
    first.with_suffix(f".{kind.lower()}").write_bytes(data)
    library.sql(
        "INSERT INTO data (book, format, uncompressed_size, name) VALUES (?, ?, ?, ?)",
        (book_id, kind, len(data), first.stem),
    )
    touch(library, book_id)


def remove_book(library: Library, book_id: int) -> None:
    """The book, its files and its links."""
    for path in library.file(book_id).parent.glob("*"):
        path.unlink()
    library.sql("DELETE FROM data WHERE book = ?", (book_id,))
    library.sql("DELETE FROM books WHERE id = ?", (book_id,))


def add_column(
    library: Library,
    label: str,
    datatype: str,
    name: str,
    values: Mapping[int, object],
) -> None:
    """A custom column as Calibre makes it; several values of a book are a tuple."""
    several = any(isinstance(value, tuple) for value in values.values())
    shared = datatype in ("text", "enumeration", "series")
    db = library.connect()
    with db:
        number = db.execute(
            "INSERT INTO custom_columns (label, name, datatype, mark_for_delete, "
            "editable, display, is_multiple, normalized) VALUES (?, ?, ?, 0, 1, '{}', "
            "?, ?)",
            (label, name, datatype, several, shared),
        ).lastrowid
        table, joins = f"custom_column_{number}", f"books_custom_column_{number}_link"
        if shared:
            db.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, value TEXT)")
            db.execute(
                f"CREATE TABLE {joins} (id INTEGER PRIMARY KEY, book INTEGER, "
                "value INTEGER, extra REAL)"
            )
        else:
            db.execute(
                f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, book INTEGER, value)"
            )
    db.close()
    for book_id, value in values.items():
        set_column(library, book_id, label, value)


def set_column(library: Library, book_id: int, label: str, value: object) -> None:
    """The value of a custom column; None removes it."""
    [(number, shared)] = library.sql(
        "SELECT id, normalized FROM custom_columns WHERE label = ?", (label,)
    )
    table, joins = f"custom_column_{number}", f"books_custom_column_{number}_link"
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    db = library.connect()
    with db:
        db.execute(
            f"DELETE FROM {joins if shared else table} WHERE book = ?", (book_id,)
        )
        for one in values:
            if not shared:
                db.execute(
                    f"INSERT INTO {table} (book, value) VALUES (?, ?)", (book_id, one)
                )
                continue
            known = db.execute(
                f"SELECT id FROM {table} WHERE value = ?", (one,)
            ).fetchone()
            value_id = (
                known[0]
                if known
                else db.execute(
                    f"INSERT INTO {table} (value) VALUES (?)", (one,)
                ).lastrowid
            )
            db.execute(
                f"INSERT INTO {joins} (book, value) VALUES (?, ?)", (book_id, value_id)
            )
    db.close()
    touch(library, book_id)
