"""`--rebind`: the server has a new address, and is proved to be the same."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.clock import SteadyClock
from migration.checks.rebinding import Seen, refusal
from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.state_files.names import LEDGER_NAME
from migration.state_files.owner import this_process
from tests.support.environment import PASSWORD, USERNAME
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.undokit import ids, login
from tests.support.libraries.updatekit import FAST
from tests.support.migration.workerkit import lines_of
from tests.support.servers.firstuser import seed
from tests.support.servers.inprocess import LocalShelf, LocalWorkers

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
REBIND = ("--open-pass", "--rebind")


@pytest.fixture
def moved(
    tmp_path: Path, workers: LocalWorkers
) -> Iterator[tuple[Library, LocalShelf, str]]:
    """A library that was migrated, its server at a new address, and the old one."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)))
    data_dir = tmp_path / "shelf"
    seed(data_dir, USERNAME, PASSWORD)
    with LocalShelf(data_dir) as before:
        old = before.shelf.url
        assert workers.run(library.root, before.shelf, **FAST)[0] == 0
    with LocalShelf(data_dir) as after:
        assert after.shelf.url != old
        yield library, after, old


def bound(workers: LocalWorkers) -> str:
    return totals.bound_to(workers.state_dir / LEDGER_NAME)[1]


def test_the_same_server_is_taken(
    moved: tuple[Library, LocalShelf, str], workers: LocalWorkers
) -> None:
    """Without --rebind it is refused; after it everything accepts the new address, and
    nothing is sent twice."""
    library, server, old = moved
    code, said = workers.run(library.root, server.shelf, **FAST)
    assert (code, bound(workers)) == (2, old)
    assert "if it is the same server at a new address, start once with --rebind" in said
    assert workers.run(library.root, server.shelf, *REBIND, **FAST)[0] == 0
    assert bound(workers) == server.shelf.url
    assert any(
        f"The ledger of {old} goes on with {server.shelf.url}: 3 files looked up"
        in line
        for line in lines_of(workers)
    )
    made = ids(login(server.shelf))
    assert workers.run(library.root, server.shelf, **FAST)[0] == 0
    assert workers.run(library.root, server.shelf, "--verify", **FAST)[0] == 0
    assert ids(login(server.shelf)) == made
    with closing(sqlite3.connect(workers.state_dir / LEDGER_NAME)) as db:
        (kept,) = db.execute(
            "SELECT value FROM meta WHERE key = 'former_servers'"
        ).fetchone()
    assert [one["url"] for one in json.loads(kept)] == [old]


def test_another_server_is_not(
    tmp_path: Path, moved: tuple[Library, LocalShelf, str], workers: LocalWorkers
) -> None:
    """An empty one, and one that has the books of somebody else under the same ids."""
    library, _server, old = moved
    data_dir = tmp_path / "another"
    seed(data_dir, USERNAME, PASSWORD)
    with LocalShelf(data_dir) as another:
        code, said = workers.run(library.root, another.shelf, *REBIND, **FAST)
        assert code == 2
        assert "is not proved to be the same: of the 3 newest files" in said
        assert "3 not there" in said
        theirs = Library(tmp_path / "theirs")
        theirs.add(*epubs(range(50, 54)))
        more = LocalWorkers(tmp_path / "their state")
        assert more.run(theirs.root, another.shelf, **FAST)[0] == 0
        code, said = workers.run(library.root, another.shelf, *REBIND, **FAST)
        assert code == 2
        assert "3 in other ebooks or with other bytes" in said
    assert bound(workers) == old


def test_it_is_the_old_address_or_the_new_one(
    moved: tuple[Library, LocalShelf, str], workers: LocalWorkers
) -> None:
    """A process that ends between the two changes of the ledger leaves none of them."""
    _library, _server, old = moved
    path = workers.state_dir / LEDGER_NAME
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            "CREATE TRIGGER killed BEFORE UPDATE ON meta WHEN NEW.key = 'server' "
            "BEGIN SELECT RAISE(ABORT, 'killed'); END"
        )
    ledger = Ledger(workers.state_dir, this_process(1), SteadyClock())
    try:
        with pytest.raises(Exception, match="killed"):
            ledger.identity.rebind("http://new", NOW)
    finally:
        ledger.close()
    with closing(sqlite3.connect(path)) as db:
        found = dict(db.execute("SELECT key, value FROM meta").fetchall())
    assert found["server"] == old
    assert "former_servers" not in found


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ({Seen.SAME: 20}, ""),
        ({Seen.SAME: 11, Seen.GONE: 9}, ""),
        ({Seen.SAME: 10, Seen.GONE: 10}, "this one has 10 the same, 10 not there"),
        ({Seen.OTHER: 1}, "of the 1 newest files"),
        ({Seen.SAME: 1, Seen.OTHER: 1, Seen.GONE: 1}, "1 in other ebooks"),
    ],
)
def test_most_of_the_newest_must_be_there(found: dict[Seen, int], why: str) -> None:
    """People delete some ebooks; that makes no other server of it."""
    said = refusal(Counter(found))
    assert why in said
    assert bool(said) is bool(why)
