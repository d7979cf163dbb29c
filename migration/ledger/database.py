"""One SQLite connection to the ledger: short immediate transactions, and every SQLite
failure as one of our errors."""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import psutil

from common.files.system_errors import reason_of
from common.lazily import tenacity
from common.resources import raise_if_exhausted
from migration.errors import (
    LedgerCorrupt,
    LedgerOfAnotherVersion,
    MigrationError,
    StateDirGone,
    StateOnNetwork,
    StateUnwritable,
)
from migration.ledger import schema, sqlite_errors
from migration.ledger.database_files import DatabaseFiles
from migration.ledger.sqlite_errors import is_busy
from migration.state_files.names import BACKUP_NAME, LEDGER_NAME

#: How long one statement waits for another process's transaction, seconds. Ours last
#: milliseconds; the main thread may not stand still for longer than this.
BUSY_SECONDS = 4.0
#: How long a transaction waits for the lock in all.
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


class LedgerDatabase:
    """The ledger file, shared by the threads of one process (one at a time) and by many
    processes (WAL)."""

    def __init__(self, path: Path, on_wait: Callable[[], None] = lambda: None) -> None:
        """Opens or creates the ledger. Raises StateUnwritable, LedgerCorrupt,
        WrongLedger (a newer schema).

        `on_wait` is called while another process is waited for, from whichever thread
        waits."""
        self.path = path
        self._on_wait = on_wait
        self._lock = threading.RLock()
        refuse_network_file_system(path.parent)
        self._files: DatabaseFiles | None = None
        with _translated(path):
            self._connection = sqlite3.connect(
                path,
                timeout=BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=256,
            )
        try:
            with _translated(path):
                self._prepare()
            self._files = _files(path)
        except MigrationError:
            self._connection.close()
            raise

    @classmethod
    def below(cls, state_dir: Path, on_wait: Callable[[], None]) -> "LedgerDatabase":
        """The ledger of a state directory."""
        return cls(state_dir / LEDGER_NAME, on_wait)

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        self._in_turn("PRAGMA journal_mode = WAL")
        # FULL: an intention must be on the disk before the request it announces leaves,
        # power cut or not.
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
        """Makes an older ledger one of this version, inside the caller's transaction.
        Raises WrongLedger."""
        for step in range(version, schema.VERSION):
            for statement in schema.UPGRADES.get(step, ()):
                self._connection.execute(statement)
        if version not in schema.UPGRADES:
            raise LedgerOfAnotherVersion(
                f"{self.path} has schema version {version}, this program knows {schema.VERSION}; "
                "use the program that made it, or another --state-dir"
            )
        self._connection.execute(f"PRAGMA user_version = {schema.VERSION}")

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing, on the disk when the block ends; not `durable` survives this
        process only. Not re-entrant."""
        with self._lock, self._translated():
            if durable != self._waits_for_disk:
                self._connection.execute(
                    f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}"
                )
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
            # A COMMIT that failed for want of space leaves the transaction open; one
            # that SQLite itself rolled back does not.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _in_turn(self, statement: str) -> None:
        """Runs a statement that needs the file for itself, as soon as the other
        processes let it.

        A slow disk under several workers can keep the write lock busy for longer than
        one wait; and where two connections turn a new file to WAL at once SQLite fails
        one of them without any wait, lest both wait for ever."""
        try:
            self._connection.execute(statement)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            self._wait_for_turn(statement)

    def _wait_for_turn(self, statement: str) -> None:
        self._on_wait()
        waiting = tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_busy),
            wait=tenacity.wait_random(0.01, 0.1),
            stop=tenacity.stop_after_delay(PATIENCE_SECONDS - BUSY_SECONDS),
            before_sleep=lambda _state: self._on_wait(),
            reraise=True,
        )
        waiting(self._connection.execute, statement)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """For single SELECTs, fetched whole inside the block."""
        with self._lock, self._translated():
            yield self._connection

    def back_up(self) -> None:
        """Copies the whole file beside it, replaced atomically; other processes may go
        on writing meanwhile."""
        target = self.path.with_name(BACKUP_NAME)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        with self._lock, _translated(target):
            try:
                with closing(sqlite3.connect(temporary)) as copy:
                    self._connection.backup(copy)
                    copy.execute("PRAGMA journal_mode = DELETE")
                temporary.replace(target)
            except OSError as error:
                raise StateUnwritable(
                    f"cannot write {target}: {reason_of(error)}"
                ) from error
            finally:
                temporary.unlink(missing_ok=True)

    def check_in_place(self) -> None:
        """Raises LedgerCorrupt when the ledger was deleted, replaced, cut short or
        overwritten under us.

        StateUnwritable when the whole directory is gone.
        """
        trouble = self._files.trouble() if self._files is not None else ""
        if not trouble:
            return
        if self._files is not None and self._files.directory_is_gone():
            raise StateDirGone(
                f"{self.path.parent} was deleted or replaced while this worker was "
                "using it; start it again"
            )
        raise LedgerCorrupt(f"{self.path} {trouble}; at the next start it is rebuilt")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Failures of SQLite as ours; a file that was cut short under us is damage,
        however SQLite puts it."""
        try:
            with _translated(self.path):
                yield
        except StateUnwritable:
            self.check_in_place()
            raise

    @property
    def inode(self) -> int:
        """The number of the file that was opened."""
        return self._files.inode if self._files is not None else 0

    def close(self) -> None:
        """Closes the connection; the last process to do so folds the WAL into the
        file."""
        with self._lock:
            self._connection.close()
            if self._files is not None:
                self._files.close()
                self._files = None


def refuse_network_file_system(
    directory: Path, mounts: Mapping[str, str] | None = None
) -> None:
    """Raises StateUnwritable on NFS, SMB and their like: SQLite's WAL needs shared
    memory and honest locks.

    `mounts` are file system types by mount point, those of this machine by default.
    """
    if mounts is None:
        mounts = _mounts()
    place = directory.resolve()
    kind = next(
        (
            mounts[str(parent)]
            for parent in (place, *place.parents)
            if str(parent) in mounts
        ),
        "",
    )
    if kind in _NETWORK_FILE_SYSTEMS:
        raise StateOnNetwork(
            f"{directory} is on a network file system ({kind}), where the ledger "
            "cannot be kept safely; "
            "give a --state-dir on a local disk"
        )


def _mounts() -> dict[str, str]:
    try:
        return {
            part.mountpoint: part.fstype for part in psutil.disk_partitions(all=True)
        }
    except OSError as error:
        raise_if_exhausted(error)
        raise


def _statements(script: str) -> Iterator[str]:
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _translated(path: Path) -> AbstractContextManager[None]:
    busy = f"{path} is locked by another process for longer than {PATIENCE_SECONDS:g} s"
    return sqlite_errors.translated(path, busy, writing=True)


def _files(path: Path) -> DatabaseFiles:
    try:
        return DatabaseFiles(path)
    except OSError as error:
        raise_if_exhausted(error)
        raise StateUnwritable(f"cannot use {path}: {reason_of(error)}") from error
