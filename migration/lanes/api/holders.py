"""Finding the ebook that holds a file which was on the server before us.

The API tells whether the server has a hash, but not in which ebook. So the ledger is
asked first, then the server's own database where it is given, and last the ebooks with
the book's title; one of these that has a file of the same format and size is taken to
be it.
"""

import re
from collections.abc import Sequence

from migration.errors import Misconfigured, Rejected, ServerFault, ServerUnreachable
from migration.ledger.parts.notebook import Notebook
from migration.model import Digest, EbookId
from migration.server import postgresql
from migration.server.client import BookshelfClient

#: The most ebooks that are looked at for one book.
LOOKED_AT = 20
#: The most words of a title to search for; the server's search fails on long texts.
WORDS = 8

#: Files by format and digest.
Files = Sequence[tuple[str, Digest]]


def find(
    client: BookshelfClient, notebook: Notebook, db_uri: str, title: str, files: Files
) -> EbookId | None:
    """Returns the first ebook found to hold one of these files.

    Each ebook found is remembered in the notebook. Raises Transient while the server is
    away; when only its search fails, the ebook stays unknown.
    """
    found = {
        digest: ebook
        for _name, digest in files
        if (ebook := notebook.held_by(digest)) is not None
    }
    if db_uri:
        found |= _by_database(
            db_uri, notebook, [file for file in files if file[1] not in found]
        )
    rest = [file for file in files if file[1] not in found]
    found |= _by_title(client, notebook, title, rest) if rest else {}
    return next((found[digest] for _name, digest in files if digest in found), None)


def _by_database(
    db_uri: str, notebook: Notebook, files: Files
) -> dict[Digest, EbookId]:
    try:
        found = postgresql.holders(db_uri, [digest for _name, digest in files])
    except (Misconfigured, ServerUnreachable):
        # A database that is away, or lacks the column, leaves the search by title.
        return {}
    for digest, ebook in found.items():
        notebook.hold(digest, ebook)
    return found


def _by_title(
    client: BookshelfClient, notebook: Notebook, title: str, files: Files
) -> dict[Digest, EbookId]:
    words = words_of(title)
    found: dict[Digest, EbookId] = {}
    try:
        for ebook_id in client.search(words)[:LOOKED_AT] if words else ():
            ebook = client.ebook(ebook_id)
            held = (
                {(name, size) for _source, name, size in ebook.sources}
                if ebook is not None
                else set()
            )
            for name, digest in files:
                if digest not in found and (name.lower(), digest.size) in held:
                    found[digest] = ebook_id
                    notebook.hold(digest, ebook_id)
            if len(found) == len(files):
                break
    except (Rejected, ServerFault):
        # A server that fails on a search (some titles make it fail) must not keep the
        # book from being finished.
        return found
    return found


def words_of(title: str) -> str:
    """Returns a title's first words without marks, which break the search."""
    return " ".join(re.findall(r"[^\W_]+", title)[:WORDS])
