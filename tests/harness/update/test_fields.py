"""Every field, edited in Calibre, on the server or in both, whoever is preferred."""

from pathlib import Path

import pytest

from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.updatekit import (
    EDITS,
    FAST,
    Server,
    library_of,
    picture,
)
from tests.support.migration.workerkit import counts_of, lines_of
from tests.support.servers import shelfkit
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

SIDES = ("calibre", "server", "both")


@pytest.mark.parametrize("prefer", ["calibre", "server"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("field", EDITS)
def test_an_edit_of_a_field(
    tmp_path: Path,
    shelf: Shelf,
    workers: LocalWorkers,
    field: str,
    side: str,
    prefer: str,
) -> None:
    library, edit = library_of(tmp_path / "library"), EDITS[field]
    server = Server(shelf.url, shelf.session())
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    [ebook] = server.ebooks()
    first, ours, theirs = edit.values
    assert edit.shown(server, ebook) == first
    if side != "calibre":
        edit.theirs(server, ebook)
    if side != "server":
        edit.ours(library)
    assert workers.run(library.root, shelf, "--prefer", prefer, **FAST)[0] == 0
    [ebook] = server.ebooks()
    ours_wins = side == "calibre" or (side == "both" and prefer == "calibre")
    assert edit.shown(server, ebook) == (ours if ours_wins else theirs)
    said = [line for line in lines_of(workers) if "changed on both sides" in line]
    assert bool(said) is (side == "both")
    # The file is where it was, and no further run has anything to do.
    assert len(ebook["sources"]) == 1
    version = ebook["version_id"]
    assert workers.run(library.root, shelf, "--prefer", prefer, **FAST)[0] == 0
    assert server.ebooks()[0]["version_id"] == version
    assert counts_of(workers).duplicate == 1


@pytest.mark.parametrize("prefer", ["calibre", "server"])
@pytest.mark.parametrize("side", SIDES)
def test_an_edit_of_the_cover(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, side: str, prefer: str
) -> None:
    """The server's is recognised by its bytes as they were right after ours was sent."""
    library = library_of(tmp_path / "library")
    server = Server(shelf.url, shelf.session())
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    [ebook] = server.ebooks()
    assert server.colour(ebook) == "red"
    if side != "calibre":
        upload_cover(shelf, server, ebook["id"], picture("green"))
        assert server.colour(ebook) == "green"
    if side != "server":
        calibre.set_cover(library, 1, picture("blue"))
    else:
        calibre.touch(library, 1)
    assert workers.run(library.root, shelf, "--prefer", prefer, **FAST)[0] == 0
    ours_wins = side == "calibre" or (side == "both" and prefer == "calibre")
    assert server.colour(ebook) == ("blue" if ours_wins else "green")


def upload_cover(shelf: Shelf, server: Server, ebook_id: int, data: bytes) -> None:
    """What the web client does: an upload, and a task."""
    name = server.session.post(
        f"{server.url}/api/upload-cover",
        files={"file": ("cover.jpg", data, "image/jpeg")},
        timeout=20,
    ).json()["file"]
    kit = shelfkit.Server(server.url, shelf.ws_url, shelf.username, shelf.password)
    kit.login()
    assert kit.task("cover", name, ebook_id)["status"] == "success"


def test_a_conflict_is_decided_by_a_later_preference(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """It stands, and is said once; a run that prefers Calibre settles it."""
    library, edit = library_of(tmp_path / "library"), EDITS["title"]
    server = Server(shelf.url, shelf.session())
    workers.run(library.root, shelf, **FAST)
    edit.theirs(server, server.ebooks()[0])
    edit.ours(library)
    for _ in range(2):
        assert workers.run(library.root, shelf, **FAST)[0] == 0
        assert server.ebooks()[0]["title"] == "Theirs"
    said = [line for line in lines_of(workers) if "changed on both sides" in line]
    assert len(said) == 1
    assert workers.run(library.root, shelf, "--prefer", "calibre", **FAST)[0] == 0
    assert server.ebooks()[0]["title"] == "Ours"
