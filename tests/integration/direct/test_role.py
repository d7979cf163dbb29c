"""The role of the direct lane, as `python -m deploy.prepare_server --role` makes it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from migration.errors import ServerDatabaseUnusable
from migration.server.direct import doubles, proof
from migration.server.direct.batch import Written
from migration.server.direct.connection import connect
from migration.server.direct.doubles import Merged
from migration.server.direct.proof import UploadsDir
from migration.server.direct.rows import ServerRows
from tests.support.environment import PROJECT, clean_environment
from tests.support.servers.directkit import ShowsUploads, placed
from tests.support.servers.postgreskit import Postgres, binaries

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("postgresql")]

Ask = Callable[..., list[tuple[Any, ...]]]
#: A user of this name needs its password on that server.
ROLE, PASSWORD = "guarded", "p\"a'ss $1"


def prepare(uri: str, *options: str, **environment: str) -> tuple[int, str]:
    """Runs the command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.prepare_server", *options],
        cwd=PROJECT,
        env=clean_environment(MBS2_DB_URI=uri, **environment),
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def theirs(uri: str, ask: Ask) -> Any:
    """The URI of the database as the role; it is gone afterwards."""
    yield uri.replace("postgres@", f"{ROLE}:p%22a%27ss%20%241@")
    ask("DROP OWNED BY guarded")
    ask("DROP ROLE guarded")


def test_the_role_may_do_what_the_lane_does_and_no_more(
    uri: str,
    theirs: str,
    ask: Ask,
    open_rows: Callable[..., ServerRows],
    tmp_path: Path,
) -> None:
    """With its password: write, read back, prove, merge, take back, with the triggers
    led astray and not. A second run has nothing to do, and no password is shown."""
    code, said = prepare(uri, "--role", ROLE, PREPARE_ROLE_PASSWORD=PASSWORD)
    assert code == 0, said
    assert "role: guarded may do what the direct lane does" in said
    assert PASSWORD not in said
    assert "SCRAM" not in said
    code, said = prepare(uri, "--role", ROLE)
    assert (code, "Nothing to do." in said) == (0, True), said
    with pytest.raises(ServerDatabaseUnusable, match="refuses the login"):
        connect(theirs.replace("p%22a", "x"))
    # With it there are no doubles.
    ask("DROP INDEX source_size_hash_unique")
    for shadowed in (True, False):
        carry_out(theirs, ask, open_rows(where=theirs), shadowed=shadowed)
        ask("ALTER FUNCTION refresh(bigint) SET search_path = public, pg_temp")
    uploads = UploadsDir(tmp_path)
    session = connect(theirs)
    proof.prove(ShowsUploads(uri, tmp_path), session, uploads, 2)
    for sql in (
        'SELECT password FROM "user"',
        "UPDATE source SET size = 1",
        "DELETE FROM language",
        "UPDATE author SET last_name = 'x'",
        "ALTER TABLE ebook DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "CREATE ROLE more",
    ):
        with pytest.raises(ServerDatabaseUnusable, match="lacks a right"):
            session.rows(sql)
    session.close()


def carry_out(uri: str, ask: Ask, rows: ServerRows, *, shadowed: bool) -> None:
    """All that the lane does with rows."""
    ebooks, sources = rows.draw(2, 2)
    books = [
        placed(
            ebook,
            (ebook, (source,)),
            series=f"Birds {shadowed}",
            rating=80,
            book={"shelves": frozenset({"a"})},
        )
        for ebook, source in zip(ebooks, sources, strict=True)
    ]
    results = [one for one in rows.write(7, books) if isinstance(one, Written)]
    assert (len(results), rows.shadowed) == (2, shadowed)
    ask(
        "INSERT INTO series (version_id, created, modified, title) "
        "VALUES (1, now(), now(), %s)",
        f"Birds {shadowed}",
    )
    assert rows.merge_names() == Merged(series=1)
    digest = books[0].digests[0]
    ask(
        "INSERT INTO source (version_id, created, modified, ebook_id, location, "
        "format_id, size, hash) VALUES (1, now(), now(), %s, 'x', 8, %s, %s)",
        results[1].ebook_id,
        digest.size,
        digest.sha1,
    )
    [double] = rows.doubled(results[:1])
    assert doubles.take_back(rows.session(), results[0], double, 2)
    assert rows.taken([books[0].drawn.base_dir]) == frozenset()


def test_a_dry_run_and_a_user_who_may_not(uri: str, theirs: str, ask: Ask) -> None:
    """Nothing is made; who may not make it is told what to ask for."""
    code, said = prepare(
        uri, "--role", ROLE, "--dry-run", PREPARE_ROLE_PASSWORD=PASSWORD
    )
    assert code == 0, said
    assert "would run: CREATE ROLE guarded LOGIN" in said
    assert "would set the password of the role guarded" in said
    assert ask("SELECT count(*) FROM pg_roles WHERE rolname = 'guarded'") == [(0,)]
    ask("CREATE ROLE keeper LOGIN")
    try:
        for table in ("source", "language"):
            ask(f"ALTER TABLE {table} OWNER TO keeper")
        ask("GRANT CREATE ON SCHEMA public TO keeper")
        keeper = uri.replace("postgres@", "keeper@")
        code, said = prepare(keeper, "--role", ROLE)
        assert (code, 'may not make the role "guarded"' in said) == (2, True), said
        assert "CREATE ROLE guarded LOGIN; then run this again" in said
        code, said = prepare(uri, "--role", "x" * 64)
        assert (code, "longer than 63 bytes" in said) == (2, True), said
    finally:
        ask("REASSIGN OWNED BY keeper TO postgres")
        ask("DROP OWNED BY keeper")
        ask("DROP ROLE keeper")
        ask("CREATE ROLE guarded")


def test_psql_alone_makes_it_too(
    uri: str, theirs: str, ask: Ask, postgres: tuple[Postgres, str]
) -> None:
    """The name travels in PGOPTIONS; a name in capitals with a blank is one."""
    done = subprocess.run(
        [
            binaries() / "psql",
            *("-X", "-f", PROJECT / "deploy/prepare_server/prepare_server.sql", uri),
        ],
        env=clean_environment(PGOPTIONS="-c prepare_server.role=guarded"),
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "role: guarded may do what the direct lane does" in done.stdout
    name = 'A "b" \\c'
    code, said = prepare(uri, "--role", name)
    try:
        assert code == 0, said
        assert ask("SELECT count(*) FROM pg_roles WHERE rolname = %s", name) == [(1,)]
    finally:
        quoted = psycopg.sql.Identifier(name).as_string()
        ask(f"DROP OWNED BY {quoted}")
        ask(f"DROP ROLE {quoted}")
