"""What to do with an ebook that bears a book's mark although its pass is over. Pure.

The mark is the end of a working title, ` ~<8 hex of the library's id>-<book id>`. An
ebook has it while its book is being migrated; afterwards only where a request was
delivered twice, or an answer was not what it seemed.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto

from migration.ledger.records import BookState, Step
from migration.model import BookId, EbookId
from migration.server.payloads import Ebook

#: The most looks that may set something right in one pass; what remains after them is
#: reported.
LOOKS_AT_MOST = 4
#: The version of an ebook that has not been changed since it was made.
AS_MADE = 1
#: What is still to be done for an ebook that kept its working title.
CLOSING_STEPS = Step.TITLE | Step.COVER | Step.RATING

WORKING_TITLE = "working title left"
SECOND = "second ebook"
EMPTY = "empty ebook"


class Fate(Enum):
    """What happens to one ebook."""

    NOTHING = auto()  #: in order, or gone
    FINISH = auto()  #: give its book back to the workers, with `state`
    DELETE = auto()  #: empty, and nothing will be added
    REPORT = auto()  #: it stays and the exit status is 8: `kind`, `why`


@dataclass(frozen=True, slots=True)
class Decision:
    """The fate of one ebook, with what it needs.

    That is the book's new state, or the kind and the reason of a report.
    """

    fate: Fate
    state: BookState | None = None
    kind: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Leftover:
    """All that is known of one ebook.

    `ebook` is as the server shows it now, None when it is gone; `book_id` is the book
    its title names, None when it bears no mark of this library (any more); `state` is
    the ledger's state of that book; `arrived` says whether the ledger has the server's
    receipt for a file of it, `in_library` whether Calibre still lists the book; `look`
    counts the earlier looks of this pass, from 0.
    """

    ebook: Ebook | None
    book_id: BookId | None
    state: BookState | None
    arrived: bool
    in_library: bool
    user_id: str
    look: int


def decide(seen: Leftover) -> Decision:
    """Decides the fate of one ebook.

    An empty ebook is deleted without being an hour old, the age that an ebook of
    unknown history needs. The history of this one is known: its mark names a book of
    this library, the ledger says that all of that book's requests have been answered,
    and a request that no worker waits for can only be a second delivery. Should another
    ledger's worker have made it a moment ago, then that worker learns that the ebook is
    gone and makes it again; nothing is lost. An ebook that a user changed, rated or
    made under another name is never deleted.
    """
    ebook = seen.ebook
    if ebook is None or seen.book_id is None:
        return Decision(Fate.NOTHING)
    if str(ebook.created_by) != seen.user_id:
        return _report(WORKING_TITLE, "it was made by another user")
    return _with_files(seen, ebook) if ebook.sources else _empty(seen, ebook)


def _with_files(seen: Leftover, ebook: Ebook) -> Decision:
    state = seen.state
    if state is not None and state.ebook_id not in (None, ebook.id):
        return _report(
            SECOND,
            f"book {seen.book_id} has ebook {state.ebook_id}, and this one holds files too",
        )
    if seen.look >= LOOKS_AT_MOST:
        return _report(
            WORKING_TITLE,
            f"{LOOKS_AT_MOST} times its book was given back to the workers in vain",
        )
    if not seen.in_library:
        return _report(
            WORKING_TITLE,
            f"Calibre no longer has book {seen.book_id}, so its true title is not known",
        )
    return Decision(Fate.FINISH, _reopened(ebook.id, ebook.title, state))


def _empty(seen: Leftover, ebook: Ebook) -> Decision:
    if seen.state is not None and seen.state.ebook_id == ebook.id and seen.arrived:
        return _report(
            EMPTY, f"the files of book {seen.book_id} arrived in it and are gone"
        )
    if ebook.rating is not None:
        return _report(EMPTY, "somebody has rated it")
    if ebook.version != AS_MADE:
        return _report(EMPTY, "somebody has changed it since it was made")
    if seen.look >= LOOKS_AT_MOST:
        return _report(EMPTY, f"ebooks like it came back {LOOKS_AT_MOST} times")
    return Decision(Fate.DELETE)


def _reopened(ebook_id: EbookId, title: str, state: BookState | None) -> BookState:
    """Returns the book's state with open closing steps.

    What was recorded stays recorded.
    """
    if state is None or state.ebook_id is None:
        return BookState(title, ebook_id, CLOSING_STEPS | Step.RECORD)
    return replace(state, steps=state.steps | CLOSING_STEPS)


def _report(kind: str, why: str) -> Decision:
    return Decision(Fate.REPORT, kind=kind, why=why)
