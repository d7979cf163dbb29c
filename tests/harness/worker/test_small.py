"""The main job on a real library: two workers, every book and every byte compared
(issue: must show 1)."""

import json
from pathlib import Path

from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


def test_what_cannot_be_carried_is_kept(
    small_library: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """not_carried.jsonl has a line per book with the ebook's id and the fields the
    server has no place for."""
    code, said = workers.run(small_library, shelf, "--limit", "12")
    assert code == 0, said
    lines = [
        json.loads(line)
        for line in (workers.state_dir / "not_carried.jsonl")
        .read_text("utf-8")
        .splitlines()
    ]
    first = next(line for line in lines if line["book_id"] == 1)
    assert first["title"] == "The Quiet Harbour"
    assert isinstance(first["ebook_id"], int)
    assert first["not_carried"]["identifiers"] == {
        "doi": "10.1000/182",
        "isbn": "9780306406157",
    }
    assert first["not_carried"]["#saga"] == {"series": "Great Saga", "index": 2.5}
    assert first["not_carried"]["tags"] == ["Sea"]
    second = next(line for line in lines if line["book_id"] == 2)
    assert second["not_carried"]["series index"] == 1.5
