"""Edits of a library as Calibre makes them: each sets the book's `last_modified`."""

import itertools
from collections.abc import Sequence

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


def remove_book(library: Library, book_id: int) -> None:
    """The book, its files and its links."""
    for path in library.file(book_id).parent.glob("*"):
        path.unlink()
    library.sql("DELETE FROM data WHERE book = ?", (book_id,))
    library.sql("DELETE FROM books WHERE id = ?", (book_id,))
