"""Answers that are none, on a few routes; the whole table is `python -m
benchmarks.faults.answers`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.server.http import responses
from tests.support.environment import end
from tests.support.network.answercells import (
    KINDS,
    ROUTES,
    Cell,
    OldAnswers,
    run_cell,
    run_old_answers,
    run_window,
)
from tests.support.servers.shelf import Shelf, start_shelf

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("answers")]

#: Those that left most behind: a second ebook, an empty one, a working title, a rating
#: that never came.
CELLS = (
    Cell("login", "page", acted=False, times=2),
    Cell("upload", "401 of a proxy", acted=True),
    Cell("create", "page", acted=True),
    Cell("create", "429, in a second", acted=False),
    Cell("look-up", "cut JSON", acted=True, times=2),
    Cell("attach", "restarted", acted=True),
    Cell("attach", "foreign JSON with an id", acted=False),
    Cell("ebook", "404", acted=False),
    Cell("title", "redirect", acted=False, times=2),
    Cell("rate", "foreign JSON", acted=False),
    Cell("calibre", "page", acted=True, times=2),
    Cell("batch", "page", acted=True),
    Cell("batch", "cut JSON", acted=True, times=3),
    Cell("batch", "foreign JSON with an id", acted=False, times=3),
    Cell("delete", "504", acted=True),
    Cell("shelf", "page", acted=True),
    Cell("shelf", "cut JSON", acted=True, times=2),
    Cell("shelf", "429, in a second", acted=False),
    Cell("shelf index", "404", acted=False),
    Cell("shelves of", "foreign JSON", acted=False),
    Cell("add", "502", acted=True, times=2),
    Cell("items", "empty object", acted=False),
)


@pytest.fixture(scope="module")
def permissive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """A server on which nothing is unique, as on MyBookshelf2."""
    shelf = start_shelf(tmp_path_factory.mktemp("permissive"), "--permissive")
    yield shelf
    end(shelf.process)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_what_is_no_answer_leaves_nothing_behind(
    cell: Cell, permissive: Shelf, tmp_path: Path
) -> None:
    """Three files, two ebooks, their titles, ratings, series and cover; status 0."""
    assert run_cell(cell, permissive, tmp_path) == []


#: An ebook as it was before its file came (it was deleted then, with the file); the id
#: of the book before.
OLD = {
    "ebook": OldAnswers(ROUTES["ebook"], 1),
    "create": OldAnswers(ROUTES["create"], 1, any_path=True),
}


@pytest.mark.parametrize("name", OLD)
def test_an_old_answer_loses_nothing(
    name: str, permissive: Shelf, tmp_path: Path
) -> None:
    """What contradicts the server's own receipt, or names what was there before, is no
    answer to what was asked."""
    assert run_old_answers(OLD[name], permissive, tmp_path) == []


def test_a_maintenance_window_of_six_seconds(permissive: Shelf, tmp_path: Path) -> None:
    """Every request gets a page with HTTP 200; the ebook that was being asked for is
    made once."""
    assert run_window("page", 6, permissive, tmp_path) == []


def test_the_table_has_every_request_of_the_worker() -> None:
    """Whatever the gate knows, but for those that the worker sends nobody in a
    migration."""
    missing = []
    for known in responses.ROUTES:
        path = known.path.pattern.replace(r"(\d+)", "1").replace(".+", "x")
        if not any(route.matches(known.method, path) for route in ROUTES.values()):
            missing.append(f"{known.method} {path}")
    assert set(missing) <= {
        "GET /api/search/x",
        "DELETE /api/sources/1",
        # What only an update or the audit does, and who looks after a lost answer.
        "GET /api/authors/1",
        "GET /api/calibre/books/[0-9a-f]{8}/1",
        "GET /api/bookshelves/mine",
        "GET /api/bookshelves/1",
        "DELETE /api/bookshelves/1",
        "PATCH /api/bookshelf-items/1",
        # What only the direct lane asks, of bytes that it knows.
        "GET /api/uploads-meta/1/cover",
        "GET /api/download/1",
        "GET /thumb/1",
        "DELETE /api/bookshelf-items/1",
    }
    assert len(KINDS) * len(ROUTES) >= 60
