"""Bookshelves with real workers and a real Calibre library (issue: must show 4), and
what a killed worker leaves."""

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import needs
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.realcalibre import Wished, calibredb, make
from tests.support.libraries.updatekit import FAST
from tests.support.migration.killing import killed_at
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, client

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("calibredb")]

COLUMNS = {
    "read": ("I have read it", "bool", False),
    "mood": ("Mood", "enumeration", False),
    "shelf": ("Shelf", "text", True),
}
OPTIONS = ("--shelf-column", "#read", "--shelf-column", "#mood,#shelf")
TAGS = [f"Tag {number:02}" for number in range(40)]

#: Books by title -> shelves by name -> the item's note.
Shelves = dict[str, dict[str, str]]


@pytest.fixture
def server(shelf: Shelf) -> Iterator[Server]:
    """Somebody logged in."""
    made = client(shelf)
    yield made
    made.http.close()


def wished() -> list[Wished]:
    """200 books: some tags of forty, some columns, some comments."""
    drawn = random.Random(10)
    return [
        Wished(
            f"Book {number:03}",
            drawn.sample(TAGS, drawn.randrange(5)),
            f"<p>About <i>{number}</i></p>" if number % 3 else None,
            {
                "read": drawn.choice([True, False, None]),
                "mood": drawn.choice(["Dark", "Calm", None]),
                "shelf": drawn.sample(["Attic", "Desk", "Tag 00"], drawn.randrange(3)),
            },
        )
        for number in range(1, 201)
    ]


def expected(books: list[Wished]) -> Shelves:
    """What the shelves must hold."""
    found: Shelves = {}
    for number, book in enumerate(books, 1):
        names = {*book.tags, *book.columns["shelf"]}  # type: ignore[misc]  # a list
        if book.columns["read"]:
            names.add("I have read it")
        if book.columns["mood"]:
            names.add(str(book.columns["mood"]))
        for name in names:
            note = f"About {number}" if book.comments else ""
            found.setdefault(name, {})[book.title] = note
    return found


def shown(server: Server) -> Shelves:
    """What they hold."""
    found: Shelves = {}
    for shelf in every(server, "/api/bookshelves/mine?sort=name"):
        assert shelf["name"] not in found
        found[shelf["name"]] = {
            item["ebook"]["title"]: item.get("note", "")
            for item in items(server, shelf)
        }
    return found


def items(server: Server, shelf: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All items of a shelf."""
    return every(server, f"/api/bookshelves/{shelf['id']}/items?sort=created")


def every(server: Server, path: str) -> list[dict[str, Any]]:
    """All pages."""
    found: list[dict[str, Any]] = []
    for page in range(1, 100):
        answer = server.call("GET", f"{path}&page_size=100&page={page}")
        if answer.status_code == 404:
            break
        found += answer.json()["items"]
        if len(found) >= answer.json()["total"]:
            break
    return found


def test_two_hundred_books_forty_tags_three_columns(
    tmp_path: Path, shelf: Shelf, workers: Workers, server: Server
) -> None:
    """Two workers at once make no shelf twice; edits with calibredb arrive, and items a
    person added stay."""
    needs("calibredb")
    root, books = tmp_path / "library", wished()
    make(root, tmp_path / "made", COLUMNS, books)
    both = [
        workers.start(
            root, shelf, *OPTIONS, "--worker-id", str(n), "--batch-size", "10", **FAST
        )
        for n in (1, 2)
    ]
    for worker in both:
        code, said = workers.finish(worker)
        assert code == 0, said
    assert shown(server) == expected(books)
    theirs = server.ebook(title="Theirs")
    mine = every(server, "/api/bookshelves/mine?sort=name")
    for one in mine:
        body = {"ebook": {"id": theirs}, "note": "by hand"}
        server.call("POST", f"/api/bookshelves/{one['id']}/add", body)
    books[0] = Wished("Book 001", ["Tag 01", "Fresh"], None, books[0].columns)
    books[1] = Wished("Book 002", [], books[1].comments, books[1].columns)
    books[2] = Wished(
        "Book 003",
        books[2].tags,
        "<p>About 3",
        {"read": True, "mood": "Wild", "shelf": ["Cellar"]},
    )
    calibredb(root, "set_metadata", "1", "--field", "tags:Tag 01,Fresh")
    calibredb(root, "set_metadata", "1", "--field", "comments:")
    calibredb(root, "set_metadata", "2", "--field", "tags:")
    calibredb(root, "set_metadata", "3", "--field", "comments:<p>About 3")
    calibredb(root, "set_custom", "read", "3", "true")
    calibredb(root, "set_custom", "mood", "3", "Wild")
    calibredb(root, "set_custom", "shelf", "3", "Cellar")
    code, said = workers.run(root, shelf, *OPTIONS, **FAST)
    assert code == 0, said
    after = expected(books)
    for one in mine:
        after.setdefault(one["name"], {})["Theirs"] = "by hand"
    assert shown(server) == after


#: Where a worker is killed: in a copy of migration/lanes/api/shelving.py.
DEATHS = [
    pytest.param("made = self.shelves.create(", id="before the shelf"),
    pytest.param(
        "ledger.keep(name, made, pass_id, book_id, made=True)", id="after the shelf"
    ),
    pytest.param("item = self._newest(shelf_id)", id="after the item"),
    pytest.param("one.settle(plan)", id="before the record"),
]


@pytest.mark.parametrize("place", DEATHS)
def test_a_killed_worker_makes_nothing_twice(
    tmp_path: Path, shelf: Shelf, workers: Workers, server: Server, place: str
) -> None:
    """One shelf, one item; both are known as ours, so they follow Calibre."""
    library = Library(tmp_path / "library")
    library.add(Made(title="One", tags=("Sea",), files={"EPUB": epub(1)}))
    shipped, workers.script = workers.script, killed_at(tmp_path, "shelving.py", place)
    assert workers.run(library.root, shelf, **FAST)[0] == -9
    workers.script = shipped
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert shown(server) == {"Sea": {"One": ""}}
    calibre.set_names(library, 1, "tags", [])
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert shown(server) == {"Sea": {}}
