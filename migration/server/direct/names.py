"""Authors, series and bookshelves by exact name: found, or made once.

The server has no unique constraint on names. All lanes look and make under one advisory
lock, so they make no doubles among each other; those that people make at the same
moment are found afterwards (`doubles`).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from migration.model import EbookMetadata, PersonName
from migration.server.direct.connection import (
    LOCK_MS,
    Cursor,
    DatabaseSession,
    lock_key,
)

#: Seconds to wait for the lock of names, which only lanes hold.
LOCK_SECONDS = 30
#: The most names that are remembered; then all are forgotten.
REMEMBERED = 100_000

Name = TypeVar("Name")

_LIMIT = "SELECT set_config('lock_timeout', %s, true)"
_LOCK = "SELECT pg_advisory_xact_lock(%s)"
#: The oldest of each name. A first name is null or not empty, as the API has it.
_AUTHORS = """
    SELECT min(a.id), w.last, w.first
    FROM unnest(%s::text[], %s::text[]) AS w (last, first)
        JOIN public.author a ON a.last_name = w.last
            AND a.first_name IS NOT DISTINCT FROM w.first
    GROUP BY w.last, w.first
"""
_NEW_AUTHORS = """
    INSERT INTO public.author (version_id, created, modified, last_name, first_name,
        created_by_id, modified_by_id)
    SELECT 1, localtimestamp + n * interval '1 microsecond',
        localtimestamp + n * interval '1 microsecond', last, first, %s, %s
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS w (last, first, n) ORDER BY n
    RETURNING id, last_name, first_name
"""
_SERIES = """
    SELECT min(id), title FROM public.series WHERE title = ANY(%s) GROUP BY title
"""
_NEW_SERIES = """
    INSERT INTO public.series (version_id, created, modified, title, created_by_id,
        modified_by_id)
    SELECT 1, localtimestamp + n * interval '1 microsecond',
        localtimestamp + n * interval '1 microsecond', title, %s, %s
    FROM unnest(%s::text[]) WITH ORDINALITY AS w (title, n) ORDER BY n
    RETURNING id, title
"""
_FORMATS = "SELECT extension, id FROM public.format"


@dataclass(slots=True)
class Names:
    """Ids by name, remembered as long as nothing shows that they are gone.

    `owner` is the user who is said to have made what is made. `new_authors` and
    `new_series` are those made here that were not looked at for doubles yet.
    """

    owner: int
    authors: dict[PersonName, int] = field(default_factory=dict)
    series: dict[str, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    new_authors: set[int] = field(default_factory=set)
    new_series: set[int] = field(default_factory=set)

    def forget(self) -> None:
        """Forgets all ids: somebody has merged or deleted one."""
        self.authors.clear()
        self.series.clear()
        self.formats.clear()

    def learn(self, session: DatabaseSession, books: Collection[EbookMetadata]) -> None:
        """Finds or makes the names of these books, in a short transaction."""
        if len(self.authors) + len(self.series) > REMEMBERED:
            self.forget()
        if not self.formats:
            self.formats.update(session.rows(_FORMATS))
        people = _unknown((one for book in books for one in book.authors), self.authors)
        titles = _unknown(
            (book.series for book in books if book.series is not None), self.series
        )
        if people or titles:
            self._find(session, people, titles)

    def _find(
        self, session: DatabaseSession, people: list[PersonName], titles: list[str]
    ) -> None:
        """Looks, and makes what is missing; what was made counts once committed."""
        with session.transaction() as db:
            lock_names(db)
            found = _authors(db, people)
            new = [one for one in people if one not in found]
            made = _made_authors(db, self.owner, new)
            series = _series(db, titles)
            new_titles = [one for one in titles if one not in series]
            made_series = _made_series(db, self.owner, new_titles)
        self.authors.update(found | made)
        self.series.update(series | made_series)
        self.new_authors.update(made.values())
        self.new_series.update(made_series.values())


def lock_names(db: Cursor) -> None:
    """Takes the lock under which names are looked for and made.

    It is gone with the transaction, of which this is the first step: whoever waits here
    is in nobody's way.
    """
    db.execute(_LIMIT, (f"{LOCK_SECONDS}s",))
    db.execute(_LOCK, (lock_key("names"),))
    db.execute(_LIMIT, (f"{LOCK_MS}ms",))


def _unknown(names: Iterable[Name], known: Mapping[Name, int]) -> list[Name]:
    return [one for one in dict.fromkeys(names) if one not in known]


def _authors(db: Cursor, people: Collection[PersonName]) -> dict[PersonName, int]:
    if not people:
        return {}
    db.execute(_AUTHORS, _columns(people))
    return {PersonName(last, first or ""): number for number, last, first in db}


def _made_authors(
    db: Cursor, owner: int, people: Collection[PersonName]
) -> dict[PersonName, int]:
    if not people:
        return {}
    db.execute(_NEW_AUTHORS, (owner, owner, *_columns(people)))
    return {PersonName(last, first or ""): number for number, last, first in db}


def _columns(people: Collection[PersonName]) -> tuple[list[str], list[str | None]]:
    return [one.last for one in people], [one.first or None for one in people]


def _series(db: Cursor, titles: Collection[str]) -> dict[str, int]:
    if not titles:
        return {}
    db.execute(_SERIES, (list(titles),))
    return {title: number for number, title in db}


def _made_series(db: Cursor, owner: int, titles: Collection[str]) -> dict[str, int]:
    if not titles:
        return {}
    db.execute(_NEW_SERIES, (owner, owner, list(titles)))
    return {title: number for number, title in db}
