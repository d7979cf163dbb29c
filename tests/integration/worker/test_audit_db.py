"""Files are proved by the server's own database where it is given."""

import hashlib
from pathlib import Path

import psycopg
import pytest

from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.auditkit import (
    audited,
    not_audited_yet,
    order_for,
    words,
)
from tests.support.migration.workerkit import FAST
from tests.support.migration.workers import Workers
from tests.support.servers.postgreskit import running
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration


def test_a_file_the_database_does_not_have_is_found(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """The server itself is not asked then: it has all three."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)))
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 0, said
    not_audited_yet(workers.state_dir)
    with running() as server:
        with psycopg.connect(server.uri(), autocommit=True) as db:
            db.execute(
                "CREATE TABLE source (id bigserial PRIMARY KEY, ebook_id bigint, hash "
                "varchar(128) NOT NULL, size integer NOT NULL)"
            )
            for book in (1, 3):
                data = library.file(book).read_bytes()
                db.execute(
                    "INSERT INTO source (ebook_id, hash, size) VALUES (%s, %s, %s)",
                    (book, hashlib.sha1(data).hexdigest(), len(data)),
                )
        order = order_for(library, shelf, workers.state_dir, db_uri=server.uri())
        assert words(audited(order)[0]) == [(2, "file not there")]
        not_there = order_for(library, shelf, workers.state_dir)
        assert audited(not_there)[0] == []
