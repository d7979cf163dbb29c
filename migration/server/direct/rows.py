"""The database side of the direct lane: what `lanes.direct.ports.Rows` asks for.

A session that is lost is replaced at the next call, after the same look at the
database as at the start.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from migration.errors import MigrationError, ServerDatabaseUnusable
from migration.model import EbookId, FileId, Receipt, SourceId
from migration.server.direct import database, doubles, reading
from migration.server.direct.batch import LeftBehind, Placed, Refused, Written
from migration.server.direct.connection import DatabaseSession, connect
from migration.server.direct.folders import Folders
from migration.server.direct.names import Names
from migration.server.direct.reading import Reader
from migration.server.direct.shelving import ShelfRows
from migration.server.direct.writing import Outcome, Writer

#: Seconds to wait for the lock of a batch: nobody else has that of a new one; that of a
#: killed process goes with its session, which ends its statement first.
OWN_LOCK, LEFT_LOCK = 5.0, 50.0

_IDENTITY = """
    SELECT system_identifier::text,
        (SELECT oid::int8 FROM pg_database WHERE datname = current_database()),
        'public.ebook'::regclass::oid::int8
    FROM pg_control_system()
"""
_EBOOK_IDS = "SELECT nextval('public.ebook_id_seq') FROM generate_series(1, %s)"
_SOURCE_IDS = "SELECT nextval('public.source_id_seq') FROM generate_series(1, %s)"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is written for whom.

    `login` is the user of the API, `owner` the user who owns the ebooks, both by id;
    `library` is the library's uuid. `looked` is the highest id of a source that the
    ledger knows. `public` and `description` are those of new shelves.
    """

    login: int
    owner: int
    library: str
    looked: int = 0
    public: bool = False
    description: str = ""


class ServerRows:
    """Rows of one server. Not thread-safe."""

    def __init__(
        self,
        open_session: Callable[[], DatabaseSession],
        choice: Choice,
    ) -> None:
        """Opens a session and looks at the database. Raises as `database.check`."""
        self._open = open_session
        self._choice = choice
        self._names = Names(choice.owner)
        self._shelves = ShelfRows(choice.owner, choice.public, choice.description)
        self._folders = Folders()
        self._identity: tuple[object, ...] | None = None
        self._session: DatabaseSession | None = None
        self._writer: Writer | None = None
        self.session()

    @classmethod
    def of(cls, uri: str, choice: Choice) -> "ServerRows":
        """Returns the rows of the database at a URI."""
        return cls(lambda: connect(uri), choice)

    def session(self) -> DatabaseSession:
        """Returns the session, a new one when it was lost."""
        if self._session is not None and not self._session.broken:
            return self._session
        session = self._open()
        try:
            database.check(session)
            identity = session.rows(_IDENTITY)[0]
        except BaseException:
            session.close()
            raise
        if self._identity not in (None, identity):
            session.close()
            raise ServerDatabaseUnusable(
                "the database of MBS2_DB_URI is another one than at the start"
            )
        self._identity, self._session, self._writer = identity, session, None
        return session

    @property
    def shadowed(self) -> bool | None:
        """Whether the server's triggers are led astray; None before the first book."""
        return self._writer.shadowed if self._writer else None

    def close(self) -> None:
        """Ends the session."""
        if self._session is not None:
            self._session.close()

    def draw(
        self, books: int, sources: int
    ) -> tuple[Sequence[EbookId], Sequence[SourceId]]:
        """Takes ids from the server's sequences; those not used are a harmless gap."""
        session = self.session()
        ebooks = session.rows(_EBOOK_IDS, (books,))
        files = session.rows(_SOURCE_IDS, (sources,))
        return (
            [EbookId(number) for (number,) in ebooks],
            [SourceId(number) for (number,) in files],
        )

    def taken(self, folders: Collection[str]) -> frozenset[str]:
        """Returns those of these folders that an ebook has whose files are not there.

        Of the others the folder itself is there.
        """
        return self._folders.taken(self.session(), folders)

    def write(
        self, token: int, placed: Sequence[Placed]
    ) -> Sequence[Written | Refused]:
        """Writes all rows of these books and reads them back, in their order.

        Raises Transient and Fatal; some of the books may have their rows then.
        """
        with self._held(token, OWN_LOCK) as session:
            outcome = self._written(session, placed)
            files = {
                one.drawn.ebook_id: dict(
                    zip(
                        one.drawn.source_ids,
                        (file.id for file in one.drawn.book.files),
                        strict=True,
                    )
                )
                for one in outcome.written
            }
            found = self._reader(session).written(files, just_now=True)
            gone = self._take_back(found)
        refused = {one.book: one for one in outcome.refused}
        for ebook, why in gone.items():
            book = found[ebook].book
            refused[book] = Refused(book, why)
        return [
            self._result(one, found, outcome, refused.get(one.drawn.book.id))
            for one in placed
        ]

    @staticmethod
    def _result(
        one: Placed,
        found: Mapping[EbookId, Written],
        outcome: Outcome,
        refused: Refused | None,
    ) -> Written | Refused:
        if refused is not None:
            return refused
        ebook = one.drawn.ebook_id
        if ebook not in found:
            # Deleted within the last milliseconds.
            return Refused(one.drawn.book.id, "its ebook was deleted at once")
        return replace(found[ebook], shelved=outcome.shelved.get(ebook, ()))

    def _written(self, session: DatabaseSession, placed: Sequence[Placed]) -> Outcome:
        if self._writer is None:
            choice = self._choice
            self._writer = Writer(
                session,
                self._names,
                self._shelves,
                choice.library,
                looked=choice.looked,
            )
        outcome = Outcome()
        self._writer.write(placed, outcome)
        return outcome

    def left(self, token: int, books: Sequence[LeftBehind]) -> Sequence[Written]:
        """Reads back those of a batch's books whose rows are there.

        First takes the batch's lock, so that no session that could still write them is
        left. Raises ServerFault when such a session does not end.
        """
        with self._held(token, LEFT_LOCK) as session:
            files = {
                one.ebook_id: {source: file for file, source, _path in one.files}
                for one in books
            }
            found = self._reader(session).written(files, just_now=False)
            items = reading.items(session, list(found), self._choice.owner)
        return [
            replace(found[one.ebook_id], shelved=items.get(one.ebook_id, ()))
            for one in books
            if one.ebook_id in found
        ]

    def provenance(self) -> Iterator[tuple[FileId, Receipt]]:
        """Yields every file that a lane has written for this library."""
        return reading.by_provenance(self.session(), self._choice.library)

    def merge_names(self) -> doubles.Merged:
        """Merges authors and series of ours that somebody else made as well."""
        return doubles.merge_names(self.session(), self._names)

    def merge(self) -> int:
        """Does so; returns how many of ours are gone."""
        merged = self.merge_names()
        return merged.authors + merged.series

    def doubled(self, written: Collection[Written]) -> Sequence[doubles.Doubled]:
        """Returns files of these books that somebody else has uploaded as well."""
        session = self.session()
        after = self._writer.after() if self._writer else self._choice.looked
        return doubles.files(session, written, after)

    def _take_back(self, found: Mapping[EbookId, Written]) -> dict[EbookId, str]:
        """Removes books of which somebody has uploaded a file at this very moment.

        Returns why, by ebook. They looked before ours was there, so ours is the second.
        """
        gone = {}
        for one in self.doubled(found.values()):
            written = found[one.ebook]
            if one.ebook not in gone and doubles.take_back(
                self.session(), written, one, self._choice.owner
            ):
                gone[one.ebook] = (
                    f"its {one.file.format} was uploaded at the same moment "
                    f"(ebook {one.other})"
                )
        return gone

    def _reader(self, session: DatabaseSession) -> Reader:
        return Reader(session, self._choice.login, self._choice.owner)

    @contextmanager
    def _held(self, token: int, seconds: float) -> Iterator[DatabaseSession]:
        session = self.session()
        session.hold(token, seconds)
        try:
            yield session
        finally:
            # A lost session has lost its locks.
            with suppress(MigrationError):
                session.release(token)
