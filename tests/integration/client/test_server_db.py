"""Known hashes from the server's own PostgreSQL: a real one, started for the test."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from common.clock import SteadyClock
from migration.errors import Misconfigured, ServerUnreachable
from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.model import Counts, Digest
from migration.server import postgresql
from migration.state_files import logs
from migration.state_files.owner import this_process
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.workers import Workers
from tests.support.servers.postgreskit import running
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


@pytest.fixture
def database() -> Iterator[str]:
    """The URI of a PostgreSQL with the table `source`."""
    with running() as server:
        with psycopg.connect(server.uri(), autocommit=True) as db:
            db.execute(
                "CREATE TABLE source (id bigserial PRIMARY KEY, hash varchar(128) "
                "NOT NULL, size integer NOT NULL)"
            )
        yield server.uri()


def insert(uri: str, *rows: tuple[str, int]) -> None:
    """Sources on the server."""
    with psycopg.connect(uri, autocommit=True) as db:
        db.cursor().executemany("INSERT INTO source (hash, size) VALUES (%s, %s)", rows)


def test_hashes_are_learned_incrementally(database: str, tmp_path: Path) -> None:
    """All at first, later only what is new; rows that are no SHA-1 are passed over."""
    ledger = Ledger(tmp_path, this_process(1), SteadyClock())
    known = ledger.hashes
    insert(
        database,
        *((f"{number:040x}", number) for number in range(2000)),
        ("nonsense", 5),
    )
    assert postgresql.refresh(database, ledger) == 2000
    insert(database, ("f" * 40, 7))
    assert postgresql.refresh(database, ledger) == 1
    assert postgresql.refresh(database, ledger) == 0
    assert len(known) >= 2001
    assert Digest("f" * 40, 7) in known
    assert Digest("f" * 40, 8) not in known
    ledger.close()


def test_what_the_server_has_lost_is_forgotten_when_asked_exactly(
    database: str, tmp_path: Path
) -> None:
    """Old rows and new ones; an unchanged table is not read again."""
    ledger = Ledger(tmp_path, this_process(1), SteadyClock())
    known = ledger.hashes
    insert(
        database,
        *((f"{number:040x}", number) for number in range(50)),
        ("nonsense", 5),
        (f"{7:040x}", 7),
    )
    postgresql.refresh(database, ledger, exactly=True)
    first = len(ledger.hashes)
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("DELETE FROM source WHERE size IN (3, 4)")
    postgresql.refresh(database, ledger)
    assert Digest(f"{3:040x}", 3) in known
    postgresql.refresh(database, ledger, exactly=True)
    assert (Digest(f"{3:040x}", 3) in known, Digest(f"{7:040x}", 7) in known) == (
        False,
        True,
    )
    assert ledger.hashes.count() == 48
    postgresql.refresh(database, ledger, exactly=True)
    assert (ledger.hashes.count(), first) == (48, 50)
    ledger.close()


def test_the_servers_other_names_of_genres_are_read(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Those of genres, not of languages; again at each refresh. Without the table, and
    without the right to read it, there are none, with a word."""
    ledger = Ledger(tmp_path, this_process(1), SteadyClock())
    caplog.set_level("INFO")
    postgresql.refresh(database, ledger)
    assert postgresql.synonyms_known(ledger) == {}
    assert "no table 'synonym'" in caplog.text
    with psycopg.connect(database, autocommit=True) as db:
        db.execute(
            "CREATE TABLE synonym (id bigserial PRIMARY KEY, other_name varchar(512), "
            "our_name varchar(512), category char(3))"
        )
        db.execute(
            "INSERT INTO synonym (other_name, our_name, category) VALUES "
            "('Whodunit', 'Crime/Mystery', 'GNR'), ('eng', 'en', 'LNG')"
        )
    postgresql.refresh(database, ledger)
    assert postgresql.synonyms_known(ledger) == {"Whodunit": "Crime/Mystery"}
    ledger.close()


def test_what_is_wrong_is_named_without_the_password(
    database: str, tmp_path: Path
) -> None:
    """No table: not MyBookshelf2's; no server: unreachable."""
    ledger = Ledger(tmp_path, this_process(1), SteadyClock())
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("DROP TABLE source")
    with pytest.raises(Misconfigured, match="no table 'source'"):
        postgresql.refresh(database, ledger)
    with pytest.raises(ServerUnreachable) as unreachable:
        postgresql.refresh("postgresql://me:hunter2222@127.0.0.1:9/x", ledger)
    assert "hunter2222" not in str(unreachable.value)
    ledger.close()


def test_a_worker_with_the_database_uploads_only_what_is_new(
    database: str, tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """Files whose hashes are in `source` are duplicates, without a question to the
    server."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(6)))
    for number in (1, 2, 3):
        data = library.file(number).read_bytes()
        insert(database, (hashlib.sha1(data).hexdigest(), len(data)))
    code, said = workers.run(library.root, shelf, MBS2_DB_URI=database)
    assert code == 0, said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert found.counts == Counts(discovered=6, uploaded=3, duplicate=3)
    assert logs.hash_refresh(3) in said
