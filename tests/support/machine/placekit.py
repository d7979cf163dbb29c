"""A machine with state directories, as their ledgers and servers' records tell."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from common.files.json_files import write_json
from common.state_dir import Place
from migration.ledger.database import LedgerDatabase
from migration.state_dirs import places, resolve
from migration.state_files.names import LEDGER_NAME
from tests.support.libraries.librarykit import Library

NAS = "http://nas:6006"


class Machine:
    """A home, a checkout, and a library with the id `id-1`."""

    def __init__(self, folder: Path) -> None:
        self.environment: Mapping[str, str] = {"HOME": str(folder / "home")}
        self.root = folder / "home" / ".local" / "state" / "calibre-to-mybookshelf2"
        self.checkout = folder / "checkout"
        self.checkout.mkdir()
        self.library = Library(folder / "Calibre")
        self.library.sql("UPDATE library_id SET uuid = 'id-1'")

    def real(self) -> dict[Path, Place]:
        """All that is found, by directory."""
        return {
            place.state_dir: place
            for place in places.real(self.environment, self.checkout)
        }

    def chosen(self, server: str | None = NAS) -> resolve.Chosen:
        """What a start of the library takes."""
        return resolve.for_migration(
            self.library.root, server, self.environment, self.checkout
        )

    def rebound(self, server: str) -> resolve.Chosen:
        """What a start with --rebind takes."""
        return resolve.for_rebinding(
            self.library.root, server, self.environment, self.checkout
        )


def ledger(
    state_dir: Path,
    library_id: str = "id-1",
    server: str = NAS,
    name: str = LEDGER_NAME,
) -> Path:
    """A state directory with a ledger that is bound to a library and a server."""
    state_dir.mkdir(parents=True, exist_ok=True)
    LedgerDatabase(state_dir / name).close()
    with closing(sqlite3.connect(state_dir / name)) as db, db:
        bound = (("library", library_id), ("server", server))
        db.executemany("INSERT INTO meta (key, value) VALUES (?, ?)", bound)
    return state_dir


def shelf(state_dir: Path, url: str | None) -> Path:
    """Its embedded server, with a record of its URL or without."""
    folder = state_dir / "bookshelf"
    folder.mkdir(parents=True)
    (folder / "bookshelf.db").touch()
    if url is not None:
        write_json(folder / "server.json", {"url": url, "pid": 1})
    return state_dir
