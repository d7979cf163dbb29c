"""What the process of the direct lane does, message by message."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from migration.lanes.direct.messages import (
    DidPlace,
    Draw,
    Drew,
    Place,
    Recall,
    Recalled,
    Reply,
    Request,
    Settle,
    Settled,
    Tidied,
    Tidy,
    Write,
    Wrote,
)
from migration.lanes.direct.ports import DataDir, Rows
from migration.model import FileId, Receipt
from migration.server.direct.batch import (
    Drawn,
    LeftBehind,
    NewBook,
    Placed,
    Refused,
    Written,
)

#: Files that are named at a time.
RECALLED = 1000


@dataclass(slots=True)
class Host:
    """Answers one request after the other. Raises what its parts raise.

    `moved` is told the bytes that were placed.
    """

    rows: Rows
    data_dir: DataDir
    moved: Callable[[int], None]
    #: What was placed for the batch in hand, by its token.
    _placed: dict[int, tuple[Placed, ...]] = field(default_factory=dict)
    _recalled: Iterator[tuple[FileId, Receipt]] | None = None

    def answer(self, request: Request) -> Reply:
        """Does what is asked."""
        match request:
            case Draw(books):
                return Drew(tuple(self._draw(books)))
            case Place(token, drawn):
                return self._place(token, drawn)
            case Write(token, without):
                kept = [
                    one
                    for one in self._placed.pop(token)
                    if not self._is_dropped(one, without)
                ]
                return Wrote(tuple(self._write(token, kept)))
            case Settle(token, left):
                return self._settle(token, left)
            case Tidy():
                return Tidied(self.rows.merge())
            case Recall():
                return Recalled(self._recall())

    def close(self) -> None:
        """Ends connection and threads."""
        self.data_dir.close()
        self.rows.close()

    def _recall(self) -> tuple[tuple[FileId, Receipt], ...]:
        if self._recalled is None:
            self._recalled = self.rows.provenance()
        return tuple(islice(self._recalled, RECALLED))

    def _draw(self, books: tuple[NewBook, ...]) -> Iterable[Drawn | Refused]:
        files = sum(len(book.files) for book in books)
        ebooks, sources = self.rows.draw(len(books), files)
        return self.data_dir.choose(books, ebooks, sources, self.rows.taken)

    def _place(self, token: int, drawn: tuple[Drawn, ...]) -> DidPlace:
        done = tuple(self.data_dir.place(drawn, self.moved))
        self._placed = {token: tuple(one for one in done if isinstance(one, Placed))}
        return DidPlace(done)

    def _is_dropped(self, placed: Placed, without: frozenset[int]) -> bool:
        """Removes the files of a book that is not to be written."""
        if placed.drawn.book.id not in without:
            return False
        self.data_dir.remove([_left(placed)])
        return True

    def _write(self, token: int, placed: list[Placed]) -> Iterable[Written | Refused]:
        if not placed:
            return ()
        self.data_dir.sync()
        written = self.rows.write(token, placed)
        refused = {one.book for one in written if isinstance(one, Refused)}
        self.data_dir.remove(
            [_left(one) for one in placed if one.drawn.book.id in refused]
        )
        return written

    def _settle(self, token: int, left: tuple[LeftBehind, ...]) -> Settled:
        written = self.rows.left(token, left)
        there = {one.book for one in written}
        self.data_dir.remove([one for one in left if one.book not in there])
        return Settled(
            tuple(
                (one, self.data_dir.cover_sha1(one.cover) if one.cover else "")
                for one in written
            )
        )


def _left(placed: Placed) -> LeftBehind:
    drawn = placed.drawn
    return LeftBehind(
        drawn.book.id,
        drawn.ebook_id,
        tuple(
            (file.id, source, location)
            for file, source, location in zip(
                drawn.book.files, drawn.source_ids, drawn.locations, strict=True
            )
        ),
        drawn.base_dir,
    )
