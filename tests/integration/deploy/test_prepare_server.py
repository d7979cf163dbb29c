"""`python -m deploy.prepare_server` and prepare_server.sql on a real PostgreSQL with
MyBookshelf2's tables."""

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from bookshelf.storage.vocabulary import languages
from deploy.prepare_server.command import SCRIPT
from tests.support.environment import PROJECT, clean_environment
from tests.support.migration.workerkit import wait_for
from tests.support.servers.postgreskit import Postgres, binaries, running, standby

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("postgresql")]

CHECK = "SELECT id, ebook_id, location FROM source WHERE size = {} AND hash = '{}'"
UNIQUE, PLAIN = "source_size_hash_unique", "source_size_hash"
NUMBERS = itertools.count()
ISO = {code: name for _number, code, name in languages()}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One PostgreSQL for all of these tests; each makes a database of its own."""
    with running() as found:
        yield found


@pytest.fixture
def uri(server: Postgres) -> str:
    """A MyBookshelf2 database with 50 sources."""
    return server.mybookshelf2(f"books{next(NUMBERS)}", sources=50)


def command(uri: str, *options: str, **environment: str) -> "subprocess.Popen[str]":
    """The command, started; the URI travels in the environment, as it should."""
    return subprocess.Popen(
        [sys.executable, "-m", "deploy.prepare_server", *options],
        cwd=PROJECT,
        text=True,
        env=clean_environment(MBS2_DB_URI=uri, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit status and all it said."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def prepare(uri: str, *options: str, **environment: str) -> tuple[int, str]:
    """Runs the command to its end."""
    return ended(command(uri, *options, **environment))


def ask(uri: str, sql: str) -> list[tuple[object, ...]]:
    """The rows of a query, or none of a statement."""
    with psycopg.connect(uri, autocommit=True) as db:
        cursor = db.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def indexes(uri: str) -> dict[str, tuple[bool, bool]]:
    """Indexes on source's size and hash: name to (unique, valid)."""
    rows = ask(
        uri,
        "SELECT relname, indisunique, indisvalid FROM pg_index JOIN pg_class c ON "
        "c.oid = indexrelid "
        "WHERE indrelid = 'source'::regclass AND pg_get_indexdef(indexrelid) ~ 'hash'",
    )
    return {str(name): (bool(unique), bool(valid)) for name, unique, valid in rows}


def rows_as_they_are(uri: str) -> list[tuple[object, ...]]:
    """All rows that were there at first, with the transactions that last wrote them: an
    update would show."""
    return [
        *ask(
            uri,
            "SELECT count(*), md5(string_agg(s::text || s.xmin::text, ',' ORDER BY "
            "id)) FROM source s",
        ),
        *ask(
            uri, "SELECT l::text, xmin::text FROM language l WHERE id <= 4 ORDER BY id"
        ),
    ]


def nodes(uri: str, size: object, sha1: object) -> set[str]:
    """The kinds of steps in the plan of what `upload/check` asks."""
    plan = ask(uri, "EXPLAIN (FORMAT JSON) " + CHECK.format(size, sha1))[0][0]
    found, todo = set(), [json.loads(json.dumps(plan))[0]["Plan"]]
    while todo:
        step = todo.pop()
        found.add(step["Node Type"])
        todo += step.get("Plans", [])
    return found


def waiting_for_a_lock(uri: str) -> bool:
    """Is the command waiting for somebody's transaction?"""
    sql = (
        "SELECT 1 FROM pg_stat_activity WHERE application_name = 'prepare_server' "
        "AND wait_event_type = 'Lock'"
    )
    return bool(ask(uri, f"{sql} AND datname = current_database()"))


@contextmanager
def held_up(
    uri: str, *options: str
) -> Iterator["tuple[subprocess.Popen[str], psycopg.Connection[Any]]"]:
    """The command while it waits for a transaction of the server's, which ends when
    this does."""
    with psycopg.connect(uri) as busy:
        busy.execute("UPDATE source SET quality = 5 WHERE id = 1")
        process = command(uri, *options)
        wait_for(lambda: waiting_for_a_lock(uri))
        yield process, busy


@pytest.mark.slow
def test_200_000_sources_twice(server: Postgres) -> None:
    """The plan changes from reading the table to asking the index; the second run
    changes nothing."""
    uri = server.mybookshelf2("many", sources=200_000)
    before = rows_as_they_are(uri)
    [(size, sha1)] = ask(uri, "SELECT size, hash FROM source WHERE id = 123456")
    assert "Seq Scan" in nodes(uri, size, sha1)
    code, said = prepare(uri)
    assert code == 0, said
    assert nodes(uri, size, sha1) == {"Index Scan"}
    assert nodes(uri, size, "f" * 40) == {"Index Scan"}
    assert indexes(uri) == {UNIQUE: (True, True)}
    assert f"CREATE UNIQUE INDEX CONCURRENTLY {UNIQUE} ON source (size, hash)" in said
    assert "language: added 180: aa ab " in said
    assert "language: 184 of the 184 languages" in said
    shown = ask(uri, "SELECT id, code, name, version_id FROM language ORDER BY id")
    assert {code: name for _id, code, name, _version in shown} == ISO
    assert [row[0] for row in shown] == list(range(1, 185))
    assert {row[3] for row in shown} == {1}
    code, said = prepare(uri)
    assert code == 0, said
    assert f"unique index {UNIQUE}, " in said
    assert "there before" in said
    assert said.rstrip().endswith("Nothing to do.")
    assert rows_as_they_are(uri) == before
    assert (
        ask(uri, "SELECT id, code, name, version_id FROM language ORDER BY id") == shown
    )


def test_a_dry_run_says_it_and_does_nothing(uri: str) -> None:
    """What it says would be run is what would be run."""
    code, said = prepare(uri, "--dry-run")
    assert code == 0, said
    assert (
        f"would run: CREATE UNIQUE INDEX CONCURRENTLY {UNIQUE} ON source (size, hash)"
        in said
    )
    assert "INSERT INTO language" in said
    assert "source: there is no index on (size, hash)" in said
    assert indexes(uri) == {}
    assert ask(uri, "SELECT count(*) FROM language") == [(4,)]


def test_by_hand_with_psql(uri: str) -> None:
    """The same file, the same result, twice."""
    said = []
    for _ in range(2):
        done = subprocess.run(
            [binaries() / "psql", "-X", "-f", SCRIPT, uri],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=clean_environment(LC_ALL="C"),
        )
        assert (done.returncode, done.stderr) == (0, "")
        said.append(done.stdout.splitlines())
    assert [line.split(":")[0] for line in said[0]] == [
        "language",
        "source",
        "language",
    ]
    assert "made now" in said[0][1]
    assert said[1][0].endswith(", there before")
    assert indexes(uri) == {UNIQUE: (True, True)}
    # Two columns, asked for.
    assert dict(ask(uri, "SELECT code, name FROM language")) == ISO  # type: ignore[arg-type]


def test_with_duplicates_the_index_is_plain_until_they_are_gone(uri: str) -> None:
    """They are counted, a query to see them is given; later the plain index is
    exchanged for a unique one."""
    copy = (
        "INSERT INTO source SELECT nextval('source_id_seq'), version_id, created, "
        "modified, ebook_id, location, "
    )
    copy += "load_source, format_id, size, hash, quality, quality_count FROM source WHERE id IN "
    ask(uri, f"{copy} (3, 4)")
    ask(uri, f"{copy} (3)")
    code, said = prepare(uri)
    assert code == 0, said
    assert indexes(uri) == {PLAIN: (False, True)}
    assert (
        "source: 2 files are there more than once (3 rows too many), so no index can be unique"
        in said
    )
    query = said.split("Look at them with: ")[1].split(";")[0]
    assert sorted(int(str(row[2])) for row in ask(uri, query)) == [2, 3]
    code, said = prepare(uri)
    assert (code, "Nothing to do." in said, indexes(uri)) == (
        0,
        True,
        {PLAIN: (False, True)},
    )
    ask(uri, "DELETE FROM source WHERE id > 50")
    code, said = prepare(uri)
    assert code == 0, said
    assert indexes(uri) == {UNIQUE: (True, True)}
    assert said.index("CREATE UNIQUE INDEX") < said.index(
        "DROP INDEX CONCURRENTLY source_size_hash "
    )


@pytest.mark.parametrize(
    ("made", "after"),
    [
        ("CREATE UNIQUE INDEX mine ON source (hash, size)", {"mine": (True, True)}),
        (
            "ALTER TABLE source ADD CONSTRAINT mine UNIQUE (size, hash)",
            {"mine": (True, True)},
        ),
        ("CREATE UNIQUE INDEX mine ON source (hash)", {"mine": (True, True)}),
        (
            "CREATE INDEX mine ON source (hash)",
            {"mine": (False, True), UNIQUE: (True, True)},
        ),
        (
            "CREATE UNIQUE INDEX mine ON source (size, hash) WHERE size > 100",
            {"mine": (True, True), UNIQUE: (True, True)},
        ),
        (
            "CREATE INDEX mine ON source USING brin (size, hash)",
            {"mine": (False, True), UNIQUE: (True, True)},
        ),
    ],
    ids=[
        "unique the other way round",
        "a constraint",
        "unique on the hash",
        "plain",
        "for some rows only",
        "brin",
    ],
)
def test_an_index_of_another_name(
    uri: str, made: str, after: dict[str, tuple[bool, bool]]
) -> None:
    """One that serves counts; whatever somebody else has made stays."""
    ask(uri, made)
    code, said = prepare(uri)
    assert code == 0, said
    assert indexes(uri) == after


def test_a_busy_server_works_on_and_what_is_half_made_goes_later(uri: str) -> None:
    """An open transaction holds the index up, nobody else; it is named. The next run
    drops the invalid index."""
    with held_up(uri, "--lock-timeout", "3") as (process, busy):
        with psycopg.connect(
            uri, options="-c lock_timeout=1s", autocommit=True
        ) as other:
            other.execute("UPDATE source SET quality = 6 WHERE id = 2")
            assert other.execute(
                "SELECT count(*) FROM source WHERE size > 0"
            ).fetchall() == [(50,)]
        code, said = ended(process)
        assert code == 3
        assert (
            "a lock was not to be had within 3 s: transactions are open, server process"
            in said
        )
        assert str(busy.info.backend_pid) in said
    assert indexes(uri) == {UNIQUE: (True, False)}
    code, said = prepare(uri)
    assert code == 0, said
    assert f"DROP INDEX CONCURRENTLY {UNIQUE}" in said
    assert indexes(uri) == {UNIQUE: (True, True)}


def test_a_duplicate_that_comes_between_question_and_answer(uri: str) -> None:
    """It is uncommitted when the duplicates are counted, and there when the unique
    index is built: then a plain one."""
    with psycopg.connect(uri) as slow:
        slow.execute(
            "INSERT INTO source (version_id, created, modified, ebook_id, location, "
            "format_id, size, hash) "
            "SELECT 1, now(), now(), 1, 'again', 1, size, hash FROM source WHERE id = 7"
        )
        process = command(uri)
        wait_for(lambda: waiting_for_a_lock(uri))
        slow.commit()
    code, said = ended(process)
    assert code == 0, said
    assert "somebody added rows meanwhile (could not create unique index" in said
    assert indexes(uri) == {PLAIN: (False, True)}


def test_a_language_that_comes_between_question_and_answer(uri: str) -> None:
    """It is uncommitted when the languages are counted: the insert waits for it, fails,
    and is made anew without it."""
    prepare_index(uri)
    with psycopg.connect(uri) as slow:
        slow.execute(
            "INSERT INTO language (version_id, code, name) VALUES (1, 'de', 'Deutsch')"
        )
        process = command(uri)
        wait_for(lambda: waiting_for_a_lock(uri))
        slow.commit()
    code, said = ended(process)
    assert code == 0, said
    assert "looking again" in said
    assert ask(uri, "SELECT name FROM language WHERE code = 'de'") == [("Deutsch",)]
    assert ask(uri, "SELECT count(*) FROM language") == [(184,)]


def prepare_index(uri: str) -> None:
    """So that only the languages are left to do."""
    ask(uri, f"CREATE UNIQUE INDEX {UNIQUE} ON source (size, hash)")


def test_two_at_the_same_time(uri: str) -> None:
    """The second one says so and leaves; it would hold the first one up by waiting."""
    with held_up(uri) as (first, _busy):
        code, said = prepare(uri)
        assert code == 3
        assert (
            "somebody else is preparing this database just now (server process " in said
        )
    code, said = ended(first)
    assert code == 0, said
    assert indexes(uri) == {UNIQUE: (True, True)}


def test_a_connection_that_is_lost(uri: str) -> None:
    """The server ends it in the middle; the next run mends what is left."""
    with held_up(uri) as (process, _busy):
        ask(
            uri,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
            "application_name = 'prepare_server'",
        )
        code, said = ended(process)
    assert code == 3
    assert "What is half made is removed by the next run" in said
    assert prepare(uri)[0] == 0
    assert indexes(uri) == {UNIQUE: (True, True)}


def test_ctrl_c(uri: str) -> None:
    """The server is asked to stop as well; the next run mends what is left."""
    with held_up(uri) as (process, _busy):
        process.send_signal(signal.SIGINT)
        code, said = ended(process)
        assert (code, said.splitlines()[1:]) == (
            130,
            ["Interrupted; what is half made is removed by the next run"],
        )
        wait_for(lambda: not waiting_for_a_lock(uri))
    assert prepare(uri)[0] == 0
    assert indexes(uri) == {UNIQUE: (True, True)}


def test_languages_that_are_there_are_left_as_they_are(uri: str) -> None:
    """By code or by name; ids that were given by hand are no trouble."""
    ask(
        uri,
        "INSERT INTO language (id, version_id, code, name) VALUES (5, 3, 'fr', 'Français')",
    )
    ask(
        uri,
        "INSERT INTO language (id, version_id, code, name) VALUES (9, 2, 'ger', 'german')",
    )
    before = ask(uri, "SELECT * FROM language ORDER BY id")
    code, said = prepare(uri)
    assert code == 0, said
    assert "language: its sequence was 5 behind and was moved on" in said
    assert (
        "language: de is left out: there is a language German under the code ger"
        in said
    )
    assert "language: 183 of the 184 languages of ISO 639-1 are there" in said
    after = ask(uri, "SELECT * FROM language ORDER BY id")
    assert after[: len(before)] == before
    assert [row[0] for row in after[len(before) :]] == list(range(10, 10 + 178))
    assert prepare(uri)[1].rstrip().endswith("Nothing to do.")


def test_ids_from_a_sequence_that_belongs_to_no_column(uri: str) -> None:
    """As it is after some restores: only the default names it."""
    ask(uri, "CREATE SEQUENCE counted START 100")
    ask(uri, "ALTER TABLE language ALTER id SET DEFAULT nextval('counted')")
    ask(uri, "DROP SEQUENCE language_id_seq")
    assert prepare(uri)[0] == 0
    assert ask(uri, "SELECT min(id), count(*) FROM language WHERE id >= 100") == [
        (100, 180)
    ]
    ask(uri, "ALTER TABLE language ALTER id DROP DEFAULT")
    code, said = prepare(uri)
    assert (code, "language.id has no sequence to take ids from" in said) == (2, True)


def test_it_is_undone_as_the_docs_say(uri: str) -> None:
    """Index and languages go, but for one that a book uses; what was there stays."""
    _code, said = prepare(uri)
    added = said.split("language: added 180: ")[1].splitlines()[0]
    ask(
        uri,
        "UPDATE ebook SET language_id = (SELECT id FROM language WHERE code = 'eo')",
    )
    text = (PROJECT / "docs" / "deployment.md").read_text("utf-8")
    undo = text.split("```sql\n")[1].split("```")[0].replace("'aa ab'", f"'{added}'")
    for statement in undo.split(";\n"):
        ask(uri, statement or "SELECT 1")
    assert indexes(uri) == {}
    assert ask(uri, "SELECT string_agg(code, ' ' ORDER BY id) FROM language") == [
        ("cs en sk ru eo",)
    ]


def test_a_user_without_the_rights_is_told_which_grants(
    server: Postgres, uri: str
) -> None:
    """All of them at once, and nothing is half done; with them it works."""
    ask(uri, "CREATE ROLE reader LOGIN")
    ask(uri, "CREATE ROLE keeper")
    ask(uri, "ALTER TABLE source OWNER TO keeper")
    ask(uri, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    reader = uri.replace("postgres@", "reader@")
    code, said = prepare(reader)
    assert code == 2
    assert (
        'the user "reader" lacks the rights for this. Connect as "keeper", or let an '
        "administrator run: "
    ) in said
    sentence = said.strip().removesuffix(" [server-not-prepared]")
    grants = sentence.split("administrator run: ")[1].rstrip(";").split("; ")
    assert grants == [
        "GRANT keeper TO reader",
        "GRANT CREATE ON SCHEMA public TO reader",
        "GRANT SELECT, INSERT ON language TO reader",
        "GRANT USAGE, SELECT ON SEQUENCE public.language_id_seq TO reader",
    ]
    assert indexes(uri) == {}
    for grant in grants:
        ask(uri, grant)
    code, said = prepare(reader)
    assert code == 0, said
    assert indexes(uri) == {UNIQUE: (True, True)}


def test_a_database_that_is_not_mybookshelf2s(server: Postgres) -> None:
    """Empty, or with tables of the same names that are somebody else's: nothing is
    touched."""
    empty = server.create("empty")
    code, said = prepare(empty)
    assert (
        code,
        'the database "empty" is not MyBookshelf2\'s: it has no source.ebook_id, '
        in said,
    ) == (2, True)
    other = server.create("other")
    ask(other, "CREATE TABLE source (id serial, size int, hash text)")
    ask(
        other, "CREATE TABLE language (id serial, code text, name text, version_id int)"
    )
    code, said = prepare(other)
    assert (
        code,
        "it has no source.ebook_id, source.location" in said,
        indexes(other),
    ) == (2, True, {})


def test_no_connection(server: Postgres) -> None:
    """Refused, a wrong password, no such database, not a URI: each is named, and never
    with the password."""
    ask(server.uri(), "CREATE ROLE guarded LOGIN PASSWORD 'right-one'")
    wrong = f"postgresql://guarded:hunter2222@127.0.0.1:{server.port}/postgres"
    for uri, status, sign, advice in (
        (
            "postgresql://me:hunter2222@127.0.0.1:9/x",
            3,
            "Connection refused",
            "are host and port right",
        ),
        (wrong, 3, "password authentication failed", "are user and password right?"),
        (
            server.uri("nowhere"),
            3,
            'database "nowhere" does not exist',
            "are user and database right",
        ),
        (
            "postgresql://me:hunter2222@127.0.0.1:port/x",
            3,
            "invalid integer value",
            "no connection",
        ),
        (
            "mysql+x://me:hunter2222@127.0.0.1/x",
            2,
            "MBS2_DB_URI is not a PostgreSQL URI",
            "%XX",
        ),
        (
            "postgresql://me:hunter2222%@127.0.0.1/x",
            2,
            "MBS2_DB_URI is not a PostgreSQL URI",
            "%XX",
        ),
    ):
        code, said = prepare(uri)
        assert (code, sign in said, advice in said) == (status, True, True), said
        assert "hunter2222" not in said
        assert "Traceback" not in said
    right = wrong.replace("hunter2222", "right-one")
    code, said = prepare(right, "--dry-run")
    assert (code, "right-one" in said, "is not MyBookshelf2's" in said) == (
        2,
        False,
        True,
    )


def test_the_option_comes_before_the_environment(server: Postgres, uri: str) -> None:
    """And without either there is a sentence."""
    code, said = prepare(server.uri("nowhere"), "--db-uri", uri, "--dry-run")
    assert code == 0, said
    code, said = prepare("")
    assert (
        code,
        "no database given: set MBS2_DB_URI in the environment or in .env" in said,
    ) == (2, True)
    code, said = prepare(uri, PREPARE_LOCK_SECONDS="0")
    assert code == 2
    assert "PREPARE_LOCK_SECONDS='0' is not a number from 0.1 to 86400 (s" in said
    code, said = prepare(uri, "--lock-timeout", "0")
    assert (code, "it comes from option --lock-timeout" in said) == (2, True)


def test_a_server_that_takes_no_changes(server: Postgres, uri: str) -> None:
    """A standby says so; a session that is kept read-only changes nothing either."""
    with standby(server) as second:
        code, said = prepare(second.uri(uri.rpartition("/")[2]))
    assert (
        code,
        "this is a standby server, which takes no changes. Connect to the primary"
        in said,
    ) == (2, True), said
    code, said = prepare(f"{uri}?options=-c%20default_transaction_read_only%3Don")
    assert (
        code,
        "PostgreSQL says: cannot execute CREATE INDEX in a read-only" in said,
    ) == (3, True), said
    assert indexes(uri) == {}
