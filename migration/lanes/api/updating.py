"""An update: what Calibre changed is sent, what people changed on the server stays.

`metadata.compare` decides field by field; this carries it out and says what was done.
Everything may be done twice: a worker that takes over from a killed one reads the ebook
again and finds what is equal already.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from migration.errors import Rejected
from migration.lanes.api.closing_steps import ClosingSteps
from migration.lanes.lane import Work
from migration.ledger.ledger import Ledger
from migration.ledger.records import Carried, Standing, StandingKind
from migration.metadata.compare import (
    MERGED,
    SENT,
    Base,
    Fate,
    Field,
    Fields,
    Prefer,
    merge,
    of_metadata,
)
from migration.metadata.modified import is_before
from migration.model import Book
from migration.server.editing import Editor
from migration.server.payloads import Ebook, name_keys

#: Why a difference stands, by the field's fate.
_STANDS = {
    Fate.KEEP: StandingKind.KEPT,
    Fate.CONFLICT_KEEP: StandingKind.CONFLICT,
    Fate.CONFLICT_SEND: StandingKind.OVERWRITTEN,
}
NO_COVER_ROUTE = "the server has no way to remove a cover"


@dataclass(frozen=True, slots=True)
class UpdateRules:
    """How updates are made.

    `throttle` is called before a book is compared of which nothing is recorded.
    """

    prefer: Prefer
    ratings: bool
    throttle: Callable[[], None]

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields that are carried."""
        return tuple(
            field for field in MERGED if self.ratings or field is not Field.RATING
        )


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update did: the values now, what was sent, what the server refused."""

    carried: Carried
    fates: Mapping[Field, Fate]
    refused: Mapping[Field, str]

    @property
    def sent(self) -> list[Field]:
        """The fields that the server has Calibre's values of now."""
        return [
            field
            for field, fate in self.fates.items()
            if fate in SENT and field not in self.refused
        ]

    def new_in(self, pass_id: int) -> list[Standing]:
        """Returns the differences that this pass reports for the first time."""
        return [one for one in self.carried.standing if one.pass_id == pass_id]


def sentence(one: Standing) -> str:
    """Returns a reported difference as a sentence; both values are quoted."""
    values = f"Calibre {one.calibre!r}, server {one.server!r}"
    match one.kind:
        case StandingKind.CONFLICT:
            return (
                f"{one.field} was changed on both sides ({values}); the server's "
                "value stays, --prefer calibre sends Calibre's"
            )
        case StandingKind.OVERWRITTEN:
            return (
                f"{one.field} was changed on both sides ({values}); Calibre's value "
                "was sent, because of --prefer calibre"
            )
        case StandingKind.KEPT:
            return f"{one.field} was changed on the server only ({values}); it stays"
    return f"{one.field} is refused by the server ({values})"


@dataclass(frozen=True, slots=True)
class Updater:
    """Compares books with their ebooks and sends what changed. Thread-safe."""

    ledger: Ledger
    closing: ClosingSteps
    rules: UpdateRules

    @property
    def editor(self) -> Editor:
        """What changes ebooks."""
        return Editor(self.closing.client.session)

    def is_current(self, work: Work) -> bool:
        """Whether nothing that is carried has changed since; asks nobody."""
        known = self.ledger.carried.get(work.book.id)
        if known is None or self.ledger.carried.replaced(work.book.id):
            return False
        if self.rules.prefer is Prefer.CALIBRE and any(
            one.kind is StandingKind.CONFLICT for one in known.standing
        ):
            return False
        now = self._values(work, known)
        return known.extras == extras_of(work) and all(
            now.of(field) == known.base.calibre.of(field) for field in self.rules.fields
        )

    def _values(self, work: Work, known: Carried | None) -> Fields:
        """Returns the book's values as they are in Calibre now.

        A cover that cannot be read now counts as unchanged.
        """
        digest = self.closing.cover.digest(work.book)
        if digest is None:
            digest = known.base.calibre.cover if known is not None else ""
        return of_metadata(work.metadata, digest)

    def published(
        self, work: Work, ebook: Ebook, refused: Mapping[str, str], pass_id: int
    ) -> Carried:
        """Returns what was carried of a book whose closing steps were just taken.

        `refused` is what the server refused, by field.
        """
        calibre = self._values(work, None)
        # Also one that the server found in a file: its change is seen by --undo.
        shows = calibre.cover or ebook.cover
        cover = self.editor.cover(ebook.id) if shows else ""
        server = replace(ebook.fields, cover=cover, formats=calibre.formats)
        standing = tuple(
            _standing(field, StandingKind.REFUSED, calibre, server, pass_id)
            for field in self.rules.fields
            if field.value in refused
        )
        extras = extras_of(work)
        return Carried(Base(calibre, server), ebook.version, standing, extras)

    def update(self, work: Work, ebook: Ebook, pass_id: int) -> Updated:
        """Merges the book with the ebook, which was just read, and sends what changed.

        Raises Transient or Deferred.
        """
        known = self.ledger.carried.get(work.book.id)
        calibre = self._values(work, known)
        cover = self._server_cover(known, calibre, ebook)
        server = replace(ebook.fields, cover=cover, formats=calibre.formats)
        fates = self._fates(work.book, known, server, calibre)
        refused = self._send(work, ebook, calibre, fates)
        sent = {field for field, fate in fates.items() if fate in SENT}
        shown = (self.closing.client.ebook(ebook.id) if sent else None) or ebook
        if Field.COVER in sent - refused.keys():
            cover = self.editor.cover(ebook.id)
        after = replace(shown.fields, cover=cover, formats=calibre.formats)
        standing = self._standing(known, calibre, server, fates, refused, pass_id)
        extras = extras_of(work)
        carried = Carried(Base(calibre, after), shown.version, standing, extras)
        return Updated(carried, fates, refused)

    # -- deciding ----------------------------------------------------------------------

    def _fates(
        self, book: Book, known: Carried | None, server: Fields, calibre: Fields
    ) -> dict[Field, Fate]:
        fields = self.rules.fields
        if known is None:
            fates = self._first_fates(book, server, calibre)
        else:
            fates = merge(known.base, server, calibre, self.rules.prefer)
        if known is not None and self.rules.prefer is Prefer.CALIBRE:
            # A conflict of an earlier run, which is decided now.
            fates |= {
                one.field: Fate.CONFLICT_SEND
                for one in known.standing
                if one.kind is StandingKind.CONFLICT
                and one.server == server.reported(one.field)
                and fates[one.field] is Fate.SAME
                and server.of(one.field) != calibre.of(one.field)
            }
        return {field: fates[field] for field in fields}

    def _first_fates(
        self, book: Book, server: Fields, calibre: Fields
    ) -> dict[Field, Fate]:
        """Decides about a book of which nothing was recorded when it was carried.

        One that Calibre has not modified since the first pass was opened was carried as
        it is; of any other it is not known who changed it.
        """
        begun = None if self.ledger.rebuilt else self.ledger.carried.begun_at()
        # What the server made of a picture does not tell whose it is.
        alike = replace(server, cover=calibre.cover)
        if begun is not None and is_before(book.modified, begun):
            return merge(Base(calibre, calibre), alike, calibre, self.rules.prefer)
        as_sent = begun is not None and self.closing.cover.is_older(book, begun)
        shown = alike if as_sent or not calibre.cover else server
        return merge(None, shown, calibre, self.rules.prefer)

    def _server_cover(
        self, known: Carried | None, calibre: Fields, ebook: Ebook
    ) -> str:
        """Returns the SHA-1 of the server's cover; read only where it decides."""
        if known is None:
            # It is what a later change of the cover is told by.
            shows = calibre.cover or ebook.cover
            return self.editor.cover(ebook.id) if shows else ""
        before = known.base
        if calibre.cover == before.calibre.cover or not before.server.cover:
            return before.server.cover
        return self.editor.cover(ebook.id)

    # -- sending -----------------------------------------------------------------------

    def _send(
        self, work: Work, ebook: Ebook, calibre: Fields, fates: Mapping[Field, Fate]
    ) -> dict[Field, str]:
        """Sends the fields whose fate is to be sent; returns what was refused."""
        sent = {field for field, fate in fates.items() if fate in SENT}
        ids = dict(ebook.ids)
        if sent & {Field.AUTHORS, Field.SERIES}:
            ids |= self.ledger.hashes.take_names(work.book.id, name_keys(work.metadata))
        # The index has no request of its own.
        fields = {
            Field.SERIES if field is Field.SERIES_INDEX else field for field in sent
        }
        refused = self.editor.change(ebook, work.metadata, ids, fields)
        if Field.SERIES in refused and Field.SERIES_INDEX in sent:
            refused[Field.SERIES_INDEX] = refused[Field.SERIES]
        if Field.RATING in sent:
            self._rate(work, ebook, refused)
        if Field.COVER in sent:
            self._send_cover(work, ebook, calibre, refused)
        return refused

    def _rate(self, work: Work, ebook: Ebook, refused: dict[Field, str]) -> None:
        client, rating = self.closing.client, work.metadata.rating
        try:
            if rating is None:
                client.unrate(ebook.id)
            else:
                client.rate(ebook.id, rating)
        except Rejected as error:
            refused[Field.RATING] = str(error)

    def _send_cover(
        self, work: Work, ebook: Ebook, calibre: Fields, refused: dict[Field, str]
    ) -> None:
        if not calibre.cover or work.book.cover is None:
            refused[Field.COVER] = NO_COVER_ROUTE
            return
        refusal = self.closing.cover.carry(ebook.id, work.book.cover)
        if refusal is not None:
            refused[Field.COVER] = str(refusal)

    # -- what stands -------------------------------------------------------------------

    def _standing(
        self,
        known: Carried | None,
        calibre: Fields,
        server: Fields,
        fates: Mapping[Field, Fate],
        refused: Collection[Field],
        pass_id: int,
    ) -> tuple[Standing, ...]:
        """Returns the differences that stand after this update, and those it decided."""
        before = {one.field: one for one in (known.standing if known else ())}
        found = []
        for field, fate in fates.items():
            if field in refused:
                kind: StandingKind | None = StandingKind.REFUSED
            else:
                kind = _STANDS.get(fate)
            if kind is not None:
                found.append(_standing(field, kind, calibre, server, pass_id))
            elif (
                field in before
                and fate is Fate.SAME
                and _differs(field, calibre, server)
            ):
                found.append(before[field])
        return tuple(found)


def _differs(field: Field, calibre: Fields, server: Fields) -> bool:
    return field is Field.COVER or calibre.of(field) != server.of(field)


def _standing(
    field: Field, kind: StandingKind, calibre: Fields, server: Fields, pass_id: int
) -> Standing:
    return Standing(
        field, kind, calibre.reported(field), server.reported(field), pass_id
    )


def extras_of(work: Work) -> str:
    """Returns a hash of what is known of a book besides the compared fields."""
    more = [work.metadata.not_carried, work.book.title_sort]
    text = json.dumps(more, sort_keys=True, ensure_ascii=True)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:16]
