"""What an audit finds on a server, and what it calls no difference."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.migration.auditkit import (
    audited,
    ebook_of,
    ids,
    not_audited_yet,
    order_for,
    patch,
    stand,
    words,
)
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

FAST = {"RETRY_FIRST_SECONDS": "0.05", "PROBE_SECONDS": "0.2", "AUDIT": "off"}
ANNA, BELA = ("Anna Ost", "Ost, Anna"), ("Bela West", "West, Bela")


class Migrated:
    """A library on a server, and a ledger that knows it."""

    def __init__(self, library: Library, shelf: Shelf, workers: LocalWorkers) -> None:
        self.library, self.shelf, self.state = library, shelf, workers.state_dir
        self.workers = workers
        code, said = workers.run(library.root, shelf, **FAST)
        assert code == 0, said
        not_audited_yet(self.state)

    def found(self, **more: object) -> list[tuple[int, str]]:
        """What an audit finds."""
        return words(
            audited(order_for(self.library, self.shelf, self.state, **more))[0]
        )

    def left(self) -> int:
        """How many books an audit leaves to the next pass."""
        return audited(order_for(self.library, self.shelf, self.state))[1]

    def on_server(self, *statements: tuple[str, tuple[object, ...]]) -> None:
        """Changes the server's database behind everybody's back."""
        path = self.shelf.data_dir / "bookshelf.db"
        with closing(sqlite3.connect(path, timeout=10)) as db, db:
            for statement, values in statements:
                db.execute(statement, values)


@pytest.fixture
def migrated(tmp_path: Path, shelf: Shelf, workers: LocalWorkers) -> Migrated:
    """Two books: one with everything a server can show, one with little."""
    library = Library(tmp_path / "library")
    library.add(
        Made(
            title="The Silent Harbour",
            authors=(ANNA, BELA),
            files={"EPUB": epub(1), "TXT": b"text " * 20},
            series="Harbour Tales",
            series_index=2.5,
            languages=("ces",),
            tags=("sf", "Fantasy", "unknown"),
            rating=8,
        ),
        Made(title="Plain", files={"EPUB": epub(2)}),
    )
    return Migrated(library, shelf, workers)


def test_what_was_carried_has_no_difference(migrated: Migrated) -> None:
    """All books, a choice of them, and none."""
    assert migrated.found() == migrated.found(books=ids(2)) == []
    assert migrated.found(audit="50%") == []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param({"title": "The Silent Harbor"}, "wrong title", id="title"),
        pytest.param({"series": None}, "wrong series", id="series"),
        pytest.param({"series_index": 3}, "wrong series index", id="index"),
        pytest.param({"language": {"id": 2}}, "wrong language", id="language"),
        pytest.param({"genres": []}, "wrong genres", id="genres"),
        pytest.param(
            {"authors": [{"last_name": "Ost", "first_name": "Anna"}]},
            "wrong authors",
            id="an author less",
        ),
        pytest.param(
            {
                "authors": [
                    {"last_name": "Anna", "first_name": "Ost"},
                    {"last_name": "West", "first_name": "Bela"},
                ]
            },
            "wrong authors",
            id="first and last name swapped",
        ),
    ],
)
def test_a_difference_is_found_unless_it_was_reported(
    migrated: Migrated, change: dict[str, object], kind: str
) -> None:
    """And found again when the server has another value than the one reported."""
    patch(migrated.shelf, ebook_of(migrated.state, 1), **change)
    assert migrated.found() == [(1, kind)]
    field = kind.removeprefix("wrong ").replace(" ", "_")
    stand(migrated.state, 1, field, "something else")
    assert migrated.found() == [(1, kind)]


def test_a_reported_value_is_no_difference(migrated: Migrated) -> None:
    """As it is shown in reports."""
    patch(
        migrated.shelf,
        ebook_of(migrated.state, 1),
        title="A Reader's Title",
        authors=[{"last_name": "Okonjo", "first_name": "Ada"}],
    )
    stand(migrated.state, 1, "title", "A Reader's Title")
    stand(migrated.state, 1, "authors", "Ada Okonjo")
    assert migrated.found() == []


def test_files_covers_ratings_and_whole_ebooks(migrated: Migrated) -> None:
    """What no PATCH can do."""
    ebook = ebook_of(migrated.state, 1)
    migrated.on_server(
        ("DELETE FROM source WHERE ebook_id = ? AND format_id = 2", (ebook,)),
        ("DELETE FROM ebook_rating WHERE ebook_id = ?", (ebook,)),
        ("DELETE FROM bookshelf_item WHERE ebook_id = ?", (ebook,)),
    )
    assert migrated.found() == [
        (1, "wrong rating"),
        (1, "file not there"),
        (1, "file not there"),
    ]
    with migrated.shelf.session() as session:
        answer = session.delete(f"{migrated.shelf.url}/api/ebooks/{ebook}", timeout=20)
        assert answer.ok
    assert migrated.found() == [(1, "ebook not there")]


def test_what_calibre_changed_since_is_the_next_pass_s_work(migrated: Migrated) -> None:
    """A new title with a new last_modified, and a book that is gone."""
    migrated.library.sql(
        "UPDATE books SET title = 'New', last_modified = '2030-01-01 00:00:00+00:00' "
        "WHERE id = 1"
    )
    assert (migrated.found(), migrated.left()) == ([], 1)
    migrated.library.sql("DELETE FROM books WHERE id = 2")
    assert (migrated.found(), migrated.left()) == ([], 2)


# -- the order of authors --------------------------------------------------------------


def people(*names: tuple[str, str]) -> list[dict[str, str]]:
    """Authors as they are sent."""
    return [{"last_name": last, "first_name": first} for last, first in names]


@pytest.fixture
def make(shelf: Shelf) -> Callable[..., int]:
    """Makes an ebook as the worker's request does; returns its id."""

    def made(*names: tuple[str, str]) -> int:
        with shelf.session() as session:
            body = {
                "title": "Two",
                "language": {"id": 2},
                "authors": people(*names),
                "genres": [],
            }
            answer = session.post(f"{shelf.url}/api/ebooks", json=body, timeout=20)
            return int(answer.json()["id"])

    return made


OST, WEST = ("Ost", "Anna"), ("West", "Bela")


def order_of(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, ebook: Callable[[], int]
) -> list[tuple[int, str]]:
    """What is found of a book of Anna Ost and Bela West that is that ebook's."""
    library = Library(tmp_path / "library")
    library.add(Made(title="Two", authors=(ANNA, BELA), files={"EPUB": epub(1)}))
    number = ebook()
    migrated = Migrated(library, shelf, workers)
    path = migrated.state / "migration_ledger.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE books SET ebook_id = ?", (number,))
        db.execute("UPDATE files SET outcome = 'duplicate'")
    return migrated.found()


def test_authors_made_with_the_ebook_in_another_order_are_found(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, make: Callable[..., int]
) -> None:
    """Their ids are in the order in which they were sent."""
    found = order_of(tmp_path, shelf, workers, lambda: make(WEST, OST))
    assert found == [(1, "wrong order of authors")]


def test_an_author_who_was_there_before_explains_any_order(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, make: Callable[..., int]
) -> None:
    """Even one whose only earlier ebook was deleted, and both of them."""

    def after_a_deletion() -> int:
        gone = make(WEST, OST)
        with shelf.session() as session:
            assert session.delete(f"{shelf.url}/api/ebooks/{gone}", timeout=20).ok
        return make(OST, WEST)

    assert order_of(tmp_path, shelf, workers, after_a_deletion) == []


def test_the_second_author_may_be_older(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, make: Callable[..., int]
) -> None:
    """Then the first one has the higher id."""

    def with_an_old_one() -> int:
        make(WEST)
        return make(OST, WEST)

    assert order_of(tmp_path, shelf, workers, with_an_old_one) == []
