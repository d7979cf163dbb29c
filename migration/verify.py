"""`--verify`: every file Calibre has against the server, by hash. `--export-map`: which book became which ebook."""

import csv
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from migration.client import BookshelfClient
from migration.errors import ExitCode, Rejected, StateUnwritable
from migration.ledger import Ledger
from migration.library import CalibreLibrary
from migration.model import BookFile, Digest
from migration.options import Options
from migration.outgoing import digest_of
from migration.resources import raise_if_exhausted

#: Books read at a time.
PAGE = 500


class Mark(StrEnum):
    """What is said of one file."""

    THERE = "="  #: the server has these bytes
    MISSING = "-"  #: it has not
    UNREADABLE = "!"  #: the library's file cannot be read


@dataclass(frozen=True, slots=True)
class Verdict:
    """One file, compared. `note` says why it is unreadable."""

    mark: Mark
    file: BookFile
    digest: Digest | None
    note: str = ""

    def line(self, *, as_json: bool) -> str:
        """How it is printed."""
        if not as_json:
            return f"{self.mark} {self.file.id}{f' {self.note}' if self.note else ''}"
        return json.dumps(
            {
                "book_id": self.file.id.book_id,
                "format": self.file.id.format,
                "mark": self.mark.value,
                "sha1": self.digest.sha1 if self.digest else None,
                "size": self.digest.size if self.digest else None,
                "note": self.note,
            },
            ensure_ascii=False,
        )


def verify(
    options: Options,
    library: CalibreLibrary,
    client: BookshelfClient,
    ledger: Ledger,
    heed_stop: Callable[[], None],
) -> ExitCode:
    """Prints a line per file and a summary on stderr; with `--recheck` puts what is missing back to pending.

    Every file is read and the server is asked about its hash; nothing is sent. Exit status 1 when anything is missing.
    `heed_stop` is called between blocks and may raise.
    """
    marks: Counter[Mark] = Counter()
    back = 0
    for verdict in verdicts(options, library, client, heed_stop):
        marks[verdict.mark] += 1
        sys.stdout.write(verdict.line(as_json=options.json) + "\n")
        if options.recheck and verdict.mark is Mark.MISSING and verdict.digest is not None:
            back += ledger.unlearn(verdict.file.id, verdict.digest)
    sys.stderr.write(
        f"{marks[Mark.THERE]} there, {marks[Mark.MISSING]} missing, {marks[Mark.UNREADABLE]} unreadable"
        + (f"; {back} are pending again" if options.recheck else "")
        + "\n"
    )
    return ExitCode.SOME_FAILED if marks[Mark.MISSING] else ExitCode.OK


def verdicts(
    options: Options, library: CalibreLibrary, client: BookshelfClient, heed_stop: Callable[[], None]
) -> Iterator[Verdict]:
    """Every file of the library that the user wants, compared with the server."""
    after = 0
    while (last := library.last_id_of_range(after, PAGE)) is not None:
        for book in library.read_books(after + 1, last):
            for file in book.files:
                if not file.id.format.startswith("ORIGINAL_") and (
                    not options.formats or file.id.format in options.formats
                ):
                    yield _compare(library, client, file, heed_stop)
        after = last


def _compare(
    library: CalibreLibrary, client: BookshelfClient, file: BookFile, heed_stop: Callable[[], None]
) -> Verdict:
    if file.problem is not None:
        return Verdict(Mark.UNREADABLE, file, None, file.problem.message)
    try:
        with library.open_file(file.path) as opened:
            digest = digest_of(opened, heed_stop)
    except Rejected as error:
        return Verdict(Mark.UNREADABLE, file, None, str(error))
    except OSError as error:
        raise_if_exhausted(error)
        return Verdict(Mark.UNREADABLE, file, None, f"cannot be read: {error.strerror}")
    try:
        there = client.check(digest, file.id.format.lower()) is not None
    except Rejected:
        # The server does not take such a file, so it cannot have it.
        there = False
    return Verdict(Mark.THERE if there else Mark.MISSING, file, digest)


def export_map(ledger: Path, target: Path) -> int:
    """Writes a CSV of every file on the server that the ledger knows of; returns how many rows.

    Columns: calibre_id, format, sha1, ebook_id, source_id; the last two are empty for files that others uploaded.
    """
    try:
        with target.open("w", newline="", encoding="utf-8") as file, closing(_read_only(ledger)) as db:
            writer = csv.writer(file)
            writer.writerow(("calibre_id", "format", "sha1", "ebook_id", "source_id"))
            count = 0
            for book, kind, sha1, ebook, source in db.execute(_MAP):
                owned = source is not None
                writer.writerow((book, kind, sha1.hex(), ebook if owned else "", source if owned else ""))
                count += 1
    except OSError as error:
        raise StateUnwritable(f"cannot write {target}: {error.strerror}") from error
    return count


_MAP = (
    "SELECT files.book_id, files.format, files.sha1, books.ebook_id, files.source_id FROM files"
    " LEFT JOIN books ON books.book_id = files.book_id"
    " WHERE outcome IN ('uploaded', 'duplicate') AND files.sha1 IS NOT NULL ORDER BY files.book_id, files.format"
)


def _read_only(ledger: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=4.0)
