"""The table of updates, on every server: each field, edited in Calibre, on the server or
in both, whoever is preferred."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migration.state_files.names import LEDGER_NAME
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library
from tests.support.libraries.updatekit import (
    EDITS,
    FAST,
    Server,
    library_of,
    picture,
)
from tests.support.migration.workerkit import lines_of
from tests.support.servers import shelfkit
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
SIDES = ("calibre", "server", "both")


class Case:
    """A book of its own on the server under test, migrated once."""

    def __init__(self, tmp_path: Path, server: shelfkit.Server) -> None:
        self.ws_url = server.ws_url
        self.login = server
        self.web = Server(server.url, server.http)
        self.shelf = Shelf(server.url, tmp_path, None, server.username, server.password)
        self.workers = LocalWorkers(tmp_path / "state")
        self.library: Library = library_of(tmp_path / "library")
        # Nobody else's bytes: the server knows files by their hash.
        with self.library.file(1).open("ab") as file:
            file.write(uuid.uuid4().bytes)
        assert self.run() == 0
        with closing(sqlite3.connect(self.workers.state_dir / LEDGER_NAME)) as db:
            [[self.ebook_id]] = db.execute("SELECT ebook_id FROM books").fetchall()

    def run(self, *options: str) -> int:
        """One run of a worker; returns its exit status."""
        code, said = self.workers.run(
            self.library.root, self.shelf, "--ws-url", self.ws_url, *options, **FAST
        )
        assert code in (0, 1), said
        return code

    def ebook(self) -> dict[str, Any]:
        """The book's ebook, as the server shows it now."""
        found: dict[str, Any] = self.web.get(f"/ebooks/{self.ebook_id}")
        return found

    def end(self) -> None:
        """Takes the book off the server again."""
        ebook = self.ebook()
        self.web.rate(ebook, None)
        self.web.session.delete(
            f"{self.web.url}/api/ebooks/{self.ebook_id}", timeout=60
        )


@pytest.fixture
def case(tmp_path: Path, server: shelfkit.Server) -> Iterator[Case]:
    made = Case(tmp_path, server)
    yield made
    made.end()


@pytest.mark.parametrize("prefer", ["calibre", "server"])
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("field", EDITS)
def test_an_edit_of_a_field(case: Case, field: str, side: str, prefer: str) -> None:
    edit = EDITS[field]
    first, ours, theirs = edit.values
    assert edit.shown(case.web, case.ebook()) == first
    if side != "calibre":
        edit.theirs(case.web, case.ebook())
    if side != "server":
        edit.ours(case.library)
    assert case.run("--prefer", prefer) == 0
    ours_wins = side == "calibre" or (side == "both" and prefer == "calibre")
    assert edit.shown(case.web, case.ebook()) == (ours if ours_wins else theirs)
    said = [line for line in lines_of(case.workers) if "changed on both sides" in line]
    assert bool(said) is (side == "both")
    version = case.ebook()["version_id"]
    assert case.run("--prefer", prefer) == 0
    assert case.ebook()["version_id"] == version


@pytest.mark.parametrize("prefer", ["calibre", "server"])
@pytest.mark.parametrize("side", SIDES)
def test_an_edit_of_the_cover(case: Case, side: str, prefer: str) -> None:
    assert case.web.colour(case.ebook()) == "red"
    if side != "calibre":
        name = case.web.session.post(
            f"{case.web.url}/api/upload-cover",
            files={"file": ("cover.jpg", picture("green"), "image/jpeg")},
            timeout=60,
        ).json()["file"]
        assert case.login.task("cover", name, case.ebook_id)["status"] == "success"
        assert case.web.colour(case.ebook()) == "green"
    if side == "server":
        calibre.touch(case.library, 1)
    else:
        calibre.set_cover(case.library, 1, picture("blue"))
    assert case.run("--prefer", prefer) == 0
    ours_wins = side == "calibre" or (side == "both" and prefer == "calibre")
    assert case.web.colour(case.ebook()) == ("blue" if ours_wins else "green")


def test_a_replaced_file_replaces_its_source(case: Case) -> None:
    [before] = case.ebook()["sources"]
    data = case.library.file(1).read_bytes() + uuid.uuid4().bytes
    calibre.replace_file(case.library, 1, data)
    assert case.run() == 0
    [after] = case.ebook()["sources"]
    assert after["id"] != before["id"]
    assert after["size"] == len(data)
    got = case.web.session.get(f"{case.web.url}/api/download/{after['id']}", timeout=60)
    assert got.content == data
