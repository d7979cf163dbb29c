"""`python -m deploy.prepare_server`: prepares MyBookshelf2's database for a migration.

It adds an index and languages, and a role for the direct lane if one is asked for.
What is done is decided in prepare_server.sql, since psql users have only that; here are
connection, dry run, report, errors, and the role's password.
"""

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from common.errors import CodedError, told
from common.sanitize import for_log
from common.settings.command_line import add_options, read_settings
from common.settings.programs import PrepareSettings
from migration.errors import ExitCode

SCRIPT = Path(__file__).with_name("prepare_server.sql")
#: Seconds to connect.
CONNECT_SECONDS = 10
#: Rows that others add between a query and its result make the result wrong: then it is
#: run again, this many times at most.
ROUNDS = 3
#: Detects dead connections even though a statement may run for long.
KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

_DOLLAR = re.compile(r"\$\w*\$")
_OLDEST = """
    SELECT pid, usename, state, extract(epoch FROM now() - xact_start)::bigint FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
    ORDER BY xact_start LIMIT 3
"""

Connection = psycopg.Connection[tuple[object, ...]]
Say = Callable[[str], object]


class NotPrepared(CodedError):
    """The server could not be prepared; the message says why.

    `exit_code` is the command's exit status.
    """

    code = "server-not-prepared"

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.SERVER) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Statement:
    r"""One statement of the SQL file.

    `asks` means that its result is the statements to run (psql's \gexec).
    """

    sql: str
    asks: bool


@dataclass(frozen=True, slots=True)
class Role:
    """The role of the direct lane; without a password it keeps the one it has."""

    name: str
    password: str = field(default="", repr=False)


def main() -> int:
    """Returns the exit status; see the epilog of --help."""
    parser = build_parser()
    given = parser.parse_args()
    values, _ = read_settings(given, PrepareSettings)
    if not values.db_uri:
        parser.error("no database given: set MBS2_DB_URI in the environment or in .env")
    try:
        role = Role(values.role, values.role_password) if values.role else None
        run(
            values.db_uri,
            lock_seconds=values.lock_timeout,
            dry_run=given.dry_run,
            role=role,
        )
    except NotPrepared as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted; what is half made is removed by the next run\n")
        return int(ExitCode.SIGINT)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.prepare_server",
        description="Prepares the PostgreSQL of a MyBookshelf2 server for a "
        "migration: an index on source(size, hash), "
        "unique when no duplicates stand in the way, and the languages of ISO 639-1; "
        "with --role a role that may do what the direct lane does, and no more. "
        "Changes no existing row, locks "
        "nobody out, may be run again at any time. The same by hand: psql -X -f "
        "deploy/prepare_server/prepare_server.sql",
        epilog="The database comes from MBS2_DB_URI, in the environment or in .env; "
        "give it there, not here, when "
        "it holds the password, for everybody on this machine can read a command "
        "line (or leave the password out: "
        "PGPASSWORD and ~/.pgpass work). The user must own the table source.\n\n"
        "examples:\n  python -m deploy.prepare_server --dry-run\n"
        "  MBS2_DB_URI=postgresql://ebooks:…@127.0.0.1:5433/ebooks python -m "
        "deploy.prepare_server\n\n"
        "exit status: 0 prepared, or it was already; 2 wrong usage, not "
        "MyBookshelf2's database, or a right is "
        "missing; 3 the database does not answer, refuses the login, or is busy: try "
        "again; 130 Ctrl-C",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--db-uri",
        metavar="URI",
        help="URI of the server's PostgreSQL: postgresql://USER@HOST:PORT/DATABASE "
        "[no default; environment: MBS2_DB_URI]",
    )
    add_options(parser, PrepareSettings, without={"db_uri"})
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would be run, in a read-only session",
    )
    return parser


def run(
    uri: str,
    *,
    lock_seconds: float = PrepareSettings.lock_timeout,
    dry_run: bool = False,
    role: Role | None = None,
) -> None:
    """Connects, prepares, and prints what was done and what was there.

    Raises NotPrepared.
    """
    name = role.name if role else ""
    with connect(uri, lock_seconds, dry_run=dry_run, role=name) as db:
        info = db.info
        where = f"database {info.dbname} on {info.host}:{info.port}, as {info.user}"
        _say(f"PostgreSQL {info.parameter_status('server_version')}, {where}")
        try:
            _in_rounds(db, dry_run)
            if role is not None and role.password:
                set_password(db, role, dry_run=dry_run)
        except psycopg.Error as error:
            raise explained(error, db, lock_seconds) from error


def _in_rounds(db: Connection, dry_run: bool) -> None:
    for left in reversed(range(ROUNDS)):
        try:
            prepare(db, _say, dry_run=dry_run)
        except psycopg.errors.UniqueViolation as error:
            if not left:
                raise
            _say(
                "somebody added rows meanwhile "
                f"({for_log(error.diag.message_primary or '', 200)}); looking again"
            )
        else:
            return


def set_password(db: Connection, role: Role, *, dry_run: bool) -> None:
    """Sets the role's password; the server gets it as SCRAM keeps it, in no clear text."""
    if dry_run:
        _say(f"would set the password of the role {role.name}")
        return
    secret = db.pgconn.encrypt_password(
        role.password.encode(), role.name.encode(), b"scram-sha-256"
    )
    db.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(
            sql.Identifier(role.name), sql.Literal(secret.decode("ascii"))
        )
    )
    _say(f"role: the password of {role.name} is set")


def prepare(db: Connection, say: Say, *, dry_run: bool) -> None:
    """Runs the SQL file as psql does. Raises psycopg.Error.

    In a dry run the resulting statements are only printed.
    """
    changes = 0
    for statement in statements(SCRIPT.read_text("utf-8")):
        answers = _texts(db, statement.sql)
        for text in answers:
            if not statement.asks:
                say(text)
            elif dry_run:
                say(f"would run: {text}")
            else:
                _carry_out(db, text, say)
        changes += len(answers) if statement.asks else 0
    if not changes:
        say("Nothing to do.")


def _carry_out(db: Connection, sql: str, say: Say) -> None:
    """Runs one changing statement; prints its result or its own text."""
    began = time.monotonic()
    said = _texts(db, sql)
    for text in said or [f"{sql} ({time.monotonic() - began:.1f} s)"]:
        say(text)


def _texts(db: Connection, sql: str) -> list[str]:
    cursor = db.execute(sql.encode())
    rows = cursor.fetchall() if cursor.description else []
    return [str(value) for row in rows for value in row if value is not None]


def statements(script: str) -> Iterator[Statement]:
    r"""Yields the statements of a psql script.

    Each must end its line with `;` or be followed by a line `\gexec`.
    """
    lines: list[str] = []
    quoted = False
    for line in script.splitlines():
        if not quoted and line.startswith("\\"):
            if line.rstrip() == "\\gexec":
                yield Statement("\n".join(lines), asks=True)
                lines = []
            continue
        if not quoted and (line.startswith("--") or not line.strip()):
            continue
        lines.append(line)
        quoted ^= len(_DOLLAR.findall(line)) % 2 == 1
        if not quoted and line.endswith(";"):
            yield Statement("\n".join(lines), asks=False)
            lines = []
    if lines:
        yield Statement("\n".join(lines), asks=False)


def connect(
    uri: str, lock_seconds: float, *, dry_run: bool, role: str = ""
) -> Connection:
    """Connects in autocommit mode, which CREATE INDEX CONCURRENTLY needs.

    Raises NotPrepared, without the password in the message.
    """
    try:
        given = conninfo_to_dict(uri)
    except psycopg.ProgrammingError:
        # The error's text quotes the URI, and with it the password.
        raise NotPrepared(
            "MBS2_DB_URI is not a PostgreSQL URI; it looks like "
            "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
            "special characters in the password written as %XX",
            ExitCode.USAGE,
        ) from None
    options = [
        str(given.get("options") or ""),
        f"-c prepare_server.lock_timeout={lock_seconds * 1000:.0f}ms",
    ]
    options += ["-c default_transaction_read_only=on"] if dry_run else []
    if role:
        escaped = re.sub(r"([\\\s])", r"\\\1", role)
        options.append(f"-c prepare_server.role={escaped}")
    whole = make_conninfo(
        uri,
        connect_timeout=CONNECT_SECONDS,
        application_name="prepare_server",
        options=" ".join(options),
        **KEEPALIVES,
    )
    try:
        return psycopg.connect(whole, autocommit=True)
    except psycopg.OperationalError as error:
        raise NotPrepared(_refusal(error, given)) from None


def _refusal(error: psycopg.OperationalError, given: Mapping[str, object]) -> str:
    """Returns why there is no connection, with the password removed if it is quoted."""
    text = str(error)
    for secret in ("password", "sslpassword"):
        text = text.replace(str(given.get(secret) or "\0"), "***")
    advice = "is it running, and are host and port right (deploy/database.compose.yml: 5433)?"
    if "authentication failed" in text or "no password supplied" in text:
        advice = "are user and password right?"
    elif "does not exist" in text or "pg_hba.conf" in text:
        advice = "are user and database right, and may this machine connect?"
    return f"no connection to the server's database: {for_log(text, 300)}; {advice}"


def explained(error: psycopg.Error, db: Connection, lock_seconds: float) -> NotPrepared:
    """Returns what a failed statement means and what to do."""
    said = for_log(error.diag.message_primary or type(error).__name__, 500)
    match error.sqlstate:
        case "MBS01" | "MBS02":
            return NotPrepared(
                f"{said}. {for_log(error.diag.message_hint or '', 2000)}",
                ExitCode.USAGE,
            )
        case "MBS03":
            return NotPrepared(f"{said}. {error.diag.message_hint}")
        case "42501":
            return NotPrepared(
                f"a right is missing: {said}. Connect as the owner of the tables.",
                ExitCode.USAGE,
            )
        case "55P03":
            return NotPrepared(
                f"a lock was not to be had within {lock_seconds:g} s{_oldest(db)}. "
                "Run this again when they have ended "
                "(restarting MyBookshelf2 ends those that were forgotten), or with a "
                "longer --lock-timeout; what is "
                "half made is removed then."
            )
    return NotPrepared(
        f"PostgreSQL says: {said}. What is half made is removed by the next run."
    )


def _oldest(db: Connection) -> str:
    """Describes the oldest open transactions; "" when that is not possible."""
    try:
        rows = db.execute(_OLDEST).fetchall()
    except psycopg.Error:
        return ""
    shown = [
        for_log(f"server process {pid} ({user}, {state}, for {age} s)", 200)
        for pid, user, state, age in rows
    ]
    return f": transactions are open, {'; '.join(shown)}" if shown else ""


def _say(text: str) -> None:
    sys.stdout.write(f"{for_log(text, 20_000)}\n")
    sys.stdout.flush()
