"""The main job on a real library: two workers, every book and every byte compared
(issue: must show 1)."""

import json
import math
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migration.ledger import totals
from migration.metadata import ebook_metadata
from migration.model import Author, Counts, Phase, Vocabulary
from migration.state_files import progress
from tests.support.environment import FIXTURES
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import by_sha1, seen

pytestmark = pytest.mark.integration


def expected_books() -> list[dict[str, Any]]:
    """Calibre's own listing of the library."""
    listed: list[dict[str, Any]] = json.loads(
        (FIXTURES / "lib_small.expected.json").read_text(encoding="utf-8")
    )
    return listed


def shown(
    book: dict[str, Any], vocabulary: Vocabulary, sorts: dict[str, str]
) -> dict[str, Any]:
    """What the server must show for a book of Calibre's listing."""
    code, _id, _exact = ebook_metadata.server_language(
        book.get("languages", ()), vocabulary.languages, "en"
    )
    genres, _unknown = ebook_metadata.server_genres(
        book.get("tags", ()), vocabulary.genres
    )
    people = (
        ebook_metadata.person(Author(name, sorts[name]))
        for name in book["authors"].split(" & ")
    )
    return {
        "title": book["title"][:256].strip(),
        "authors": {(person.last, person.first) for person in people},
        "series": book.get("series"),
        "series_index": math.floor(book["series_index"])
        if book.get("series")
        else None,
        "language": code,
        "genres": {name for _id, name in genres},
        "rating": book["rating"] * 10 if book.get("rating") else None,
    }


def test_two_workers_bring_every_book_and_every_byte(
    small_library: Path, shelf: Shelf, workers: Workers
) -> None:
    """223 files: 218 arrive with their metadata, 5 comics fail, each book is one ebook,
    exit status 1."""
    first = workers.start(
        small_library, shelf, "--worker-id", "1", "--batch-size", "10"
    )
    second = workers.start(
        small_library, shelf, "--worker-id", "2", "--batch-size", "10"
    )
    ends = [workers.finish(first), workers.finish(second)]
    assert [code for code, _said in ends] == [1, 1], ends

    with shelf.session() as session:
        files = by_sha1(session, shelf.url)
        genres = {
            item["name"]: item["id"]
            for item in session.get(f"{shelf.url}/api/genres", timeout=20).json()
        }
        codes = {
            item["code"]: item["id"]
            for item in session.get(f"{shelf.url}/api/languages", timeout=20).json()
        }
    vocabulary = Vocabulary(codes, genres)
    sorts = _author_sorts(small_library)
    ebook_of: dict[int, set[int]] = {}
    for book in expected_books():
        for kind, sha1 in book.get("sha1", {}).items():
            if kind == "CBZ":
                assert sha1 not in files
                continue
            ebook, extension = files[sha1]
            assert extension == kind.lower()
            assert seen(ebook) == shown(book, vocabulary, sorts), f"book {book['id']}"
            ebook_of.setdefault(book["id"], set()).add(ebook["id"])
    assert all(len(ebooks) == 1 for ebooks in ebook_of.values())
    assert (
        len({ebook for ebooks in ebook_of.values() for ebook in ebooks})
        == len(ebook_of)
        == 196
    )

    ledger = workers.state_dir / "migration_ledger.db"
    found = totals.read(ledger)
    assert found is not None
    assert (found.counts, dict(found.failed)) == (
        Counts(223, 218, 0, 0, 5, 0),
        {"unsupported": 5},
    )
    assert totals.proved(ledger, found.pass_id)
    for number in (1, 2):
        ended = progress.read(progress.progress_path(workers.state_dir, number))
        assert ended is not None
        assert ended.status is Phase.COMPLETED


def _author_sorts(library: Path) -> dict[str, str]:
    """Calibre's sort of each author, by name."""
    with closing(
        sqlite3.connect(f"file:{library}/metadata.db?mode=ro", uri=True)
    ) as db:
        return {
            name.replace("|", ","): sort.replace("|", ",")
            for name, sort in db.execute("SELECT name, sort FROM authors")
        }
