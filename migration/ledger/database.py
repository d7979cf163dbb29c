"""One SQLite connection to the ledger: short transactions, translated errors."""

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

#: How long one statement waits for another process's transaction, in seconds. Ours take
#: milliseconds; the main thread must not block for longer than this.
BUSY_SECONDS = 4.0
#: How long a transaction waits for the lock altogether, in seconds.
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
    """The ledger file, shared by threads (one at a time) and processes (WAL)."""

    def __init__(self, path: Path, on_wait: Callable[[], None] = lambda: None) -> None:
        """Opens or creates the ledger.

        `on_wait` is called, from the waiting thread, while another process holds the
        file. Raises StateUnwritable, LedgerCorrupt or WrongLedger (a newer schema).
        """
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
        """Returns the ledger of a state directory."""
        return cls(state_dir / LEDGER_NAME, on_wait)

    def _prepare(self) -> None:
        connection = self._connection
        connection.row_factory = sqlite3.Row
        self._in_turn("PRAGMA journal_mode = WAL")
        # FULL: an intention must be on disk before its request leaves, even if the
        # power fails.
        connection.execute("PRAGMA synchronous = FULL")
        self._waits_for_disk = True
        connection.execute("PRAGMA cache_size = -8192")
        with self.transaction():
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                # executescript would commit by itself, leaving half a schema after a
                # crash.
                for statement in _statements(schema.TABLES):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {schema.VERSION}")
            elif version != schema.VERSION:
                self._upgrade(version)

    def _upgrade(self, version: int) -> None:
        """Upgrades an older ledger inside the caller's transaction.

        Raises WrongLedger.
        """
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
        """Runs the block as one transaction, on disk when it ends. Not re-entrant.

        If not `durable`, it survives the end of this process, but not a power cut.
        """
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
            # A COMMIT that fails for lack of space leaves the transaction open; after a
            # rollback by SQLite itself it is closed.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _in_turn(self, statement: str) -> None:
        """Runs a statement that needs the write lock, waiting for other processes.

        A slow disk under several workers can keep the lock busy for longer than one
        wait; and where two connections turn a new file to WAL at once, SQLite fails one
        of them without any wait, to avoid a deadlock.
        """
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
        """Yields the connection for single SELECTs, fetched inside the block."""
        with self._lock, self._translated():
            yield self._connection

    def back_up(self) -> None:
        """Copies the whole file beside it, replaced atomically.

        Other processes may go on writing meanwhile.
        """
        target = self.path.with_name(BACKUP_NAME)
        with self._lock, _translated(target):
            try:
                copier(self._connection, target)
            except OSError as error:
                raise StateUnwritable(
                    f"cannot write {target}: {reason_of(error)}"
                ) from error

    def check_in_place(self) -> None:
        """Raises LedgerCorrupt when the ledger's files were changed by something else.

        They may have been deleted, replaced, truncated or overwritten. Raises
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
        """Translates SQLite's errors.

        A truncated file is damage, whatever SQLite calls it.
        """
        try:
            with _translated(self.path):
                yield
        except StateUnwritable:
            self.check_in_place()
            raise

    @property
    def inode(self) -> int:
        """The inode of the file that was opened."""
        return self._files.inode if self._files is not None else 0

    def close(self) -> None:
        """Closes the connection.

        The last process to do so merges the WAL into the file.
        """
        with self._lock:
            self._connection.close()
            if self._files is not None:
                self._files.close()
                self._files = None


def copy(connection: sqlite3.Connection, target: Path) -> None:
    """Copies a whole database, replacing the target atomically.

    Raises OSError or sqlite3.Error.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with closing(sqlite3.connect(temporary)) as made:
            connection.backup(made)
            made.execute("PRAGMA journal_mode = DELETE")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


#: How the backup is made. A confined worker may make no file beside the ledger, and
#: asks another process to (`migration/confinement/inside.py`).
copier: Callable[[sqlite3.Connection, Path], None] = copy


def refuse_network_file_system(
    directory: Path, mounts: Mapping[str, str] | None = None
) -> None:
    """Raises StateUnwritable on NFS, SMB and the like.

    SQLite's WAL needs shared memory and reliable locks. `mounts` are file system types
    by mount point, by default those of this machine.
    """
    kind = network_file_system(directory, mounts)
    if kind:
        raise StateOnNetwork(
            f"{directory} is on a network file system ({kind}), where the ledger "
            "cannot be kept safely; "
            "give a --state-dir on a local disk"
        )


def network_file_system(
    directory: Path, mounts: Mapping[str, str] | None = None
) -> str:
    """Returns the kind of the network file system a directory is on, "" on a disk."""
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
    return kind if kind in _NETWORK_FILE_SYSTEMS else ""


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
