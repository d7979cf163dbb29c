"""What the ledger records of books that have arrived many at a time."""

from dataclasses import replace

from migration.lanes.api.updating import extras_of
from migration.lanes.context import Context
from migration.lanes.embedded.reading import Parcel
from migration.ledger.parts.imports import Arrival as Arrival
from migration.ledger.parts.imports import Ending as Ending
from migration.ledger.records import Carried
from migration.metadata.compare import Base, of_metadata
from migration.model import Outcome, UploadResult
from migration.server import calibre_fields
from migration.server.importing import Imported
from migration.server.payloads import name_keys


def ending(given: Context, parcel: Parcel, answer: Imported) -> Ending:
    """Shelves a book; returns what the ledger records of it at its end.

    Raises Transient, Deferred or Rejected.
    """
    work, pass_id = parcel.work, given.current.id
    metadata, taken = work.metadata, calibre_fields.carried(work.book)
    lost = {
        name: metadata.not_carried[name]
        for name in metadata.not_carried
        if name not in taken
    }
    carried, lost = given.shelver.carry(
        work, answer.ebook.id, pass_id, carried_by(parcel, answer), lost
    )
    left = replace(metadata, not_carried=lost)
    given.left_out.of_ebook(work.book, left, answer.ebook.id)
    given.left_out.of_book(work.book, None)
    ids = answer.ebook.ids
    return Ending(
        work.book.id,
        carried,
        {key: ids[key] for key in name_keys(metadata) if key in ids},
        tuple(lost),
        work.book.modified,
    )


def arrival(parcel: Parcel, answer: Imported, seconds: float) -> Arrival:
    """Returns what the ledger records of the files of a book. Pure.

    `seconds` is how long the batch has taken.
    """
    receipts = [receipt for _extension, receipt in answer.receipts]
    results = tuple(
        UploadResult(file, Outcome.UPLOADED, receipt, seconds=seconds)
        for file, receipt in zip(parcel.outgoing.files, receipts, strict=True)
    )
    title = answer.ebook.title
    return Arrival(parcel.work.book.id, answer.ebook.id, title, results)


def carried_by(parcel: Parcel, answer: Imported) -> Carried:
    """Returns the values on both sides, as `updating.Updater.published` does. Pure."""
    work = parcel.work
    calibre = of_metadata(work.metadata, parcel.cover)
    server = replace(answer.ebook.fields, cover=answer.cover, formats=calibre.formats)
    return Carried(Base(calibre, server), answer.ebook.version, (), extras_of(work))
