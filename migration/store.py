"""One SQLite connection to the ledger: short immediate transactions, and every SQLite failure as one of our errors."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import tenacity

from migration import schema
from migration.errors import LedgerBusy, LedgerCorrupt, MigrationError, StateUnwritable, WrongLedger

#: How long one statement waits for another process's transaction, seconds. Ours last milliseconds; the main thread
#: may not stand still for longer than this.
BUSY_SECONDS = 4.0
#: How long a transaction waits for its turn in all.
PATIENCE_SECONDS = 120.0

_NETWORK_FILE_SYSTEMS = frozenset(
    [
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "smb2",
        "ncpfs",
        "afs",
        "9p",
        "ceph",
        "glusterfs",
        "fuse.sshfs",
        "fuse.glusterfs",
        "lustre",
        "davfs",
        "fuse.davfs2",
        "fuse.rclone",
        "fuse.s3fs",
        "beegfs",
        "ocfs2",
        "gfs2",
    ]
)


class Store:
    """The ledger file, shared by the threads of one process (one at a time) and by many processes (WAL)."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the ledger. Raises StateUnwritable, LedgerCorrupt, WrongLedger (a newer schema)."""
        self.path = path
        #: Called while waiting for another process, from whichever thread waits.
        self.on_wait: Callable[[], None] = lambda: None
        self._lock = threading.RLock()
        refuse_network_file_system(path.parent)
        with _translated(path):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
            )
        try:
            with _translated(path):
                self._prepare()
            self._inode = path.stat().st_ino
        except MigrationError:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        self._in_turn("PRAGMA journal_mode = WAL")
        # FULL: an intention must be on the disk before the request it announces leaves, power cut or not.
        connection.execute("PRAGMA synchronous = FULL")
        self._waits_for_disk = True
        connection.execute("PRAGMA cache_size = -8192")
        with self.transaction():
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                # executescript would commit on its own: half a schema after a crash.
                for statement in _statements(schema.TABLES):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {schema.VERSION}")
            elif version != schema.VERSION:
                self._upgrade(version)

    def _upgrade(self, version: int) -> None:
        """Makes an older ledger one of this version, inside the caller's transaction. Raises WrongLedger."""
        for step in range(version, schema.VERSION):
            for statement in schema.UPGRADES.get(step, ()):
                self._connection.execute(statement)
        if version not in schema.UPGRADES:
            raise WrongLedger(
                f"{self.path} has schema version {version}, this program knows {schema.VERSION}; "
                "use the program that made it, or another --state-dir"
            )
        self._connection.execute(f"PRAGMA user_version = {schema.VERSION}")

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing, on the disk when the block ends; not `durable` survives this process only. Not re-entrant."""
        with self._lock, _translated(self.path):
            if durable != self._waits_for_disk:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._waits_for_disk = durable
            with self._transaction():
                yield self._connection

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._in_turn("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            # A COMMIT that failed for want of space leaves the transaction open; one that SQLite itself rolled back
            # does not.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _in_turn(self, statement: str) -> None:
        """Runs a statement that needs the file for itself, as soon as the other processes let it.

        A slow disk under several workers can keep the write lock busy for longer than one wait; and where two
        connections turn a new file to WAL at once SQLite fails one of them without any wait, lest both wait for ever.
        """
        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_busy),
            wait=tenacity.wait_random(0.01, 0.1),
            stop=tenacity.stop_after_delay(PATIENCE_SECONDS),
            before_sleep=lambda _state: self.on_wait(),
            reraise=True,
        )
        waiting(self._connection.execute, statement)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For single SELECTs, fetched whole inside the block."""
        with self._lock, _translated(self.path):
            yield self._connection

    def copy_to(self, target: Path) -> None:
        """A copy of the whole file, replaced atomically; other processes may go on writing meanwhile."""
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with self._lock, _translated(target):
            try:
                with closing(sqlite3.connect(temporary)) as copy:
                    self._connection.backup(copy)
                    copy.execute("PRAGMA journal_mode = DELETE")
                temporary.replace(target)
            except OSError as error:
                raise StateUnwritable(f"cannot write {target}: {error.strerror}") from error
            finally:
                temporary.unlink(missing_ok=True)

    def check_in_place(self) -> None:
        """Raises StateUnwritable when the file was deleted or replaced: SQLite would go on writing to nothing."""
        try:
            in_place = self.path.stat().st_ino == self._inode
        except OSError:
            in_place = False
        if not in_place:
            raise StateUnwritable(f"{self.path} was deleted or replaced while this worker was using it; start it again")

    def close(self) -> None:
        """Closes the connection; the last process to do so folds the WAL into the file."""
        with self._lock:
            self._connection.close()


def refuse_network_file_system(directory: Path, mounts: Mapping[str, str] | None = None) -> None:
    """Raises StateUnwritable on NFS, SMB and their like: SQLite's WAL needs shared memory and honest locks.

    `mounts` are file system types by mount point, those of this machine by default.
    """
    if mounts is None:
        mounts = {part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)}
    place = directory.resolve()
    kind = next((mounts[str(parent)] for parent in (place, *place.parents) if str(parent) in mounts), "")
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StateUnwritable(
            f"{directory} is on a network file system ({kind}), where the ledger cannot be kept safely; "
            "give a --state-dir on a local disk"
        )


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _meaning(error, path) from error


def _is_busy(error: BaseException) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _meaning(error: sqlite3.DatabaseError, path: Path) -> MigrationError | sqlite3.DatabaseError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if _is_busy(error):
        return LedgerBusy(f"{path} is locked by another process for longer than {PATIENCE_SECONDS:g} s")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return LedgerCorrupt(
            f"{path} is damaged ({error}); at the next start it is set aside and rebuilt from its backup and the server"
        )
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        writable = os.access(path.parent, os.W_OK)
        advice = (
            "free some space on its disk" if writable else "make its directory writable or give another --state-dir"
        )
        return StateUnwritable(f"cannot write {path}: {error}; {advice}")
    return error
