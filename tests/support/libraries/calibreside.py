"""What Calibre does to a library beside a worker: renames, removes, restores, locks."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.support.libraries.librarykit import Library
from tests.support.servers.shelf import Shelf


def rename(book_id: int, new: str) -> Callable[[Library], None]:
    """What Calibre does when somebody corrects a title: the folder moves, then the row
    says so."""

    def change(library: Library) -> None:
        [(old,)] = library.sql("SELECT path FROM books WHERE id = ?", (book_id,))
        (library.root / str(old)).rename(library.root / "Author" / new)
        library.sql(
            "UPDATE books SET path = ? WHERE id = ?", (f"Author/{new}", book_id)
        )

    return change


def remove_format(book_id: int, kind: str) -> Callable[[Library], None]:
    """What Calibre does when somebody removes one format of a book."""

    def change(library: Library) -> None:
        library.file(book_id, kind).unlink()
        library.sql("DELETE FROM data WHERE book = ? AND format = ?", (book_id, kind))

    return change


# -- a library that Calibre restored ---------------------------------------------------


def restored(
    library: Library, uuid: str = "11111111-2222-4333-8444-555555555555"
) -> None:
    """What Calibre's "Restore database" comes to: the same books, a new id of the
    library."""
    library.sql("UPDATE library_id SET uuid = ?", (uuid,))


# -- a library that Calibre has locked -------------------------------------------------


@contextmanager
def locked(library: Library) -> Iterator[None]:
    """Calibre is at work on it."""
    with closing(library.connect()) as calibre:
        calibre.isolation_level = None
        calibre.execute("BEGIN EXCLUSIVE")
        yield
        calibre.execute("ROLLBACK")


#: A worker that waits for its library has not asked for its server yet.
NOWHERE = Shelf("http://127.0.0.1:9", Path("nowhere"), None)
