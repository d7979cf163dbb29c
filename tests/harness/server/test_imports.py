"""Many books in one request: what the embedded server makes of them, and only once."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from bookshelf.storage import imports
from bookshelf.storage.database import Database
from bookshelf.storage.files import FileStore
from tests.support.libraries.librarykit import epub
from tests.support.servers.inprocess import LocalShelf
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, client, jpeg

PATH = "/api/calibre/books"


@pytest.fixture
def server(shelf: Shelf) -> Iterator[Server]:
    """Somebody logged in."""
    made = client(shelf)
    yield made
    made.http.close()


def book(
    server: Server,
    number: int,
    *files: bytes,
    cover: bytes | None = None,
    **fields: Any,
) -> tuple[dict[str, Any], list[bytes]]:
    """A book as a batch has it, and its bytes; the first file is an EPUB."""
    formats = ("epub", "pdf", "txt")
    asked = {
        "book": number,
        "ebook": {
            "title": f"Book {number}",
            "language": {"id": server.language_id()},
            "authors": [{"last_name": "Doe", "first_name": "Jane"}],
            **fields,
        },
        "rating": 80,
        "calibre": {"comments": "<p>About</p>", "sort": "B"},
        "cover": None if cover is None else len(cover),
        "files": [
            {"format": form, "size": len(data), "sha1": sha1(data)}
            for form, data in zip(formats, files, strict=False)
        ],
    }
    return asked, ([] if cover is None else [cover]) + list(files)


def sha1(data: bytes) -> str:
    """The name of bytes."""
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def body(
    *books: tuple[dict[str, Any], list[bytes]], library: str = "1a2b3c4d"
) -> bytes:
    """The body of a request."""
    head = json.dumps({"library": library, "books": [asked for asked, _ in books]})
    parts = [part for _, data in books for part in data]
    return b"".join([len(head).to_bytes(8, "big"), head.encode(), *parts])


def post(server: Server, data: bytes) -> requests.Response:
    """Sends a batch."""
    return server.http.post(
        server.url + PATH,
        data=data,
        timeout=30,
    )


def answers(server: Server, *books: tuple[dict[str, Any], list[bytes]]) -> list[Any]:
    """What the server says of each book."""
    answer = post(server, body(*books))
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["books"]
    return found


def test_a_batch_is_made_completely(server: Server) -> None:
    """Titles, files, covers, ratings, and what only this server has a place for."""
    one = book(server, 1, epub(1), b"a PDF", cover=jpeg("red"))
    two = book(server, 2, epub(2, cover=jpeg("blue")))
    first, second = answers(server, one, two)
    for made, (asked, data) in ((first, one), (second, two)):
        assert made["made"] is True
        ebook = server.call("GET", f"/api/ebooks/{made['id']}").json()
        assert ebook == made["ebook"]
        assert ebook["title"] == asked["ebook"]["title"]
        assert (ebook["my_rating"], ebook["rating_count"]) == (80, 1)
        for number, content in zip(
            made["sources"], data[-len(made["sources"]) :], strict=True
        ):
            assert server.call("GET", f"/api/download/{number}").content == content
        cover = server.call("GET", f"/api/ebooks/{made['id']}/cover").content
        assert sha1(cover) == made["cover_sha1"]
        fields = server.call("GET", f"/api/ebooks/{made['id']}/calibre").json()
        assert fields["comments"] == "About"
    assert first["ebook"]["authors"] == second["ebook"]["authors"]
    # What was made since has another id than those that were reserved.
    assert server.ebook() > second["id"]


def test_a_batch_that_comes_twice_is_answered_as_before(server: Server) -> None:
    """The same receipts, also book by book; nothing is made again."""
    books = [book(server, number, epub(number)) for number in (1, 2)]
    before = answers(server, *books)
    after = answers(server, *books)
    assert [one["made"] for one in after] == [False, False]
    kept = ("id", "sources", "ebook", "cover_sha1")
    assert [[one[key] for key in kept] for one in after] == [
        [one[key] for key in kept] for one in before
    ]
    assert server.call("GET", "/api/ebooks").json()["total"] == 2
    asked = server.call("GET", f"{PATH}/1a2b3c4d/2").json()
    assert (asked["id"], asked["sources"]) == (after[1]["id"], after[1]["sources"])
    assert asked["files"] == books[1][0]["files"]
    for other in ("1a2b3c4d/3", "00000000/2"):
        assert server.call("GET", f"{PATH}/{other}").status_code == 404


def test_a_book_that_is_deleted_may_come_again(server: Server) -> None:
    """Where it is from is forgotten with its files."""
    one = book(server, 1, epub(1))
    one[0]["rating"] = None
    (made,) = answers(server, one)
    server.call("DELETE", f"/api/ebooks/{made['id']}")
    assert server.call("GET", f"{PATH}/1a2b3c4d/1").status_code == 404
    (again,) = answers(server, one)
    assert again["made"] is True
    assert again["id"] > made["id"]


REFUSED: dict[str, Callable[[dict[str, Any]], object]] = {
    "Invalid data": lambda asked: asked["ebook"].update(title="t" * 300),
    "unique constraint": lambda asked: asked["ebook"].update(genres=[{"id": 1}] * 2),
    "null value in column": lambda asked: asked["ebook"].update(language={"id": 9999}),
    "unsupported file type": lambda asked: asked["files"][0].update(format="exe"),
    "Other bytes": lambda asked: asked["files"][0].update(sha1="0" * 40),
    "Invalid rating": lambda asked: asked.update(rating=101),
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_book_is_refused_alone(server: Server, shelf: Shelf, why: str) -> None:
    """Nothing of it is left; the others of its batch are made."""
    one, two = book(server, 1, epub(3)), book(server, 2, epub(4))
    REFUSED[why](one[0])
    first, second = answers(server, one, two)
    assert why in first["refused"]
    assert second["made"] is True
    assert server.call("GET", "/api/ebooks").json()["total"] == 1
    files = [path.stem for path in shelf.data_dir.glob("books/*/*")]
    assert files == [two[0]["files"][0]["sha1"]]
    assert list(shelf.data_dir.glob("covers/*")) == []


def test_what_somebody_has_uploaded_is_refused(server: Server) -> None:
    """Also a second book of the same bytes in one batch, and other files of a book
    that is there."""
    data = epub(5)
    server.with_file(data)
    same = epub(6)
    first, second, third = answers(
        server,
        book(server, 1, data),
        book(server, 2, same),
        book(server, 3, same),
    )
    assert "already exists" in first["refused"]
    assert second["made"] is True
    assert "already exists" in third["refused"]
    (other,) = answers(server, book(server, 2, epub(7)))
    assert "Other files" in other["refused"]


def test_a_cover_that_cannot_be_drawn_is_refused(server: Server) -> None:
    """The book with it: its own cover may be inside the file."""
    (one,) = answers(server, book(server, 1, epub(3), cover=jpeg("red")[:300]))
    assert "cover" in one["refused"]
    assert server.call("GET", "/api/ebooks").json()["total"] == 0


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "short": lambda data: data[:-1],
    "long": lambda data: data + b"x",
    "no JSON": lambda data: data[:8] + b"x" * (len(data) - 8),
    "a length of nothing": lambda data: b"\xff" * 8 + data[8:],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_body_leaves_nothing(server: Server, shelf: Shelf, how: str) -> None:
    """HTTP 400, and not a file."""
    data = BROKEN[how](body(book(server, 1, epub(3))))
    assert post(server, data).status_code == 400
    assert server.call("GET", "/api/ebooks").json()["total"] == 0
    assert list(shelf.data_dir.glob("books/*/*")) == []


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"library": "1a2b3c4d", "books": []},
        {"library": "../../..", "books": [{}]},
        {"library": "1a2b3c4d", "books": [{"book": True}]},
        {"library": "1a2b3c4d", "books": [{"book": 1, "files": []}]},
        {"library": "1a2b3c4d", "books": [{"book": 1, "files": [{"size": -1}]}]},
    ],
)
def test_another_head_is_no_batch(server: Server, head: dict[str, Any]) -> None:
    """HTTP 400."""
    text = json.dumps(head).encode()
    assert post(server, len(text).to_bytes(8, "big") + text).status_code == 400


def test_the_protocol_of_mybookshelf2_does_not_have_it(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """Neither the word in the token nor the route; nobody else may use it."""
    server = client(shelves(tmp_path / "plain", "--protocol-only"))
    assert post(server, body(book(server, 1, epub(3)))).status_code == 404
    server.http.close()


def test_without_a_login_nothing_is_taken(server: Server) -> None:
    """Nor looked at."""
    answer = requests.post(server.url + PATH, data=b"x", timeout=30)
    assert answer.status_code == 401


def test_a_killed_server_s_batch_is_cleared_away(tmp_path: Path) -> None:
    """Files and covers that no row names are gone after the next start, those of the
    same batch that a row names stay; a batch is not forgotten before."""
    shelf = LocalShelf(tmp_path / "shelf")
    server = client(shelf.shelf)
    kept = epub(8)
    (made,) = answers(server, book(server, 1, kept, cover=jpeg("red")))
    server.http.close()
    shelf.stop()
    data_dir, lost = shelf.shelf.data_dir, epub(9)
    files = FileStore(data_dir)
    database = Database(data_dir / "bookshelf.db", permissive=False)
    names = [
        imports.ImportedFile("epub", sha1(data), len(data)) for data in (kept, lost)
    ]
    reserved = database.write_now(lambda db: imports.reserve(db, 2, names))
    upload = files.new_upload("x.epub")
    upload.write_bytes(lost)
    files.link(upload, sha1(lost), "epub")
    files.write_cover(reserved.first, jpeg("blue"))
    with LocalShelf(data_dir):
        assert not files.book(sha1(lost), "epub").exists()
        assert not files.cover(reserved.first).exists()
        assert files.book(sha1(kept), "epub").is_file()
        assert files.cover(made["id"]).is_file()
    with closing(sqlite3.connect(data_dir / "bookshelf.db")) as db:
        assert db.execute("SELECT COUNT(*) FROM import_batch").fetchone()[0] == 0
