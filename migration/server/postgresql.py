"""Optional: the files the server has, read from its PostgreSQL (`MBS2_DB_URI`).

They are read incrementally by id. The table is `source(id bigint, hash varchar(128),
size integer, ebook_id bigint)`; the hash is SHA-1 in lower-case hex. Only SELECTs are
sent.
"""

import functools
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from common.sanitize import sanitize_text
from migration.errors import ServerDatabaseUnusable, ServerUnreachable
from migration.ledger.ledger import Ledger
from migration.model import Digest, EbookId, RemoteMatch
from migration.server.payloads import ListedEbook

if TYPE_CHECKING:
    import psycopg

#: Rows read at a time.
PAGE = 50_000
#: Ids are assigned before their transaction commits, so the newest ones are read again.
OVERLAP = 1_000
_NOTE = "server_db_last_id"
_SYNONYMS_NOTE = "server_synonyms"
log = logging.getLogger(__name__)


def refresh(uri: str, ledger: Ledger, *, exactly: bool = False) -> int:
    """Adds to the ledger what is new on the server; returns how many hashes were new.

    With `exactly`, what the server no longer has is forgotten too; that takes one count
    of its table, and reading the whole table when files are gone. Raises
    ServerUnreachable when the database does not answer, Misconfigured when it is not
    MyBookshelf2's.
    """
    new = _read_on(uri, ledger)
    _read_synonyms(uri, ledger)
    if exactly:
        known = ledger.hashes.count()
        if _count(uri) < known:
            ledger.hashes.forget_all()
            ledger.note(_NOTE, "0")
            _read_on(uri, ledger)
    return new


def synonyms_known(ledger: Ledger) -> dict[str, str]:
    """Returns the server's names of genres by other names, as last read."""
    return _synonyms(ledger.note(_SYNONYMS_NOTE))


@functools.lru_cache(maxsize=4)
def _synonyms(text: str) -> dict[str, str]:
    return {str(k): str(v) for k, v in json.loads(text).items()} if text else {}


def _read_synonyms(uri: str, ledger: Ledger) -> None:
    """Reads what other names the server knows for its genres (category GNR).

    A user who may not read that table is no trouble: MyBookshelf2's own are known.
    """
    import psycopg

    try:
        with _translated("synonym"), _connected(uri) as db:
            rows = db.execute(
                "SELECT other_name, our_name FROM synonym WHERE category = 'GNR' "
                "ORDER BY id"
            ).fetchall()
    except ServerDatabaseUnusable as error:
        if not isinstance(
            error.__cause__,
            psycopg.errors.UndefinedTable | psycopg.errors.InsufficientPrivilege,
        ):
            raise
        log.info("%s; genres are matched without its synonyms", error)
        rows = []
    found = {sanitize_text(other): sanitize_text(ours) for other, ours in rows}
    ledger.note(_SYNONYMS_NOTE, json.dumps(found, sort_keys=True))


def _read_on(uri: str, ledger: Ledger) -> int:
    new = 0
    after = max(0, int(ledger.note(_NOTE) or 0) - OVERLAP)
    for last_id, matches in _pages(uri, after):
        new += ledger.hashes.learn(matches)[0]
        ledger.note(_NOTE, str(last_id))
    return new


def _count(uri: str) -> int:
    """Counts the server's different files among those that `_match` accepts."""
    with _translated(), _connected(uri) as db:
        row = db.execute(
            "SELECT COUNT(*) FROM (SELECT DISTINCT hash, size FROM source"
            " WHERE hash ~ '^[0-9a-f]{40}$' AND size >= 0) AS files"
        ).fetchone()
    return int(row[0]) if row else 0


def holders(uri: str, digests: Iterable[Digest]) -> dict[Digest, EbookId]:
    """Returns the ebooks that hold these files, by hash and size.

    Missing ones are left out. Raises as `refresh` does.
    """
    found = {}
    with _translated(), _connected(uri) as db:
        for digest in digests:
            row = db.execute(
                "SELECT ebook_id FROM source WHERE hash = %s AND size = %s LIMIT 1",
                (digest.sha1, digest.size),
            ).fetchone()
            if row is not None:
                found[digest] = EbookId(row[0])
    return found


def marked(uri: str, after: EbookId) -> list[ListedEbook] | None:
    """Returns the ebooks above this id whose title may be a working title.

    None when there is no such database to ask. Raises ServerUnreachable.
    """
    if not uri:
        return None
    try:
        with _translated("ebook"), _connected(uri) as db:
            rows = db.execute(
                "SELECT id, title FROM ebook WHERE id > %s AND "
                "position(' ~' IN title) > 0",
                (after,),
            ).fetchall()
    except ServerDatabaseUnusable as error:
        log.info("%s; the server's ebooks are paged through", error)
        return None
    return [ListedEbook(EbookId(number), title) for number, title in rows]


def _pages(uri: str, after: int) -> Iterator[tuple[int, list[RemoteMatch]]]:
    with _translated(), _connected(uri) as db:
        while True:
            rows = db.execute(
                "SELECT id, hash, size FROM source WHERE id > %s ORDER BY id LIMIT %s",
                (after, PAGE),
            ).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            yield (
                after,
                [
                    match
                    for row in rows
                    if (match := _match(row[1], row[2])) is not None
                ],
            )


def _connected(uri: str) -> "psycopg.Connection[tuple[Any, ...]]":
    import psycopg

    return psycopg.connect(
        uri, connect_timeout=5, options="-c statement_timeout=60000", autocommit=True
    )


@contextmanager
def _translated(table: str = "source") -> Iterator[None]:
    """Translates the database's errors into ours; `table` is what is read."""
    import psycopg

    try:
        yield
    except psycopg.errors.UndefinedTable as error:
        raise ServerDatabaseUnusable(
            f"the database of MBS2_DB_URI has no table {table!r}: it is not "
            "MyBookshelf2's"
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise ServerDatabaseUnusable(
            f"the user of MBS2_DB_URI may not read the table {table!r}; grant it SELECT"
        ) from error
    except psycopg.ProgrammingError as error:
        raise ServerDatabaseUnusable(
            f"MBS2_DB_URI is not a PostgreSQL URI that works: {type(error).__name__}"
        ) from error
    except psycopg.Error as error:
        # The text of a connection error may contain the URI with its password.
        raise ServerUnreachable(
            f"the server's database does not answer ({type(error).__name__})"
        ) from None


def _match(sha1: str, size: int) -> RemoteMatch | None:
    try:
        return RemoteMatch(Digest(sha1, size))
    except (ValueError, TypeError):
        return None
