"""One PostgreSQL for the tests of a module; each has a database of its own."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from migration.server.direct.rows import Choice, ServerRows
from tests.support.servers.directkit import CHOICE, copy_of, template
from tests.support.servers.postgreskit import Postgres, running


@pytest.fixture(scope="module")
def postgres() -> Iterator[tuple[Postgres, str]]:
    """The server, and the database that is copied."""
    with running() as found:
        yield found, template(found)


@pytest.fixture
def uri(postgres: tuple[Postgres, str]) -> str:
    """A database of the test's own."""
    return copy_of(*postgres)


@pytest.fixture
def open_rows(uri: str) -> Iterator[Callable[..., ServerRows]]:
    """Opens the rows of that database, as often as wanted."""
    made = []

    def opened(choice: Choice = CHOICE, where: str = "") -> ServerRows:
        rows = ServerRows.of(where or uri, choice)
        made.append(rows)
        return rows

    yield opened
    for rows in made:
        rows.close()


@pytest.fixture
def ask(uri: str) -> Iterator[Callable[..., list[tuple[object, ...]]]]:
    """Runs SQL as the server would."""
    with psycopg.connect(uri, autocommit=True) as db:

        def asked(sql: str, *values: object) -> list[tuple[object, ...]]:
            cursor = db.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []

        yield asked
