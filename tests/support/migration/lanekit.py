"""A direct lane on a small host: a real ledger, books with real files, nothing else."""

import logging
import os
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from migration.errors import Misconfigured, Transient
from migration.lanes.api.shelving import Shelver
from migration.lanes.context import Context
from migration.lanes.direct.child import Channel
from migration.lanes.direct.fits import BatchLimits
from migration.lanes.direct.journals import Journals
from migration.lanes.direct.lane import DirectLane
from migration.lanes.direct.link import Link
from migration.lanes.direct.recovery import Recovery
from migration.lanes.lane import Work
from migration.lanes.left_out import LeftOut
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.records import Range
from migration.metadata.shelves import ShelfChoice
from migration.model import (
    Book,
    BookFile,
    BookId,
    EbookId,
    EbookMetadata,
    FileId,
    PersonName,
)
from migration.server.direct.batch import Placed, Written
from migration.server.payloads import Ebook
from migration.state_files.owner import Owner, this_process
from tests.support.libraries.placekit import jpeg
from tests.support.migration.directkit import Step, World, nothing
from tests.support.migration.fakes import ToldClock

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
MOST_BYTES = 10_000_000


def book_of(number: int, title: str = "", formats: Sequence[str] = ("EPUB",)) -> Book:
    """A book of the library that `library_of` makes."""
    files = tuple(
        BookFile(FileId(BookId(number), form), f"{number}.{form}".encode(), 100, 1)
        for form in formats
    )
    return Book(
        BookId(number),
        title or f"Book {number}",
        cover=f"{number}.jpg".encode(),
        files=files,
        extras={"comments": "<p>Good.</p>", "publisher": "Ace"},
        modified=b"2026",
    )


def library_of(folder: Path, books: Sequence[Book]) -> Path:
    """A folder with the files of these books, each with bytes of its own."""
    folder.mkdir(exist_ok=True)
    for book in books:
        for file in book.files:
            path = folder / file.path.decode()
            path.write_bytes((f"{file.id}".encode() * 100)[: file.size])
            os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
        (folder / f"{book.id}.jpg").write_bytes(jpeg((60, 90)))
    return folder


def work_of(book: Book, tags: Sequence[str] = ()) -> Work:
    """The book as it is to be sent."""
    lost = {"comments": "<p>Good.</p>", "publisher": "Ace"}
    metadata = EbookMetadata(
        book.title,
        f"{book.title} ~1-{book.id}",
        (PersonName("Doe", "Jane"),),
        None,
        None,
        2,
        "en",
        (),
        None,
        {**lost, "tags": [*tags]} if tags else dict(lost),
    )
    return Work(book, metadata, list(book.files))


class Watched:
    """What a worker shows of its lane, kept."""

    def __init__(self) -> None:
        self.arrived_files: list[FileId] = []
        self.troubles: list[str] = []
        self.most_batches: int | None = None
        self.heal: Callable[[], None] = lambda: None

    def may_begin(self, works: Sequence[Work]) -> bool:
        if self.most_batches is not None:
            self.most_batches -= 1
            return self.most_batches >= 0
        return True

    def begin(self, works: Sequence[Work]) -> None: ...

    def end(self) -> None: ...

    def arrived(self, work: Work, files: Collection[FileId], seconds: float) -> None:
        self.arrived_files += files
        work.files = [file for file in work.files if file.id not in files]

    def trouble(self, error: Transient) -> None:
        self.troubles.append(str(error))
        assert len(self.troubles) < 20
        self.heal()

    def wait(self, seconds: float) -> None:
        self.trouble(Transient("waits"))


class Asked:
    """The server's API as recovery asks it."""

    def __init__(self) -> None:
        self.ebooks: dict[EbookId, Ebook] = {}

    def ebook(self, ebook_id: EbookId) -> Ebook | None:
        """The ebook, None when the server says that there is none."""
        return self.ebooks.get(ebook_id)


class Covers:
    """The library, of which only covers are opened here."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open_file(self, path: bytes) -> BinaryIO:
        """Opens a file of it."""
        return (self._folder / path.decode()).open("rb")


class LaneHouse:
    """Lanes of several workers on one ledger and one host."""

    def __init__(self, folder: Path, books: Sequence[Book]) -> None:
        self.state_dir = folder / "state"
        self.state_dir.mkdir(parents=True, exist_ok=True)
        self.books = books
        self.world = World(folder / "host", library_of(folder / "library", books))
        self.clock = ToldClock(NOW)
        self.server = Asked()

    def worker(
        self,
        owner: Owner | None = None,
        step: Step = nothing,
        *,
        off: str = "",
        begin: Callable[[], Channel] | None = None,
        looked: Callable[[Written, Placed], None] = lambda _written, _placed: None,
        rebuilt: bool = False,
    ) -> "LaneWorker":
        """A worker with its lane; its ledger may just have replaced a lost one."""
        ledger = Ledger(self.state_dir, owner or this_process(1), self.clock)
        if rebuilt:
            ledger.begin_rebuilt()
        return LaneWorker(
            self, ledger, begin or (lambda: self.world.channel(step)), off, looked
        )


class LaneWorker:
    """One worker."""

    def __init__(
        self,
        house: LaneHouse,
        ledger: Ledger,
        begin: Callable[[], Channel],
        off: str,
        looked: Callable[[Written, Placed], None],
    ) -> None:
        self.house, self.ledger, self.watched = house, ledger, Watched()
        log = logging.getLogger("lane under test")
        current = CurrentPass(ledger)
        highest = max(book.id for book in house.books)
        current.join(highest, may_open=True, listed=len(house.books))
        choice = ShelfChoice(tags=True, notes=True)
        shelver = Shelver(None, ledger, choice, dict, log)  # type: ignore[arg-type]
        left_out = LeftOut(ledger.notebook, current, house.state_dir, log)
        context = Context(
            Covers(house.world.library),  # type: ignore[arg-type]
            ledger,
            current,
            left_out,
            house.clock,
            log,
            lambda _work, _file, _result: None,
            shelver,
        )
        link = Link(begin, log, off=off)
        self.recovery = Recovery(
            ledger,
            house.server,  # type: ignore[arg-type]
            house.clock,
            log,
            timedelta(seconds=40),
            link.settle,
            self._wait,
        )
        self.lane = DirectLane(
            link,
            self.recovery,
            Journals(context),
            self.watched,
            BatchLimits(books=3),
            MOST_BYTES,
            looked,
            house.clock.seconds,
        )

    def _wait(self, seconds: float) -> None:
        self.house.clock.move(seconds)
        self.watched.wait(seconds) if seconds > 1 else None

    def claim(self) -> Range:
        """Takes the whole library as one range, registered."""
        highest = max(book.id for book in self.house.books)
        pass_id = self.ledger.passes.join(highest, may_open=True)
        assert pass_id is not None
        owned = self.ledger.files.claim_range(pass_id, lambda _after: highest)
        assert owned is not None
        files = [(file, "") for book in self.house.books for file in book.files]
        self.ledger.files.register(owned, files)
        return owned

    def works(self) -> list[Work]:
        """The books of the range with work to do, as the script makes them."""
        works = [work_of(book) for book in self.house.books]
        for work in works:
            work.files = [file for file in work.files if self._is_pending(file.id)]
        return [work for work in works if work.files]

    def _is_pending(self, file: FileId) -> bool:
        known = self.ledger.carried.file(file)
        return known is None or known.outcome.value == "pending"

    def carry(self) -> list[BookId]:
        """Carries the range; returns the books that are left to the API."""
        self.claim()
        return [work.book.id for work in self.lane.carry(self.works())]


def misconfigured(why: str) -> Callable[[], Channel]:
    """A process that cannot be begun."""

    def begin() -> Channel:
        raise Misconfigured(why)

    return begin
