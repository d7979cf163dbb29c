"""What is left out: whose fault a missing cover is, which names are those of conflicted
copies."""

import pytest

from migration.calibre.paths import is_conflicted_copy
from migration.errors import BadCover, RefusedByServer, Rejected, TooBig, Unreadable
from migration.ledger.tables.notices import (
    Notice,
    NoticeKind,
    of_book,
    of_files,
    there_already,
)
from migration.model import Book, BookFile, BookId, EbookId, FileId, Problem

BOOK = BookId(7)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            RefusedByServer("the server says: Cover resizing failed"),
            NoticeKind.COVER_REFUSED,
        ),
        (TooBig("the server accepts no file of 9 bytes"), NoticeKind.COVER_REFUSED),
        (BadCover("it is no picture"), NoticeKind.COVER_MISSING),
        (
            Unreadable("'a/cover.jpg' cannot be read: Permission denied"),
            NoticeKind.COVER_MISSING,
        ),
    ],
)
def test_why_a_cover_is_not_there(error: Rejected, kind: NoticeKind) -> None:
    """The server's refusal is told apart from what is wrong in the library."""
    assert of_book(Book(BOOK, "A"), error) == [Notice(BOOK, kind, str(error))]


def test_everything_a_book_leaves_behind() -> None:
    """A cover that cannot be taken and data files, the first five by name; nothing for
    a book that is whole."""
    names = [f"{number}.pdf" for number in range(7)]
    book = Book(
        BOOK,
        "A",
        cover_problem=Problem("empty", "0 bytes"),
        extras={"data files": [*names]},
    )
    assert of_book(book, None) == [
        Notice(BOOK, NoticeKind.COVER_MISSING, "0 bytes"),
        Notice(
            BOOK, NoticeKind.DATA_FILES, "0.pdf, 1.pdf, 2.pdf, 3.pdf, 4.pdf and 2 more"
        ),
    ]
    assert of_book(Book(BOOK, "A", cover=b"x"), None) == []


def test_files_that_are_not_as_recorded() -> None:
    """Only those; a conflicted copy is a kind of its own."""
    epub, pdf, txt = (FileId(BOOK, kind) for kind in ("EPUB", "PDF", "TXT"))
    files = [
        BookFile(epub, b"a"),
        BookFile(pdf, b"b", note="other"),
        BookFile(txt, b"c", note="copy", conflicted=True),
    ]
    found = of_files(files)
    assert [(notice.kind, notice.format) for notice in found] == [
        (NoticeKind.ADOPTED, "PDF"),
        (NoticeKind.CONFLICTED, "TXT"),
    ]
    assert str(found[0]) == "Book 7/PDF: file found under another name: other"


def test_who_holds_a_books_files() -> None:
    """By its number, or that it was not found."""
    assert "in ebook 3;" in there_already(BOOK, EbookId(3), "").message
    assert "not found by its title" in there_already(BOOK, None, "").message


@pytest.mark.parametrize(
    ("found", "conflicted"),
    [
        (b"Title - Author.sync-conflict-20240101-120000-ABCDEFG.epub", True),
        (b"Title - Author (Jane's conflicted copy 2024-01-01).epub", True),
        (b"Title - Author (conflicted copy 2024-01-01 120000).epub", True),
        (b"Title - Author (Case Conflict).epub", True),
        (b"Title - Author (SFConflict jane 2024-01-01).epub", True),
        (b"Title - Author (In Konflikt stehende Kopie von Jane).epub", True),
        (b"Title - Author (Copie en conflit de Jane).epub", True),
        (b"Another Title - Author.epub", False),
        (b"title - author.epub", False),
    ],
)
def test_names_of_conflicted_copies(found: bytes, conflicted: bool) -> None:
    """Those of the usual programs, in some languages."""
    assert is_conflicted_copy(b"Title - Author.epub", found) is conflicted


def test_a_title_about_conflicts_is_none() -> None:
    """Only what the name has more than the recorded one counts."""
    assert not is_conflicted_copy(b"Conflict - Jo.epub", b"conflict - Jo.epub")
    assert is_conflicted_copy(
        b"Conflict - Jo.epub", b"Conflict - Jo.sync-conflict-2024.epub"
    )
