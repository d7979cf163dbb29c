"""The last look at the server before a pass is closed: what it finds there, what it
does about it, what it says."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migration.commands import failures
from migration.ledger import totals
from migration.metadata.ebook_metadata import working_title
from migration.model import BookId
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.network.proxy import Answer, Decision, Do
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1",
}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three books."""
    made = Library(tmp_path / "library")
    made.add(*epubs(range(3)))
    return made


def uuid(library: Library) -> str:
    """The library's id."""
    return str(library.sql("SELECT uuid FROM library_id")[0][0])


def contents(library: Library) -> list[bytes]:
    """The bytes of all its files."""
    return [path.read_bytes() for path in sorted(library.root.rglob("file.*"))]


def plant(shelf: Shelf, title: str, *, changed: bool) -> int:
    """An empty ebook that somebody makes with our login, and changes; returns its
    id."""
    body = {"title": title, "language": {"id": 2}, "authors": [], "genres": []}
    with shelf.session() as session:
        ebook_id = int(
            session.post(f"{shelf.url}/api/ebooks", json=body, timeout=20).json()["id"]
        )
        if changed:
            change = {"language": {"id": 1}, "version_id": 1}
            assert session.patch(
                f"{shelf.url}/api/ebooks/{ebook_id}", json=change, timeout=20
            ).json()["success"]
    return ebook_id


def put_right(state_dir: Path) -> int:
    """How many looks of the last pass set something right."""
    with closing(sqlite3.connect(state_dir / "migration_ledger.db")) as db:
        return int(
            db.execute("SELECT looks FROM passes ORDER BY id DESC").fetchone()[0]
        )


def test_a_request_delivered_twice_leaves_no_second_ebook(
    library: Library, shelf: Shelf, workers: LocalWorkers, proxies: Callable[..., Shelf]
) -> None:
    """A proxy that repeats POST /api/ebooks a second later, for the first book and for
    the very last one.

    The list is not shown at first: no answer is no proof that nothing is there. A pass
    that makes nothing asks once."""
    asked: list[str] = []

    def repeat(method: str, path: str) -> Decision:
        asked.append(f"{method} {path}")
        if asked[-1] == "GET /api/ebooks" and 2 <= asked.count(asked[-1]) <= 4:
            return Answer(503)
        return (
            Do.TWICE
            if asked[-1] == "POST /api/ebooks" and asked.count(asked[-1]) in (1, 3)
            else Do.PASS
        )

    behind = proxies(shelf, repeat)
    code, said = workers.run(library.root, behind, LAST_LOOK_SECONDS="1.5", **FAST)
    truth = look(shelf.data_dir)
    assert (code, truth.ebooks, troubles(truth, contents(library))) == (0, 3, []), said
    assert (put_right(workers.state_dir), said.count("; deleted")) == (1, 2)
    asked.clear()
    assert workers.run(library.root, behind, **FAST)[0] == 0
    assert asked.count("GET /api/ebooks") == 1


def test_what_stands_and_is_not_ours_to_delete_is_exit_8_until_somebody_mends_it(
    library: Library, shelf: Shelf, workers: LocalWorkers, proxies: Callable[..., Shelf]
) -> None:
    """An empty ebook under our mark that somebody has changed: reported in each pass,
    deleted by nobody but them."""
    planted: list[int] = []

    def plant_one(method: str, path: str) -> Decision:
        if path.endswith("/add-upload") and not planted:
            planted.append(
                plant(
                    shelf,
                    working_title("Book 0", uuid(library), BookId(1)),
                    changed=True,
                )
            )
        return Do.PASS

    behind = proxies(shelf, plant_one)
    for _pass in (1, 2):
        code, said = workers.run(library.root, behind, **FAST)
        assert code == 8, said
        assert "somebody has changed it since it was made" in said
        found = totals.read(workers.state_dir / "migration_ledger.db")
        assert found is not None
        assert (found.closed_at is not None, found.differences) == (
            True,
            {"empty ebook": 1},
        )
        (shown,) = failures.standing(
            workers.state_dir / "migration_ledger.db", found.pass_id, 10
        )
        assert (shown.ebook_id, shown.book_id, shown.kind) == (
            planted[0],
            1,
            "empty ebook",
        )
    with shelf.session() as session:
        assert session.delete(f"{shelf.url}/api/ebooks/{planted[0]}", timeout=20).ok
    code, said = workers.run(library.root, behind, **FAST)
    assert code == 0, said
