"""The main job on a real library: two workers, every book and every byte compared
(issue: must show 1)."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import client


def kept_by_book(state_dir: Path) -> dict[int, dict[str, Any]]:
    """The lines of not_carried.jsonl."""
    text = (state_dir / "not_carried.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    return {line["book_id"]: line for line in lines}


def test_what_cannot_be_carried_is_kept(
    small_library: Path,
    tmp_path: Path,
    shelves: Callable[..., Shelf],
    workers: LocalWorkers,
) -> None:
    """not_carried.jsonl has a line per book with the ebook's id and the fields
    MyBookshelf2 has no place for."""
    shelf = shelves(tmp_path / "plain", "--protocol-only")
    code, said = workers.run(small_library, shelf, "--limit", "12", "--shelves", "none")
    assert code == 0, said
    lines = kept_by_book(workers.state_dir)
    first = lines[1]
    assert first["title"] == "The Quiet Harbour"
    assert isinstance(first["ebook_id"], int)
    assert first["not_carried"]["identifiers"] == {
        "doi": "10.1000/182",
        "isbn": "9780306406157",
    }
    assert first["not_carried"]["#saga"] == {"series": "Great Saga", "index": 2.5}
    assert first["not_carried"]["tags"] == ["Sea"]
    assert lines[2]["not_carried"]["series index"] == 1.5


def test_the_embedded_server_takes_what_mybookshelf2_has_no_place_for(
    small_library: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Comments, identifiers, exact indexes and sort titles are there, and not reported
    as not carried; what it has no place for either still is."""
    code, said = workers.run(small_library, shelf, "--limit", "12")
    assert code == 0, said
    lines = kept_by_book(workers.state_dir)
    first, second = lines[1], lines[2]
    for line in (first, second):
        taken = {"comments", "identifiers", "series index", "tags"}
        assert not taken & set(line["not_carried"])
    assert first["not_carried"]["#saga"] == {"series": "Great Saga", "index": 2.5}
    server = client(shelf)
    fields = [
        server.call("GET", f"/api/ebooks/{line['ebook_id']}/calibre").json()
        for line in (first, second)
    ]
    server.http.close()
    assert fields[0]["identifiers"] == {"doi": "10.1000/182", "isbn": "9780306406157"}
    assert fields[0]["sort"] == "Quiet Harbour, The"
    assert fields[1]["series_index"] == 1.5
    assert fields[0]["comments"]
    assert "<" not in fields[0]["comments"]
