"""The ranges that this process holds, and how far each has got."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from migration.ledger.records import Range, Registration
from migration.model import BookFile, BookId
from migration.worker.checked.observed import claims

#: A range may be read this often without anybody trying a book that has work to do.
UNTRIED = 4


@dataclass(slots=True)
class RangeSeen:
    """What was done for one range.

    `listing` is what the library listed last, `wanted` the files of it that the user
    wants. `asked` means that the spot check has looked at it since it was registered
    last, `noticed` that its listing was reported.
    """

    listing: list[BookFile] = field(default_factory=list)
    wanted: list[BookFile] = field(default_factory=list)
    asked: bool = False
    registered: bool = False
    noticed: bool = False
    untried: dict[BookId, int] = field(default_factory=dict)


@dataclass(slots=True)
class Ranges:
    """Used by the main thread only."""

    #: Whether this process has asked the server about files it had.
    server_asked: bool = False
    _held: dict[Range, RangeSeen] = field(default_factory=dict)

    def claimed(self, owned: Range) -> None:
        """Begins the record of a range that the ledger gave to this process."""
        self._held[owned] = RangeSeen()

    def held(self, owned: Range) -> RangeSeen:
        """Returns the record of a range. Raises FalseClaim for any other."""
        seen = self._held.get(owned)
        if seen is None:
            raise claims(
                f"books {owned.first}-{owned.last}, which the ledger did not give to it"
            )
        return seen

    def over(self, owned: Range) -> None:
        """Forgets a range that was closed or given up."""
        self._held.pop(owned, None)


def check_handed(
    owned: Range, handed: Sequence[tuple[BookFile, str]], listing: Sequence[BookFile]
) -> None:
    """Raises FalseClaim unless these are the files that the library listed."""
    if len(handed) == len(listing) and all(
        file is one for (file, _), one in zip(handed, listing, strict=True)
    ):
        return
    there = {id(one): one for one in listing}
    given = {id(file): file for file, _ in handed}
    if len(handed) == len(listing) and given.keys() == there.keys():
        return
    lost = [str(one.id) for key, one in there.items() if key not in given]
    more = [str(one.id) for key, one in given.items() if key not in there]
    named = (
        f"{len(lost)} left out ({', '.join(lost[:3])}), {len(more)} others "
        f"({', '.join(more[:3])})"
    )
    raise claims(
        f"another listing of books {owned.first}-{owned.last} than Calibre's: {named}"
    )


def check_tried(seen: RangeSeen, found: Registration, tried: set[BookId]) -> None:
    """Raises FalseClaim when the script leaves a book out again and again.

    `tried` are the books that were worked on meanwhile.
    """
    due = {file.book_id for file in found.todo} | found.unfinished
    seen.untried = {
        book: 0 if book in tried else seen.untried.get(book, -1) + 1 for book in due
    }
    left = sorted(book for book, times in seen.untried.items() if times >= UNTRIED)
    if left:
        raise claims(
            f"nothing to do for {len(left)} books, such as {left[0]}, which it has "
            f"left out {UNTRIED} times"
        )
