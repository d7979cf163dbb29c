"""Whether something we made on the server may be deleted there. Pure.

Only what nobody has changed or used since: an ebook with a file, a rating, a place on a
shelf or a value that somebody else gave it stays, whoever asks for it to go.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from common.sanitize import for_log
from migration.ledger.records import Carried, StandingKind
from migration.metadata.compare import MERGED, Field
from migration.model import EbookId, ItemId, SourceId
from migration.server.payloads import Ebook

#: What stands because somebody edited the ebook.
_OTHERS_EDITS = frozenset(
    {StandingKind.KEPT, StandingKind.CONFLICT, StandingKind.OVERWRITTEN}
)
#: A source as it was sent: server's format, size.
Sent = tuple[str, int]


class Fate(StrEnum):
    """What becomes of one thing."""

    GOES = "goes"
    STAYS = "stays"
    GONE = "gone"  #: it is not on the server any more


class Reason(StrEnum):
    """Why something stays, in the words of the report."""

    OTHER_USER = "another user owns it"
    FOREIGN_FILE = "it holds a file of somebody else"
    ANOTHER_RUN = "it holds a file of another pass"
    FILES_CHANGED = "its files were changed"
    NOT_RECORDED = "what was sent is not recorded"
    EDITED = "somebody has changed it"
    COVER = "its cover was changed"
    FOLDER = "another ebook has the same folder"
    OWN_RATING = "your rating of it was changed"
    RATED = "somebody else has rated it"
    SHELVED = "it is on a shelf of somebody else"
    ROLE = "the user lacks the role superuser"
    ONLY_FILE = "its ebook would have no file"
    SHARED = "another book has the same file"
    NOTE = "its note was changed"
    IN_USE = "the shelf holds something else"
    RENAMED = "the shelf was changed"
    WITH_EBOOK = "its ebook stays"
    REFUSED = "the server does not delete it"
    IN_LIBRARY = "the library still has it"
    NO_UUID = "its uuid is not known"
    NOT_OUR_EBOOK = "it is in no ebook of ours"
    TOO_MANY = "more would have to go than --max-delete allows"
    NO_ROUTE = "the server has no request that deletes it"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The fate of one thing; `detail` adds to the reason for which it stays."""

    fate: Fate
    reason: Reason | None = None
    detail: str = ""

    def __str__(self) -> str:
        if self.reason is None:
            return self.fate
        return f"{self.reason}{f' ({self.detail})' if self.detail else ''}"


GOES, GONE = Verdict(Fate.GOES), Verdict(Fate.GONE)


def stays(reason: Reason, detail: str = "") -> Verdict:
    """Returns the verdict on something that stays."""
    return Verdict(Fate.STAYS, reason, detail)


# -- ebooks ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenEbook:
    """All that is known of an ebook that is to go.

    `ebook` is as the server shows it now, None when it is gone; `ours` are the sources
    that go with it, `passes` the pass of each other one that we made. `cover` is the
    SHA-1 of the server's picture, `neighbours` other ebooks in its folder, `shelves`
    the names of the shelves it is on, by id, each None while nobody has asked.
    `our_shelves` are those it is on because of us;
    `taken` is our rating if it was taken back already.
    """

    ebook: Ebook | None
    known: Carried | None
    ours: Mapping[SourceId, Sent]
    passes: Mapping[SourceId, int]
    user_id: str
    superuser: bool
    cover: str | None = None
    neighbours: frozenset[EbookId] | None = None
    shelves: Mapping[int, str] | None = None
    our_shelves: frozenset[int] = frozenset()
    taken: float | None = None


def of_ebook(seen: SeenEbook) -> Verdict:
    """Decides about an ebook with all that is in it."""
    ebook = seen.ebook
    if ebook is None:
        return GONE
    if str(ebook.created_by) != seen.user_id:
        return stays(Reason.OTHER_USER)
    return (
        _by_files(seen, ebook)
        or _by_values(seen, ebook)
        or _by_ratings(seen, ebook)
        or _by_cover(seen)
        or _by_folder(seen)
        or _by_shelves(seen)
        or GOES
    )


def _by_files(seen: SeenEbook, ebook: Ebook) -> Verdict | None:
    shown = {source_id: (name, size) for source_id, name, size in ebook.sources}
    for source_id in shown:
        if str(ebook.owners.get(source_id)) != seen.user_id:
            return stays(Reason.FOREIGN_FILE, f"file {source_id}")
        if source_id not in seen.ours and source_id in seen.passes:
            return stays(Reason.ANOTHER_RUN, f"pass {seen.passes[source_id]}")
        if source_id not in seen.ours:
            return stays(Reason.FOREIGN_FILE, f"file {source_id}")
    for source_id, sent in seen.ours.items():
        if shown.get(source_id) != sent:
            return stays(Reason.FILES_CHANGED, f"file {source_id}")
    return None


def _by_values(seen: SeenEbook, ebook: Ebook) -> Verdict | None:
    if seen.known is None:
        return stays(Reason.NOT_RECORDED)
    before = seen.known.base.server
    # Values of other people, which a later update found and left.
    theirs = [one.field for one in seen.known.standing if one.kind in _OTHERS_EDITS]
    changed = theirs or [
        field
        for field in MERGED
        if field not in (Field.RATING, Field.COVER)
        and ebook.fields.of(field) != before.of(field)
    ]
    if changed:
        return stays(Reason.EDITED, ", ".join(changed))
    if ebook.modified_by is not None and str(ebook.modified_by) != seen.user_id:
        return stays(Reason.EDITED, f"user {ebook.modified_by}")
    return None


def _by_ratings(seen: SeenEbook, ebook: Ebook) -> Verdict | None:
    mine = ebook.fields.rating
    others = ebook.rating_count - (mine is not None)
    if others > 0 or (ebook.rating is not None and mine is None):
        return stays(Reason.RATED)
    expected = None if seen.known is None else seen.known.base.server.rating
    if mine == expected or (mine is None and seen.taken is not None):
        return None
    return stays(Reason.OWN_RATING)


def _by_cover(seen: SeenEbook) -> Verdict | None:
    before = "" if seen.known is None else seen.known.base.server.cover
    unknown = seen.cover is None
    return None if unknown or seen.cover == before else stays(Reason.COVER)


def _by_folder(seen: SeenEbook) -> Verdict | None:
    if not seen.neighbours:
        return None
    return stays(Reason.FOLDER, f"ebook {min(seen.neighbours)}")


def _by_shelves(seen: SeenEbook) -> Verdict | None:
    if seen.shelves is None:
        return None
    theirs = sorted(
        for_log(name, 60)
        for number, name in seen.shelves.items()
        if number not in seen.our_shelves
    )
    if theirs:
        return stays(Reason.SHELVED, ", ".join(map(repr, theirs[:3])))
    if seen.shelves and not seen.superuser:
        return stays(Reason.ROLE, "it is on shelves of ours")
    return None


# -- files -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenSource:
    """All that is known of one file that is to go, while its ebook stays.

    `ebook` is as the server shows it now; `sent` is the file as we sent it; `others`
    are books with the same bytes that have no source of their own.
    """

    ebook: Ebook | None
    source_id: SourceId
    sent: Sent
    user_id: str
    others: tuple[int, ...] = ()


def of_source(seen: SeenSource) -> Verdict:
    """Decides about one file."""
    ebook = seen.ebook
    if ebook is None:
        return GONE
    shown = {number: (name, size) for number, name, size in ebook.sources}
    if seen.source_id not in shown:
        return GONE
    if str(ebook.owners.get(seen.source_id)) != seen.user_id:
        return stays(Reason.OTHER_USER)
    if shown[seen.source_id] != seen.sent:
        return stays(Reason.FILES_CHANGED, "somebody else's file has its number now")
    if seen.others:
        named = ", ".join(str(number) for number in seen.others[:5])
        return stays(Reason.SHARED, f"book {named}")
    return stays(Reason.ONLY_FILE) if len(shown) == 1 else GOES


# -- shelves ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SeenItem:
    """An item we made, and the note it has now (a hash); None when it is gone."""

    note: str | None
    made_note: str
    superuser: bool


def of_item(seen: SeenItem) -> Verdict:
    """Decides about an item of a shelf whose ebook stays."""
    if seen.note is None:
        return GONE
    if seen.note != seen.made_note:
        return stays(Reason.NOTE)
    return GOES if seen.superuser else stays(Reason.ROLE)


@dataclass(frozen=True, slots=True)
class SeenShelf:
    """A shelf we made.

    `name` is its name now, None when it is gone; `items` are those on it, of which
    `going` go as well.
    """

    name: str | None
    made_name: str
    items: frozenset[ItemId]
    going: frozenset[ItemId]
    superuser: bool


def of_shelf(seen: SeenShelf) -> Verdict:
    """Decides about a shelf."""
    if seen.name is None:
        return GONE
    if seen.name != seen.made_name:
        return stays(Reason.RENAMED)
    others = seen.items - seen.going
    if others:
        return stays(Reason.IN_USE, f"{len(others)} items")
    return GOES if seen.superuser else stays(Reason.ROLE)
