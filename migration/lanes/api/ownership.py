"""Whether an ebook on the server belongs to a book."""

from migration.lanes.lane import Work
from migration.ledger.parts.doubts import Doubts
from migration.ledger.records import BookState
from migration.metadata.ebook_metadata import plain_title
from migration.server.payloads import Ebook


def titles_of_ours(work: Work, state: BookState) -> tuple[str, ...]:
    """Returns the titles we may have given the ebook; an older ledger does not know."""
    if state.title is not None:
        return (state.title,)
    return (work.metadata.title, plain_title(state.working_title))


def is_ours(work: Work, state: BookState, ebook: Ebook, doubts: Doubts) -> bool:
    """Whether the ebook is this book's, by its title or by a file we sent.

    A new server has other ebooks under the same numbers.
    """
    titles = (state.working_title, state.restore, *titles_of_ours(work, state))
    return ebook.title in titles or not doubts.sources(work.book.id).isdisjoint(
        ebook.sources
    )
