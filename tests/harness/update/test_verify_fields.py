"""--verify compares every book by field: what differs has a line, and a status."""

import json
from pathlib import Path

from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.updatekit import EDITS, FAST, Server, library_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


def test_what_differs_is_named(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """An edit on either side since the run; one that a run reported is no failure."""
    library = library_of(tmp_path / "library")
    server = Server(shelf.url, shelf.session())
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    code, said = workers.run(library.root, shelf, "--verify", **FAST)
    assert (code, "~" in said) == (0, False)
    assert "0 fields differ; 0 more" in said
    EDITS["title"].theirs(server, server.ebooks()[0])
    EDITS["rating"].theirs(server, server.ebooks()[0])
    calibre.set_index(library, 1, 6.0)
    code, said = workers.run(library.root, shelf, "--verify", **FAST)
    assert code == 1
    assert "~ 1 title: Calibre 'The Silent Harbour', server 'Theirs'" in said
    assert "~ 1 series_index: Calibre '6', server '2'" in said
    assert "~ 1 rating: Calibre '80', server '100'" in said
    assert "3 fields differ" in said
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    code, said = workers.run(library.root, shelf, "--verify", "--json", **FAST)
    assert code == 0
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    found = {(one["field"], one["reported"]) for one in lines if one["mark"] == "~"}
    assert found == {("title", "kept"), ("rating", "kept")}


def test_a_lost_ebook_and_a_lost_cover_are_named(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    server = Server(shelf.url, shelf.session())
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    [ebook] = server.ebooks()
    server.rate(ebook, None)
    server.session.delete(f"{shelf.url}/api/ebooks/{ebook['id']}", timeout=20)
    code, said = workers.run(library.root, shelf, "--verify", **FAST)
    assert code == 1
    assert "- 1/EPUB" in said
    assert "server 'the ebook is not there'" in said
