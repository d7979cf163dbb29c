"""Tags and custom columns as bookshelves: made once, filled, kept in step; what people
made stays."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import PASSWORD, USERNAME
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.updatekit import FAST
from tests.support.migration.workerkit import lines_of
from tests.support.network.proxy import Answer, Decision, Do, Proxy
from tests.support.servers.firstuser import seed
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, client

READ = "Somebody's note"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two books; the first has comments."""
    made = Library(tmp_path / "library")
    made.add(
        Made(title="One", tags=("Horror", "Sea", "To read"), files={"EPUB": epub(1)}),
        Made(title="Two", tags=("Sea",), files={"EPUB": epub(2)}),
    )
    comments(made, 1, "<p>About <b>the sea</b>")
    return made


def comments(library: Library, book_id: int, text: str) -> None:
    """Other comments for a book."""
    library.sql("DELETE FROM comments WHERE book = ?", (book_id,))
    library.sql("INSERT INTO comments (book, text) VALUES (?, ?)", (book_id, text))
    calibre.touch(library, book_id)


def tags(library: Library, book_id: int, *names: str) -> None:
    """Other tags for a book."""
    calibre.set_names(library, book_id, "tags", [(name,) for name in names])


def shown(server: Server) -> dict[str, dict[str, str]]:
    """Every shelf of the login with its books and their notes."""
    mine = server.call("GET", "/api/bookshelves/mine?page_size=100&sort=name").json()
    found: dict[str, dict[str, str]] = {}
    for shelf in mine["items"]:
        assert shelf["name"] not in found
        found[shelf["name"]] = {
            item["ebook"]["title"]: item.get("note", "")
            for item in items(server, shelf)
        }
    return found


def items(server: Server, shelf: dict[str, Any]) -> list[dict[str, Any]]:
    """What is on a shelf."""
    path = f"/api/bookshelves/{shelf['id']}/items?page_size=100"
    found: list[dict[str, Any]] = server.call("GET", path).json()["items"]
    return found


def shelf_called(server: Server, name: str) -> dict[str, Any]:
    """One shelf."""
    mine = server.call("GET", f"/api/bookshelves/mine?filter={name}").json()["items"]
    return next(shelf for shelf in mine if shelf["name"] == name)


def grant(shelf: Shelf, user: str, role: str) -> None:
    """Another role for a user."""
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db, db:
        db.execute("UPDATE user SET role = ? WHERE user_name = ?", (role, user))


def test_tags_without_a_genre_become_shelves_with_comments_as_notes(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """They are private, made once, and not reported as not carried; a further run does
    nothing."""
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    server = client(shelf)
    first = {
        "Sea": {"One": "About the sea", "Two": ""},
        "To read": {"One": "About the sea"},
    }
    assert shown(server) == first
    sea = shelf_called(server, "Sea")
    entity = server.call("GET", f"/api/bookshelves/{sea['id']}").json()
    assert (entity["public"], entity["description"]) == (False, "From Calibre")
    kept = (workers.state_dir / "not_carried.jsonl").read_text("utf-8").splitlines()
    lost = {name for line in kept for name in json.loads(line)["not_carried"]}
    assert not lost & {"tags", "comments"}
    made = [line for line in lines_of(workers) if "Made the shelf" in line]
    assert len(made) == 2
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert server.call("GET", f"/api/bookshelves/{sea['id']}").json() == entity
    server.http.close()


def test_shelves_follow_calibre(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """A tag that leaves, one that comes, other comments; a shelf that is empty stays."""
    workers.run(library.root, shelf, **FAST)
    server = client(shelf)
    tags(library, 1, "Horror", "Sea", "New")
    tags(library, 2, "New")
    comments(library, 1, "<p>About the sky")
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert shown(server) == {
        "New": {"One": "About the sky", "Two": ""},
        "Sea": {"One": "About the sky"},
        "To read": {},
    }
    versions = [
        item["version_id"] for item in items(server, shelf_called(server, "Sea"))
    ]
    calibre.touch(library, 1)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert versions == [
        item["version_id"] for item in items(server, shelf_called(server, "Sea"))
    ]
    server.http.close()


def test_what_people_made_stays(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """A shelf of the same name is filled, items of theirs are left; a note they wrote
    and an ebook they took off stay so, and are said."""
    server = client(shelf)
    theirs = server.call("POST", "/api/bookshelves/mine", {"name": "Sea"}).json()["id"]
    stranger = server.ebook(title="Theirs")
    add = f"/api/bookshelves/{theirs}/add"
    server.call("POST", add, {"ebook": {"id": stranger}, "note": READ})
    workers.run(library.root, shelf, **FAST)
    assert shown(server)["Sea"] == {"Theirs": READ, "One": "About the sea", "Two": ""}
    to_read = shelf_called(server, "To read")
    [item] = items(server, to_read)
    body = {"note": READ, "version_id": item["version_id"]}
    server.call("PATCH", f"/api/bookshelf-items/{item['id']}", body)
    on_sea = {one["ebook"]["title"]: one for one in items(server, {"id": theirs})}
    server.call("DELETE", f"/api/bookshelf-items/{on_sea['Two']['id']}")
    server.call(
        "POST", f"/api/bookshelves/{to_read['id']}/add", {"ebook": {"id": stranger}}
    )
    comments(library, 1, "<p>New")
    tags(library, 2, "Sea", "Fresh")
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert shown(server) == {
        "Fresh": {"Two": ""},
        "Sea": {"Theirs": READ, "One": "New"},
        "To read": {"One": READ, "Theirs": ""},
    }
    said = [line for line in lines_of(workers) if "somebody changed" in line]
    assert {line.rpartition(" on ")[2] for line in said} == {"'To read'", "'Sea'"}
    assert len(said) == 2
    # A tag that leaves takes neither the item somebody changed nor those of others.
    tags(library, 1, "Horror")
    tags(library, 2)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert shown(server) == {
        "Fresh": {},
        "Sea": {"Theirs": READ},
        "To read": {"One": READ, "Theirs": ""},
    }
    server.http.close()


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--shelves", "none"), set()),
        (("--shelves", "comments"), set()),
        (("--shelves", "tags"), {"Sea", "To read"}),
        (("--shelves", "#mood"), {"Dark", "Calm"}),
        (("--shelves", "tags,#mood"), {"Sea", "To read", "Dark", "Calm"}),
        (
            ("--shelf-column", "#read", "--shelf-column", "mood"),
            {"Sea", "To read", "Dark", "Calm", "I have read it"},
        ),
        (("--shelves", "none", "--shelf-column", "#read"), {"I have read it"}),
    ],
)
def test_what_becomes_shelves_is_chosen(
    library: Library,
    shelf: Shelf,
    workers: LocalWorkers,
    options: tuple[str, ...],
    names: set[str],
) -> None:
    """A yes/no column is a shelf of its name, any other one per value."""
    calibre.add_column(library, "read", "bool", "I have read it", {1: 1, 2: 0})
    calibre.add_column(
        library, "mood", "text", "Mood", {1: ("Dark",), 2: ("Calm", "Dark")}
    )
    assert workers.run(library.root, shelf, *options, **FAST)[0] == 0
    server = client(shelf)
    found = shown(server)
    server.http.close()
    assert set(found) == names
    if "Dark" in names:
        assert (set(found["Dark"]), set(found["Calm"])) == ({"One", "Two"}, {"Two"})
    if "I have read it" in names:
        assert set(found["I have read it"]) == {"One"}
    if "comments" not in options and options[0] == "--shelves":
        assert {note for books in found.values() for note in books.values()} <= {""}


@pytest.mark.parametrize(
    ("label", "why"),
    [("#nosuch", "is not in this library"), ("#when", "is of the type 'datetime'")],
)
def test_a_column_that_cannot_become_shelves_is_named(
    library: Library, shelf: Shelf, workers: LocalWorkers, label: str, why: str
) -> None:
    """Before anything is sent; with those that can."""
    calibre.add_column(library, "read", "bool", "Read", {})
    calibre.add_column(library, "when", "datetime", "When", {})
    code, said = workers.run(library.root, shelf, "--shelf-column", label, **FAST)
    assert code == 2
    assert f"{label} cannot become shelves: it {why}; #read can" in " ".join(
        said.split()
    )


def test_a_choice_that_changes_is_carried_out(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Shelves come for books that were carried without; public ones if so wished."""
    workers.run(library.root, shelf, "--shelves", "none", **FAST)
    server = client(shelf)
    assert shown(server) == {}
    assert workers.run(library.root, shelf, "--public-shelves", **FAST)[0] == 0
    assert set(shown(server)) == {"Sea", "To read"}
    sea = server.call(
        "GET", f"/api/bookshelves/{shelf_called(server, 'Sea')['id']}"
    ).json()
    assert sea["public"] is True
    server.http.close()


def test_without_the_role_shelves_are_filled_but_not_emptied(
    library: Library,
    tmp_path: Path,
    shelves: Any,
    workers: LocalWorkers,
) -> None:
    """Said once at the start, and once for each book; with the role it is done."""
    seed(tmp_path / "readers", USERNAME, PASSWORD, users=("reader",))
    shelf = shelves(tmp_path / "readers")
    admin, server = client(shelf), client(shelf)
    server.username = "reader"
    server.login()
    login = {"MBS2_USERNAME": "reader", "MBS2_PASSWORD": PASSWORD, **FAST}
    workers.run(library.root, shelf, **login)
    assert shown(server)["Sea"] == {"One": "About the sea", "Two": ""}
    tags(library, 1, "New")
    tags(library, 2, "Sea", "New")
    for _ in range(2):
        assert workers.run(library.root, shelf, **login)[0] == 0
        assert shown(server) == {
            "New": {"One": "About the sea", "Two": ""},
            "Sea": {"One": "About the sea", "Two": ""},
            "To read": {"One": "About the sea"},
        }
    lines = lines_of(workers)
    told = [line for line in lines if "nothing is changed or removed on" in line]
    assert [line.partition(" on ")[2] for line in told] == ["'Sea', 'To read'"]
    starts = [line for line in lines if "lacks the role superuser" in line]
    assert len(starts) == 3
    grant(shelf, "reader", "superuser")
    assert workers.run(library.root, shelf, **login)[0] == 0
    assert shown(server) == {
        "New": {"One": "About the sea", "Two": ""},
        "Sea": {"Two": ""},
        "To read": {},
    }
    admin.http.close()
    server.http.close()


def test_a_book_on_more_shelves_than_the_server_names(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """It is on all of them once; what leaves Calibre leaves them."""
    many = Library(tmp_path / "many")
    names = [f"Tag {number:03}" for number in range(130)]
    many.add(Made(title="One", tags=tuple(names), files={"EPUB": epub(1)}))
    for kept in (names, names[5:], names[5:]):
        tags(many, 1, *kept)
        assert workers.run(many.root, shelf, **FAST)[0] == 0
        server = client(shelf)
        mine = [
            server.call(
                "GET", f"/api/bookshelves/mine?page_size=100&sort=name&page={page}"
            ).json()["items"]
            for page in (1, 2)
        ]
        server.http.close()
        counts = {one["name"]: one["items_count"] for part in mine for one in part}
        assert counts == {name: int(name in kept) for name in names}
    assert not [line for line in lines_of(workers) if "somebody changed" in line]


def test_a_shelf_that_takes_nothing_is_reported(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The book arrives all the same; a later run tries again."""
    refusing = [True]

    def decide(method: str, path: str) -> Decision:
        if refusing and method == "POST" and path.endswith("/add"):
            return Answer(
                400,
                "<!DOCTYPE html>\n<title>400</title>\n<h1>400</h1>\n<p>Not there</p>\n",
            )
        return Do.PASS

    proxy = Proxy(shelf.url, decide)
    behind = Shelf(proxy.url, shelf.data_dir, None)
    assert workers.run(library.root, behind, **FAST)[0] == 0
    said = [line for line in lines_of(workers) if "'Sea': the server says" in line]
    assert len(said) == 2
    assert "Not there" in said[0]
    server = client(shelf)
    assert shown(server) == {"Sea": {}, "To read": {}}
    refusing.clear()
    assert workers.run(library.root, behind, **FAST)[0] == 0
    assert shown(server)["Sea"] == {"One": "About the sea", "Two": ""}
    server.http.close()
    proxy.stop()


@pytest.mark.parametrize("how", [Do.CUT, Do.RESET])
@pytest.mark.parametrize("where", ["/mine", "/add"])
def test_a_lost_answer_is_looked_up_not_repeated(
    library: Library, shelf: Shelf, workers: LocalWorkers, where: str, how: Do
) -> None:
    """One shelf, one item, both known as ours whether the server heard of it or not."""
    lost = [where, where]

    def decide(method: str, path: str) -> Decision:
        if lost and method == "POST" and path.endswith(lost[-1]):
            lost.pop()
            return how
        return Do.PASS

    proxy = Proxy(shelf.url, decide)
    behind = Shelf(proxy.url, shelf.data_dir, None)
    assert workers.run(library.root, behind, **FAST)[0] == 0
    assert not lost
    server = client(shelf)
    assert shown(server) == {
        "Sea": {"One": "About the sea", "Two": ""},
        "To read": {"One": "About the sea"},
    }
    with closing(sqlite3.connect(workers.state_dir / "migration_ledger.db")) as db:
        made = dict(
            db.execute("SELECT kind, COUNT(*) FROM made GROUP BY kind").fetchall()
        )
    assert (made["shelf"], made["item"]) == (2, 3)
    tags(library, 1)
    tags(library, 2)
    assert workers.run(library.root, behind, **FAST)[0] == 0
    assert shown(server) == {"Sea": {}, "To read": {}}
    server.http.close()
    proxy.stop()


def test_a_shelf_that_was_deleted_is_made_again_for_books_that_come(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The books that were on it stay off."""
    workers.run(library.root, shelf, **FAST)
    server = client(shelf)
    sea = shelf_called(server, "Sea")
    server.call("DELETE", f"/api/bookshelves/{sea['id']}")
    library.add(Made(title="Three", tags=("Sea",), files={"EPUB": epub(3)}))
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    assert shown(server)["Sea"] == {"Three": ""}
    server.http.close()
