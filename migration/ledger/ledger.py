"""The ledger: every file of the library and what became of it.

`STATE_DIR/migration_ledger.db`, SQLite in WAL mode, is shared by all workers of one
machine and bound to one Calibre library and one server. Only the ledger makes `Known`,
and closes ranges and passes. It keeps the equation

    discovered = uploaded + duplicate + skipped + failed + pending

in the same transactions as the rows it counts.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from common.clock import SteadyClock
from migration.ledger.database import LedgerDatabase
from migration.ledger.parts.books import Books
from migration.ledger.parts.doubts import Doubts
from migration.ledger.parts.files import Files
from migration.ledger.parts.hashes import Hashes
from migration.ledger.parts.identity import Identity
from migration.ledger.parts.notebook import Notebook
from migration.ledger.parts.pass_end import PassEnd
from migration.ledger.parts.passes import Passes
from migration.ledger.records import LibraryView, NoLibrary
from migration.state_files.owner import Owner, is_alive


class Ledger:
    """What one worker process does with the ledger. Thread-safe."""

    def __init__(
        self,
        state_dir: Path,
        owner: Owner,
        clock: SteadyClock,
        settle: timedelta = timedelta(seconds=40),
        *,
        library: LibraryView | None = None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """Opens or creates the ledger.

        `settle` is how long a dead worker's last request may still run on the server.
        `library` says which files a range must have before it is closed; without one,
        none. `on_wait` is called every few seconds while another process holds the
        ledger. `clock` is for measuring; times that are shown (when a pass was opened)
        come from the wall clock.
        """
        owned_by = str(owner)
        self._database = LedgerDatabase.below(state_dir, on_wait)
        self._state_dir, self._clock, self._settle = state_dir, clock, settle
        #: The library, server and user it belongs to.
        self.identity = Identity(self._database)
        #: The open pass and its progress.
        self.passes = Passes(self._database)
        #: The ranges of a pass and their files.
        self.files = Files(
            self._database,
            state_dir,
            owner,
            clock,
            self._is_alive,
            library or NoLibrary(),
        )
        #: The state of each book on the server.
        self.books = Books(self._database, owned_by, clock)
        #: What was carried of each book, and what stands since.
        self.carried = self.books.carried
        #: The files known to be on the server.
        self.hashes = Hashes(self._database, owned_by, clock, settle, self._is_alive)
        #: Bookshelves of ours, and the items on them.
        self.shelves = self.hashes.shelves
        #: What is left out although nothing fails.
        self.notebook = Notebook(self._database)
        #: What is left to do when every range of a pass is closed.
        self.end = PassEnd(self._database, owned_by, clock, self._is_alive)
        #: What passes made, until it is taken back.
        self.undoing = self.passes.undoing
        #: What is known of the server, and asked again when the server has lost files.
        self.doubts = Doubts(self._database)

    @property
    def path(self) -> Path:
        """The path of the database."""
        return self._database.path

    def note(self, key: str, value: str | None = None) -> str:
        """Returns a small value kept with the ledger, "" when unset.

        Sets it when one is given.
        """
        if value is not None:
            with self._database.transaction() as db:
                db.execute(
                    "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)",
                    (f"note:{key}", value),
                )
            return value
        with self._database.reading() as db:
            row = db.execute(
                "SELECT value FROM meta WHERE key = ?", (f"note:{key}",)
            ).fetchone()
        return "" if row is None else str(row[0])

    @property
    def rebuilt(self) -> bool:
        """Whether the ledger was lost and no pass has been closed since.

        Then the server may have ebooks of ours that the ledger does not know.
        """
        return self.note("rebuilt") == "1"

    def begin_rebuilt(self) -> None:
        """Records that this ledger has just replaced a lost one."""
        self.note("rebuilt", "1")
        self.note("rebuilt_at", self._clock.stamp(self._clock()))

    def settles_at(self) -> datetime:
        """Returns until when requests of the lost ledger's workers may run."""
        since = self.note("rebuilt_at")
        return (
            self._clock.since(since) + self._settle
            if since and self.rebuilt
            else self._clock()
        )

    def back_up(self, pass_id: int) -> None:
        """Copies the whole ledger beside it, once per closed pass.

        What was lost with an earlier ledger has been found again by then.
        """
        if self.note("backed_up_pass") == str(pass_id):
            return
        self.note("rebuilt", "0")
        self._database.back_up()
        self.note("backed_up_pass", str(pass_id))

    def check_in_place(self) -> None:
        """Raises LedgerCorrupt when something else changed the ledger's files."""
        self._database.check_in_place()

    @property
    def inode(self) -> int:
        """The inode of the file in use."""
        return self._database.inode

    def close(self) -> None:
        self._database.close()

    def _is_alive(self, owner: str) -> bool:
        return is_alive(Owner.parse(owner), self._state_dir)
