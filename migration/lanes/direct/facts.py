"""What is known of a book on its way: for the server, for the journal, for the ledger.

Pure.
"""

from dataclasses import replace

from common.json_value import Json
from common.plain_text import plain_text
from migration.lanes.api.transfer import extension_of
from migration.lanes.api.updating import extras_of
from migration.lanes.lane import Work
from migration.ledger.batch_journal import (
    EndedBook,
    JournalBook,
    JournalFile,
    ShelfOfBook,
)
from migration.ledger.records import BookState, Carried, Step
from migration.metadata.compare import Base, of_metadata
from migration.metadata.shelves import COMMENTS, MadeItem, Wanted, fingerprint
from migration.server.direct.batch import (
    Drawn,
    LeftBehind,
    NewBook,
    NewFile,
    Written,
)


def new_book(work: Work, wanted: Wanted) -> NewBook:
    """Returns what is to be written of a book."""
    comments = work.book.extras.get(COMMENTS)
    return NewBook(
        work.book.id,
        work.metadata,
        tuple(
            NewFile(file.id, file.path, file.size, file.mtime_ns, extension_of(file))
            for file in work.files
        ),
        work.book.cover,
        plain_text(comments) or None if isinstance(comments, str) else None,
        wanted.names,
        wanted.note,
    )


def lost_of(work: Work, wanted: Wanted) -> dict[str, Json]:
    """Returns the fields that have no place on the server, neither row nor shelf."""
    carried = wanted.carried | {COMMENTS}
    return {
        name: value
        for name, value in work.metadata.not_carried.items()
        if name not in carried
    }


def journal_book(drawn: Drawn, work: Work, wanted: Wanted) -> JournalBook:
    """Returns what the ledger keeps of a book before anything is written."""
    return JournalBook(
        work.book.id,
        drawn.ebook_id,
        drawn.base_dir,
        tuple(
            JournalFile(file.id, source, location)
            for file, source, location in zip(
                drawn.book.files, drawn.source_ids, drawn.locations, strict=True
            )
        ),
        work.metadata.working_title,
        replace(of_metadata(work.metadata, ""), shelves=wanted.names),
        extras_of(work),
        work.book.modified,
        tuple(lost_of(work, wanted)),
        fingerprint(wanted.note),
    )


def left_behind(book: JournalBook) -> LeftBehind:
    """Returns what may have been left of a book."""
    return LeftBehind(
        book.id,
        book.ebook_id,
        tuple((file.id, file.source_id, file.location) for file in book.files),
        book.base_dir,
    )


def ended_book(
    book: JournalBook, written: Written, cover_sha1: str, calibre_sha1: str
) -> EndedBook:
    """Returns what the ledger records of a book that is on the server.

    `cover_sha1` is that of its cover there, `calibre_sha1` that of Calibre's; "" counts
    as changed when the book is compared next.
    """
    calibre = replace(book.calibre, cover=calibre_sha1)
    server = replace(
        written.fields,
        cover=cover_sha1,
        formats=calibre.formats,
        shelves=frozenset(one.name for one in written.shelved),
    )
    return EndedBook(
        book.id,
        BookState(
            book.working_title, written.ebook_id, Step.NONE, title=book.calibre.title
        ),
        written.receipts,
        written.ids,
        Carried(Base(calibre, server), written.version, (), book.extras),
        book.modified,
        book.lost,
        tuple(
            ShelfOfBook(
                one.name,
                one.shelf_id,
                MadeItem(book.note, id=one.item_id),
                one.made_shelf,
            )
            for one in written.shelved
        ),
    )
