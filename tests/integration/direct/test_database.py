"""Refusals of the direct lane: whose database it is, and what may be done there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from migration.errors import ServerDatabaseUnusable
from migration.server.direct import database, proof, schema
from migration.server.direct.connection import connect
from migration.server.direct.proof import UploadsDir
from tests.support.servers.directkit import ShowsUploads, copy_of
from tests.support.servers.postgreskit import Postgres, standby

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("postgresql")]

Ask = Callable[..., list[tuple[Any, ...]]]


def refusal(uri: str) -> str:
    """Why the database is refused; "" when it is not."""
    session = connect(uri)
    try:
        database.check(session)
    except ServerDatabaseUnusable as error:
        return str(error)
    finally:
        session.close()
    return ""


def test_the_known_tables_are_accepted(uri: str) -> None:
    """By a superuser, without a word."""
    assert refusal(uri) == ""


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("DROP TABLE bookshelf_item", "it has no table 'bookshelf_item'"),
        (
            "ALTER TABLE ebook RENAME TO old; CREATE VIEW ebook AS TABLE old",
            "it has no table 'ebook'",
        ),
        (
            "UPDATE version SET version = 1",
            "its schema has version 1, this lane knows 2",
        ),
        ("ALTER TABLE ebook DROP downloads", "ebook has no column downloads"),
        (
            "ALTER TABLE source ALTER size TYPE bigint",
            "source.size is bigint not null, not integer not null",
        ),
        ("ALTER TABLE ebook ADD more text", "ebook has a column more: more"),
        (
            "ALTER TABLE ebook DISABLE TRIGGER ebook_ts_insert",
            "ebook has no trigger ebook_ts_insert in force",
        ),
        (
            "CREATE TRIGGER spy AFTER INSERT ON source FOR EACH ROW EXECUTE FUNCTION "
            "update_ebook_full_text()",
            "source has a trigger more: spy",
        ),
        ("ALTER TABLE author ALTER id DROP DEFAULT", "no sequence author_id_seq"),
        (
            "INSERT INTO series (id, version_id, created, modified, title) VALUES "
            "(99, 1, now(), now(), 'x')",
            "the sequence series_id_seq is behind",
        ),
        ("ALTER TABLE ebook ENABLE ROW LEVEL SECURITY", "ebook has row security"),
        ("ALTER FUNCTION ebook_full_title RENAME TO x", "no function ebook_full_title"),
        (
            "ALTER TEXT SEARCH CONFIGURATION custom RENAME TO x",
            "no text search configuration 'custom'",
        ),
    ],
)
def test_another_schema_is_refused_with_what_differs(
    sql: str, words: str, uri: str, ask: Ask
) -> None:
    """One clause each."""
    ask(sql)
    assert words in refusal(uri)


def test_another_database_is_refused(postgres: tuple[Postgres, str]) -> None:
    """An empty one."""
    assert "it has no table 'author'" in refusal(postgres[0].uri("postgres"))


def test_a_role_without_rights_is_told_which(
    uri: str, ask: Ask, postgres: tuple[Postgres, str]
) -> None:
    """Each of them; with all of them it may write."""
    server, _ = postgres
    ask("DROP ROLE IF EXISTS lane")
    ask("CREATE ROLE lane LOGIN")
    name = uri.rpartition("/")[2]
    theirs = server.uri(name, "lane")
    said = refusal(theirs)
    assert "the user of MBS2_DB_URI may not: SELECT on author, INSERT on author" in said
    assert "SELECT on user.id" in said
    assert "USAGE and SELECT on the sequence ebook_id_seq" in said
    for table, rights in schema.RIGHTS.items():
        ask(f"GRANT {', '.join(rights)} ON {table} TO lane")
    for table in schema.NUMBERED:
        ask(f"GRANT USAGE, SELECT ON SEQUENCE {table}_id_seq TO lane")
    ask(f'GRANT SELECT ({", ".join(schema.USER_COLUMNS)}) ON "user" TO lane')
    assert refusal(theirs) == ""
    ask("REVOKE INSERT ON source FROM lane")
    ask(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
    assert refusal(theirs).startswith(
        "the user of MBS2_DB_URI may not: INSERT on source, TEMPORARY on the database;"
    )
    ask(f'GRANT TEMPORARY ON DATABASE "{name}" TO lane')
    ask("GRANT INSERT ON source TO lane")
    ask("ALTER ROLE lane SET default_transaction_read_only = on")
    assert "is read-only for its user" in refusal(theirs)
    ask(f'REVOKE TEMPORARY ON DATABASE "{name}" FROM lane')
    ask("DROP OWNED BY lane")


def test_a_standby_is_refused(postgres: tuple[Postgres, str]) -> None:
    """It has everything, and takes nothing."""
    server, name = postgres
    with standby(server) as second:
        assert "is a standby, which takes no changes" in refusal(second.uri(name))


# -- the proof -------------------------------------------------------------------------


@pytest.fixture
def uploads(tmp_path: Path) -> UploadsDir:
    """The folder in which the server keeps uploads."""
    path = tmp_path / "uploads"
    path.mkdir()
    return UploadsDir(path)


def proved(shows: ShowsUploads, uri: str, uploads: UploadsDir) -> str:
    """Why the proof fails; "" when all is one server's."""
    session = connect(uri)
    try:
        user = proof.user_id(shows, session, "migrator")
        proof.prove(shows, session, uploads, user)
    except ServerDatabaseUnusable as error:
        return str(error)
    finally:
        session.close()
    return ""


def test_all_of_one_server_is_proved_and_nothing_stays(
    uri: str, ask: Ask, uploads: UploadsDir
) -> None:
    """Three requests; no row, no file, no folder."""
    shows = ShowsUploads(uri, uploads.path)
    assert proved(shows, uri, uploads) == ""
    assert shows.asked == [
        "POST /api/upload",
        "GET /api/uploads-meta/N",
        "GET /api/uploads-meta/N/cover",
    ]
    assert ask("SELECT count(*) FROM upload") == [(0,)]
    assert list(uploads.path.iterdir()) == []


def test_what_belongs_to_another_server_is_named(
    uri: str, ask: Ask, uploads: UploadsDir, tmp_path: Path, postgres: Any
) -> None:
    """User, database, directory; nothing stays in any of them, but what only the
    server's own clean-up can reach: it goes by a row."""
    other = copy_of(*postgres)
    elsewhere = UploadsDir(tmp_path / "elsewhere")
    elsewhere.path.mkdir()
    shows = ShowsUploads(uri, uploads.path)
    assert "is another server's: http://127.0.0.1:6006 does not show" in proved(
        shows, other, uploads
    )
    assert "MBS2_DATA_DIR is not the data directory of" in proved(shows, uri, elsewhere)
    assert "user 3 there is not 'migrator'" in proved(
        ShowsUploads(uri, uploads.path, user_id="3"), uri, uploads
    )
    [(name,)] = ask("SELECT file FROM upload")
    assert [one.name for one in uploads.path.iterdir()] == [str(name).split("/")[0]]
    session = connect(other)
    assert session.rows("SELECT count(*) FROM upload") == [(0,)]
    session.close()
    assert list(elsewhere.path.iterdir()) == []


def test_what_a_killed_proof_left_is_removed_by_the_next(
    uri: str, ask: Ask, uploads: UploadsDir
) -> None:
    """Old enough, and ours."""
    for age, name in (("1 hour", "tmpa/x.txt"), ("1 minute", "tmpb/x.txt")):
        (uploads.path / name).parent.mkdir()
        (uploads.path / name).write_bytes(b"x")
        ask(
            "INSERT INTO upload (version_id, created, modified, file, load_source, "
            "format_id, size, hash, created_by_id) VALUES (1, localtimestamp - %s::interval,"
            " now(), %s, 'calibre-direct proof', 2, 1, 'x', 2)",
            age,
            name,
        )
    assert proved(ShowsUploads(uri, uploads.path), uri, uploads) == ""
    assert ask("SELECT file FROM upload") == [("tmpb/x.txt",)]
    assert [one.name for one in uploads.path.iterdir()] == ["tmpb"]


@pytest.mark.parametrize(
    "name", ["x", "/etc/passwd", "a/../b", "../x", "a/b/c", "a\0/b"]
)
def test_a_name_that_leads_elsewhere_is_not_opened(
    name: str, uploads: UploadsDir
) -> None:
    """The server says it, so it is not trusted."""
    with pytest.raises(ValueError, match="unknown way"):
        uploads.read(name)


def test_an_owner_is_found_by_name(uri: str) -> None:
    """Or not at all."""
    session = connect(uri)
    assert proof.owner_id(session, "librarian") == 3
    with pytest.raises(ServerDatabaseUnusable, match="no active user 'nobody'"):
        proof.owner_id(session, "nobody")
    session.close()
