"""Audits of a small library that was migrated to a server of the test's own."""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from common.settings.worker import Waits
from migration.audit import run
from migration.audit.findings import Finding
from migration.audit.messages import Checked, Message, Order
from migration.model import BookId
from tests.support.libraries.librarykit import Library
from tests.support.servers.shelf import Shelf

#: Short waits, for a server that answers after all.
WAITS = Waits(retry_first_seconds=0.05, probe_seconds=0.1, library_busy_seconds=0.2)


def order_for(library: Library, shelf: Shelf, state_dir: Path, **more: object) -> Order:
    """The order to audit what was migrated there."""
    given: dict[str, object] = {
        "library": library.root,
        "state_dir": state_dir,
        "server": shelf.url,
        "ws_url": "",
        "username": shelf.username,
        "password": shelf.password,
        "db_uri": "",
        "audit": "auto",
        "default_language": "en",
        "formats": frozenset(),
        "ratings": True,
        "waits": WAITS,
        **more,
    }
    # The fields of an order.
    return Order(**given)  # type: ignore[arg-type]


def audited(order: Order) -> tuple[list[Finding], int]:
    """Runs an audit here; returns what it found, and how many books it left."""
    told: list[Message] = []
    run.audit(order, told.append)
    found = [one for one in told if isinstance(one, Finding)]
    left = sum(one.left for one in told if isinstance(one, Checked))
    return found, left


def words(found: list[Finding]) -> list[tuple[int, str]]:
    """Book and kind of each difference."""
    return [(one.book_id, one.kind.value) for one in found]


def ledger_sql(state_dir: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    """Changes the ledger behind everybody's back."""
    path = state_dir / "migration_ledger.db"
    with closing(sqlite3.connect(path, timeout=10)) as db, db:
        for statement, values in statements:
            db.execute(statement, values)


def stand(state_dir: Path, book: int, field: str, server: str) -> None:
    """A difference of a book that was reported."""
    ledger_sql(
        state_dir,
        (
            "INSERT INTO standing VALUES (?, ?, 'kept', '', ?, 1)",
            (book, field, server),
        ),
    )


def patch(shelf: Shelf, ebook_id: int, **changes: object) -> None:
    """Somebody changes an ebook with the migration's login."""
    with shelf.session() as session:
        url = f"{shelf.url}/api/ebooks/{ebook_id}"
        version = session.get(url, timeout=20).json()["version_id"]
        body = {"version_id": version, **changes}
        answer: Mapping[str, object] = session.patch(url, json=body, timeout=20).json()
        assert "error" not in answer, json.dumps(dict(answer))


def ebook_of(state_dir: Path, book: int) -> int:
    """The ebook of a book."""
    path = state_dir / "migration_ledger.db"
    with closing(sqlite3.connect(path, timeout=10)) as db:
        row = db.execute("SELECT ebook_id FROM books WHERE book_id = ?", (book,))
        return int(row.fetchone()[0])


def not_audited_yet(state_dir: Path) -> None:
    """Makes every pass one that nobody has audited."""
    ledger_sql(state_dir, ("UPDATE passes SET audit = ''", ()))


def ids(*numbers: int) -> tuple[BookId, ...]:
    """Ids of books."""
    return tuple(map(BookId, numbers))
