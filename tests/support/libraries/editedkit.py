"""One ebook that somebody edits on the server, and further formats of its book."""

from pathlib import Path
from typing import Any

from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.servers.shelf import Shelf

FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "0.5",
}
TITLE = "Die Kunst des Lesens"


def library_of(tmp_path: Path, **more: object) -> Library:
    """One book with an EPUB."""
    library = Library(tmp_path / "library")
    # A test's own fields.
    library.add(Made(title=TITLE, files={"EPUB": epub(1)}, **more))  # type: ignore[arg-type]
    return library


def add_format(library: Library, kind: str) -> bytes:
    """A further format of the book; returns its bytes."""
    data = f"{kind} ".encode() * 40
    library.file(1, kind).write_bytes(data)
    library.sql(
        "INSERT INTO data (book, format, uncompressed_size, name) VALUES (1, ?, 9, 'file')",
        (kind,),
    )
    return data


def ebook(shelf: Shelf) -> dict[str, Any]:
    """The only ebook there is, as the server shows it."""
    with shelf.session() as session:
        [item] = session.get(f"{shelf.url}/api/ebooks", timeout=20).json()["items"]
        found: dict[str, Any] = session.get(
            f"{shelf.url}/api/ebooks/{item['id']}", timeout=20
        ).json()
        return found


def edit(shelf: Shelf, **changes: object) -> None:
    """What a librarian does."""
    with shelf.session() as session:
        now = ebook(shelf)
        answer = session.patch(
            f"{shelf.url}/api/ebooks/{now['id']}",
            json={"version_id": now["version_id"], **changes},
            timeout=20,
        ).json()
        assert "error" not in answer, answer
