"""The ledger: every file of the library and what became of it, shared by all workers of
one machine.

`STATE_DIR/migration_ledger.db`, SQLite in WAL mode. It is bound to one Calibre library
and one server. It alone makes `Known`, closes ranges and passes, and keeps the equation

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
    """All the ledger can do for one worker process; safe to use from its threads."""

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
        """Opens or makes the ledger. `settle` is how long a dead worker's last request
        may still run on the server.

        `library` tells what a range must hold before it is closed; without one nothing
        must. `on_wait` is called every few seconds while another process holds the
        ledger up.

        `clock` measures; what is shown to people (when a pass was opened) comes from
        the wall clock."""
        owned_by = str(owner)
        self._database = LedgerDatabase.below(state_dir, on_wait)
        self._state_dir = state_dir
        self._clock = clock
        self._settle = settle
        #: Whose it is.
        self.identity = Identity(self._database)
        #: Which pass is open, and how far it is.
        self.passes = Passes(self._database)
        #: The ranges of a pass and the files in them.
        self.files = Files(
            self._database,
            state_dir,
            owner,
            clock,
            self._is_alive,
            library or NoLibrary(),
        )
        #: What became of each book on the server.
        self.books = Books(self._database, owned_by, clock)
        #: Which files the server has.
        self.hashes = Hashes(self._database, owned_by, clock, settle, self._is_alive)
        #: What is left out although nothing fails.
        self.notebook = Notebook(self._database)
        #: What is left to do when every range of a pass is closed.
        self.end = PassEnd(self._database, owned_by, clock, self._is_alive)
        #: What is believed of the server, and asked anew when it has lost files.
        self.doubts = Doubts(self._database)

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._database.path

    def note(self, key: str, value: str | None = None) -> str:
        """A small fact kept with the ledger; sets it when a value is given. Returns it,
        or "" when unset."""
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
        """Was the ledger lost, and no pass closed since? Then the server may have
        ebooks of ours it does not know."""
        return self.note("rebuilt") == "1"

    def begin_rebuilt(self) -> None:
        """The ledger was lost and this one is in its place, as of now."""
        self.note("rebuilt", "1")
        self.note("rebuilt_at", self._clock.stamp(self._clock()))

    def settles_at(self) -> datetime:
        """Until when requests of workers that used the lost ledger may still run on the
        server, by `clock`."""
        since = self.note("rebuilt_at")
        return (
            self._clock.since(since) + self._settle
            if since and self.rebuilt
            else self._clock()
        )

    def back_up(self, pass_id: int) -> None:
        """A copy of the whole ledger beside it, once for a closed pass; what was lost
        has been found by then."""
        if self.note("backed_up_pass") == str(pass_id):
            return
        self.note("rebuilt", "0")
        self._database.back_up()
        self.note("backed_up_pass", str(pass_id))

    def check_in_place(self) -> None:
        """Raises LedgerCorrupt when the ledger was deleted, cut short or overwritten
        under us."""
        self._database.check_in_place()

    @property
    def inode(self) -> int:
        """The number of the file that is in use."""
        return self._database.inode

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def _is_alive(self, owner: str) -> bool:
        return is_alive(Owner.parse(owner), self._state_dir)
