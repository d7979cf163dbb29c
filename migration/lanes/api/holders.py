"""Which ebook of the server holds a file that was there before we came.

The server's API tells whether it has a hash, not where. So: what the ledger knows, else
the server's own database where that is given, else the ebooks with the book's title, of
which one with a file of the same format and size is taken to be it."""

import re
from collections.abc import Sequence

from migration.errors import Misconfigured, Rejected, ServerFault, ServerUnreachable
from migration.ledger.parts.notebook import Notebook
from migration.model import Digest, EbookId
from migration.server import postgresql
from migration.server.client import BookshelfClient

#: Ebooks that are looked at for one book.
LOOKED_AT = 20
#: Words of a title that are searched for: the server's own search fails on long texts.
WORDS = 8

#: Files by format and identity.
Files = Sequence[tuple[str, Digest]]


def find(
    client: BookshelfClient, notebook: Notebook, db_uri: str, title: str, files: Files
) -> EbookId | None:
    """The ebook that holds the first of these files whose ebook can be found; each is
    remembered in the notebook.

    Raises Transient while the server is away; one that fails on the search itself does
    not know."""
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
        # A database that is away, or that lacks the column, leaves it to the titles.
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
        # A server that fails on a search (it has such titles) must not keep the book
        # from its end.
        return found
    return found


def words_of(title: str) -> str:
    """What is searched for: the first words of a title, without marks, which break the
    server's search."""
    return " ".join(re.findall(r"[^\W_]+", title)[:WORDS])
