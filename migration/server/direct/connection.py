"""One session with the server's PostgreSQL, for the lane that writes rows into it.

Every statement has a time limit, and no lock is waited for longer than a second: people
use the server meanwhile. Errors of the database become ours; only those about values
(`VALUES`) pass, since the caller finds the book they are about.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from common.sanitize import for_log
from migration.errors import (
    MigrationError,
    ResponseLost,
    ServerDatabaseUnusable,
    ServerFault,
    ServerUnreachable,
)

#: The name by which an administrator finds our sessions in pg_stat_activity.
APPLICATION = "calibre-direct"
#: Seconds to connect.
CONNECT_SECONDS = 5
#: Milliseconds: of one statement; of waiting for a lock; of an open transaction in
#: which nothing happens, after which the server ends the session.
STATEMENT_MS, LOCK_MS, IDLE_MS = 60_000, 1_000, 10_000
#: How a dead network is noticed: seconds, seconds, number, milliseconds.
_KEEPALIVES = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
#: Errors about the values that were written.
VALUES = (psycopg.DataError, psycopg.IntegrityError)

Row = tuple[Any, ...]
Cursor = psycopg.Cursor[Row]

_BUSY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
_READ_ONLY = (
    "the server's database takes no changes (it is a standby, or read-only); "
    "MBS2_DB_URI must name the primary server"
)


class DatabaseSession:
    """A session of its own. Not thread-safe."""

    def __init__(self, connection: "psycopg.Connection[Row]") -> None:
        """Use `connect`."""
        self._connection = connection

    @property
    def broken(self) -> bool:
        """Whether the connection is gone; another one must be made then."""
        return self._connection.closed

    def rows(self, sql: LiteralString, values: Sequence[object] = ()) -> list[Row]:
        """Returns the rows of a query, in a transaction of its own."""
        with translated():
            cursor = self._connection.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    @contextmanager
    def transaction(self) -> Iterator[Cursor]:
        """Opens a transaction; it is committed unless an exception leaves the block.

        Raises ResponseLost when the answer to the commit is lost: what was written may
        be there. Raises one of `VALUES` as it is.
        """
        committing = False
        with translated():
            try:
                with self._connection.transaction(), self._connection.cursor() as db:
                    yield db
                    committing = True
            except psycopg.OperationalError as error:
                if committing:
                    raise ResponseLost(
                        "the server's database did not answer a commit "
                        f"({type(error).__name__})",
                        still_running=False,
                    ) from None
                raise

    def hold(self, token: int, seconds: float) -> None:
        """Takes the session lock of a batch; another session may have to end first.

        Raises ServerFault when it is not to be had within `seconds`.
        """
        with self.transaction() as db:
            db.execute(
                "SELECT set_config('lock_timeout', %s, true)",
                (f"{max(1, round(seconds * 1000))}ms",),
            )
            db.execute("SELECT pg_advisory_lock(%s)", (lock_key(f"batch {token}"),))

    def release(self, token: int) -> None:
        """Gives the session lock of a batch back."""
        self.rows("SELECT pg_advisory_unlock(%s)", (lock_key(f"batch {token}"),))

    def close(self) -> None:
        """Ends the session, and with it its locks."""
        self._connection.close()


def connect(uri: str) -> DatabaseSession:
    """Opens a session. Raises ServerUnreachable and ServerDatabaseUnusable."""
    try:
        given = conninfo_to_dict(uri)
    except psycopg.ProgrammingError:
        # The error's text quotes the URI, and with it the password.
        raise ServerDatabaseUnusable(
            "MBS2_DB_URI is not a PostgreSQL URI that works: ProgrammingError"
        ) from None
    options = (
        f"{given.get('options') or ''} -c statement_timeout={STATEMENT_MS}"
        f" -c lock_timeout={LOCK_MS}"
        f" -c idle_in_transaction_session_timeout={IDLE_MS}"
        " -c client_min_messages=warning -c search_path=public"
        # What the ledger calls arrived must be on the disk.
        " -c synchronous_commit=on"
    )
    whole = make_conninfo(
        uri,
        connect_timeout=CONNECT_SECONDS,
        application_name=APPLICATION,
        options=options.strip(),
        client_encoding="utf8",
        **_KEEPALIVES,
    )
    try:
        return DatabaseSession(psycopg.connect(whole, autocommit=True))
    except psycopg.OperationalError as error:
        raise refusal(str(error)) from None
    except psycopg.Error as error:
        raise ours(error) from None


def lock_key(name: str) -> int:
    """Returns the number by which all lanes know an advisory lock."""
    text = f"calibre-direct {name}"
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def refusal(text: str) -> MigrationError:
    """Returns what a refused connection means; `text` is not repeated.

    It may quote the URI with its password.
    """
    if "authentication failed" in text or "no password supplied" in text:
        return ServerDatabaseUnusable(
            "the server's database refuses the login of MBS2_DB_URI: are user and "
            "password right?"
        )
    if "does not exist" in text or "pg_hba.conf" in text:
        return ServerDatabaseUnusable(
            "the server's database does not let MBS2_DB_URI in: are user and database "
            "right, and may this machine connect?"
        )
    if "unsupported startup parameter" in text:
        return ServerDatabaseUnusable(
            "MBS2_DB_URI leads to a connection pooler; name PostgreSQL itself"
        )
    return ServerUnreachable("the server's database does not answer (no connection)")


@contextmanager
def translated() -> Iterator[None]:
    """Translates the database's errors into ours, all but those about values."""
    try:
        yield
    except VALUES:
        raise
    except psycopg.Error as error:
        raise ours(error) from None


def ours(error: psycopg.Error) -> MigrationError:
    """Returns our error for one of the database's, by what the caller must do."""
    kind = type(error).__name__
    said = for_log(error.diag.message_primary or kind, 200)
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return ServerDatabaseUnusable(
            f"the user of MBS2_DB_URI lacks a right in the server's database: {said}"
        )
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return ServerDatabaseUnusable(_READ_ONLY)
    if isinstance(error, _BUSY):
        return ServerFault(f"the server's database is busy ({kind}: {said})")
    if isinstance(error, psycopg.ProgrammingError | psycopg.NotSupportedError):
        return ServerDatabaseUnusable(
            "the server's database is not as this version knows MyBookshelf2's "
            f"({kind}: {said})"
        )
    return ServerUnreachable(f"the server's database does not answer ({kind})")
