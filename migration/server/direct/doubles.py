"""Doubles that arose while people used the server: it has no unique constraints.

People look for a name or a file, the lane writes it, they write theirs. So after each
range the lane looks at what it made itself. Its own rows move to what others made, and
never the other way: people may have a page with theirs open.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from migration.model import Digest, EbookId, FileId, SourceId
from migration.server.direct.batch import Written
from migration.server.direct.connection import DatabaseSession
from migration.server.direct.names import Names, lock_names

#: Those of ours that somebody else has made as well: ours, theirs.
_AUTHORS = """
    SELECT a.id, min(b.id)
    FROM public.author a JOIN public.author b ON b.last_name = a.last_name
        AND b.first_name IS NOT DISTINCT FROM a.first_name AND b.id <> a.id
    WHERE a.id = ANY(%s) AND b.id <> ALL(%s) GROUP BY a.id
"""
_SERIES = """
    SELECT a.id, min(b.id) FROM public.series a
        JOIN public.series b ON b.title = a.title AND b.id <> a.id
    WHERE a.id = ANY(%s) AND b.id <> ALL(%s) GROUP BY a.id
"""
_MOVE_AUTHOR = """
    UPDATE public.ebook_authors w SET author_id = %(theirs)s
    WHERE w.author_id = %(ours)s
        AND w.ebook_id = ANY(%(ebooks)s)
        AND NOT EXISTS (SELECT 1 FROM public.ebook_authors o
            WHERE o.ebook_id = w.ebook_id AND o.author_id = %(theirs)s)
"""
_DROP_AUTHOR = """
    DELETE FROM public.author a WHERE a.id = %(ours)s AND a.version_id = 1
        AND NOT EXISTS (SELECT 1 FROM public.ebook_authors w WHERE w.author_id = a.id)
"""
_EBOOKS_OF_AUTHOR = """
    SELECT w.ebook_id FROM public.ebook_authors w
        JOIN public.ebook e ON e.id = w.ebook_id
    WHERE w.author_id = %(ours)s AND e.created_by_id = %(owner)s
"""
_MOVE_SERIES = """
    UPDATE public.ebook SET series_id = %(theirs)s
    WHERE series_id = %(ours)s AND created_by_id = %(owner)s
"""
_DROP_SERIES = """
    DELETE FROM public.series s WHERE s.id = %(ours)s AND s.version_id = 1
        AND NOT EXISTS (SELECT 1 FROM public.ebook e WHERE e.series_id = s.id)
        AND NOT EXISTS (SELECT 1 FROM public.bookshelf_item i WHERE i.series_id = s.id)
"""
_FILES = """
    SELECT ours.id, s.id, s.ebook_id FROM unnest(%s::bigint[], %s::text[], %s::int[])
            AS ours (id, hash, size)
        JOIN public.source s ON s.size = ours.size AND s.hash = ours.hash
            AND s.id <> ours.id
    WHERE s.id > %s ORDER BY ours.id, s.id
"""
#: Locked, so that nobody attaches, rates or shelves anything meanwhile; a foreign key
#: of theirs waits for us then, a moment.
_EBOOK = "SELECT version_id FROM public.ebook WHERE id = %(ebook)s FOR UPDATE"
_USED = """
    SELECT EXISTS (SELECT 1 FROM public.source s
            WHERE s.ebook_id = %(ebook)s AND s.id <> ALL(%(sources)s))
        OR EXISTS (SELECT 1 FROM public.ebook_rating r WHERE r.ebook_id = %(ebook)s
            AND r.created_by_id IS DISTINCT FROM %(owner)s)
        OR EXISTS (SELECT 1 FROM public.bookshelf_item i WHERE i.ebook_id = %(ebook)s
            AND i.created_by_id IS DISTINCT FROM %(owner)s)
"""
_DROP_RATINGS = "DELETE FROM public.ebook_rating WHERE ebook_id = %(ebook)s"
_DROP_ITEMS = "DELETE FROM public.bookshelf_item WHERE ebook_id = %(ebook)s"
_DROP_EBOOK = "DELETE FROM public.ebook WHERE id = %(ebook)s"
_STILL = "SELECT 1 FROM public.source WHERE id = %(theirs)s AND ebook_id = %(other)s"


@dataclass(frozen=True, slots=True)
class Merged:
    """How many names were merged, and how many doubles somebody uses by now."""

    authors: int = 0
    series: int = 0
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Doubled:
    """A file of ours that somebody else has uploaded as well, to the ebook `other`."""

    file: FileId
    digest: Digest
    source: SourceId
    ebook: EbookId
    theirs: SourceId
    other: EbookId


def merge_names(session: DatabaseSession, names: Names) -> Merged:
    """Merges new authors and series of ours with those that others have made."""
    authors, series = sorted(names.new_authors), sorted(names.new_series)
    found_authors = session.rows(_AUTHORS, (authors, authors)) if authors else []
    found_series = session.rows(_SERIES, (series, series)) if series else []
    merged = kept = 0
    for ours, theirs in found_authors:
        done = _merge_author(session, ours, theirs, names.owner)
        merged, kept = merged + done, kept + (not done)
    merged_series = 0
    for ours, theirs in found_series:
        done = _merge_series(session, ours, theirs, names.owner)
        merged_series, kept = merged_series + done, kept + (not done)
    if found_authors or found_series:
        names.forget()
    names.new_authors.clear()
    names.new_series.clear()
    return Merged(merged, merged_series, kept)


def _merge_author(session: DatabaseSession, ours: int, theirs: int, owner: int) -> bool:
    """Moves our ebooks to their author; whether ours is gone then.

    Somebody may have chosen ours for a book meanwhile: then it stays.
    """
    values: dict[str, object] = {"ours": ours, "theirs": theirs, "owner": owner}
    with session.transaction() as db:
        lock_names(db)
        db.execute(_EBOOKS_OF_AUTHOR, values)
        values["ebooks"] = [number for (number,) in db]
        db.execute(_MOVE_AUTHOR, values)
        db.execute(_DROP_AUTHOR, values)
        return db.rowcount == 1


def _merge_series(session: DatabaseSession, ours: int, theirs: int, owner: int) -> bool:
    """Moves our ebooks to their series; whether ours is gone then."""
    values = {"ours": ours, "theirs": theirs, "owner": owner}
    with session.transaction() as db:
        lock_names(db)
        db.execute(_MOVE_SERIES, values)
        db.execute(_DROP_SERIES, values)
        return db.rowcount == 1


def files(
    session: DatabaseSession, written: Collection[Written], after: int
) -> Sequence[Doubled]:
    """Returns files of these books that are there a second time, by another hand.

    Only sources with ids above `after` are looked at.
    """
    ours = {
        receipt.source_id: (file, receipt)
        for one in written
        for file, receipt in one.receipts
    }
    digests = [receipt.digest for _file, receipt in ours.values()]
    rows = session.rows(
        _FILES,
        (
            list(ours),
            [one.sha1 for one in digests],
            [one.size for one in digests],
            after,
        ),
    )
    found: dict[SourceId, Doubled] = {}
    for number, theirs, other in rows:
        if theirs in ours:
            continue
        file, receipt = ours[SourceId(number)]
        double = Doubled(
            file,
            receipt.digest,
            receipt.source_id,
            receipt.ebook_id,
            SourceId(theirs),
            EbookId(other),
        )
        found.setdefault(receipt.source_id, double)
    return list(found.values())


def take_back(
    session: DatabaseSession, written: Written, doubled: Doubled, owner: int
) -> bool:
    """Removes all rows of a book of which a person has uploaded a file as well.

    Nothing is done, and False returned, unless ours is as the lane left it, theirs is
    still there, and nobody has added to ours. The files on the disk are the caller's
    to remove.
    """
    values = {
        "ebook": written.ebook_id,
        "sources": [receipt.source_id for _file, receipt in written.receipts],
        "theirs": doubled.theirs,
        "other": doubled.other,
        "owner": owner,
    }
    with session.transaction() as db:
        row = db.execute(_EBOOK, values).fetchone()
        still = db.execute(_STILL, values).fetchone()
        if row is None or row[0] != written.version or still is None:
            return False
        used = db.execute(_USED, values).fetchone()
        if used is None or used[0]:
            return False
        db.execute(_DROP_RATINGS, values)
        db.execute(_DROP_ITEMS, values)
        db.execute(_DROP_EBOOK, values)
        return True
