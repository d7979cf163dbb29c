"""What the database's errors mean for the direct lane."""

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.errors import (
    MigrationError,
    ServerDatabaseUnusable,
    ServerFault,
    ServerUnreachable,
)
from migration.server.direct import connection

ERRORS = psycopg.errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ERRORS.InsufficientPrivilege(), ServerDatabaseUnusable),
        (ERRORS.ReadOnlySqlTransaction(), ServerDatabaseUnusable),
        (ERRORS.UndefinedTable(), ServerDatabaseUnusable),
        (ERRORS.UndefinedColumn(), ServerDatabaseUnusable),
        (ERRORS.FeatureNotSupported(), ServerDatabaseUnusable),
        (ERRORS.LockNotAvailable(), ServerFault),
        (ERRORS.QueryCanceled(), ServerFault),
        (ERRORS.DeadlockDetected(), ServerFault),
        (ERRORS.SerializationFailure(), ServerFault),
        (ERRORS.AdminShutdown(), ServerUnreachable),
        (ERRORS.CrashShutdown(), ServerUnreachable),
        (ERRORS.CannotConnectNow(), ServerUnreachable),
        (ERRORS.TooManyConnections(), ServerUnreachable),
        (ERRORS.IdleInTransactionSessionTimeout(), ServerUnreachable),
        (ERRORS.DiskFull(), ServerUnreachable),
        (psycopg.OperationalError("server closed"), ServerUnreachable),
        (psycopg.InterfaceError("closed"), ServerUnreachable),
    ],
)
def test_what_the_caller_must_do(
    error: psycopg.Error, kind: type[MigrationError]
) -> None:
    """Wait, or stop: never the file's fault."""
    assert type(connection.ours(error)) is kind


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('FATAL: password authentication failed for user "x"', ServerDatabaseUnusable),
        ("fe_sendauth: no password supplied", ServerDatabaseUnusable),
        ('FATAL: database "hunter2" does not exist', ServerDatabaseUnusable),
        ("FATAL: no pg_hba.conf entry for host", ServerDatabaseUnusable),
        ("FATAL: unsupported startup parameter: options", ServerDatabaseUnusable),
        ("Connection refused", ServerUnreachable),
        ("timeout expired", ServerUnreachable),
        ("could not translate host name hunter2", ServerUnreachable),
    ],
)
def test_why_there_is_no_connection(text: str, kind: type[MigrationError]) -> None:
    """The text itself, which may hold the password, is not repeated."""
    refused = connection.refusal(f"{text} hunter2")
    assert type(refused) is kind
    assert "hunter2" not in str(refused)


def test_a_uri_that_is_none_keeps_its_password() -> None:
    """Not even that of a broken one is shown."""
    with pytest.raises(ServerDatabaseUnusable) as caught:
        connection.connect("postgresql://me:hunter2@[/x")
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=40), st.text(max_size=40))
def test_lock_keys_are_bigints_and_differ(one: str, other: str) -> None:
    """Of each name its own."""
    assert -(2**63) <= connection.lock_key(one) < 2**63
    same = connection.lock_key(one) == connection.lock_key(other)
    assert same == (one == other)
