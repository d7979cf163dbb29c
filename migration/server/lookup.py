"""Finding ebooks by their exact title, with the two look-ups that the server has.

The index lists the titles that begin so: its answer proves that one is there, and that
none is. It is HTTP 500 as soon as it would list a rated ebook on a server whose
environment lacks simplejson, and it shows a hundred titles at most. The search takes
words; what it finds is there, but it leaves out stop words, so that it finds nothing
proves nothing."""

import re
from collections.abc import Callable
from urllib.parse import quote

from migration.errors import ServerFault, Unlisted
from migration.model import EbookId
from migration.server import payloads
from migration.server.http.responses import Response

#: Ebooks of a page of the search, and the pages that are looked through.
PAGE_SIZE, PAGES = 100, 5
#: Words of a title that are searched for.
WORDS = 12

#: Sends a GET request with the token and returns the protocol's answer.
Get = Callable[[str], Response]


def find(get: Get, title: str) -> list[EbookId]:
    """The ebooks with exactly this title. Raises Unlisted when neither look-up can
    tell, Transient as `get` does.

    A title is looked for by what stands before its first slash, which no path can hold.
    """
    prefix = title.partition("/")[0].strip()
    if not prefix.strip("."):
        # No request can ask for it; such a title is never one of our working titles.
        return []
    try:
        response = get(f"/api/ebooks/index/{quote(prefix, safe='')}")
    except ServerFault as fault:
        return _searched(get, title, str(fault))
    found = _exactly(response, title)
    shown, total = (
        len(payloads.items(response)),
        payloads.integer(response.mapping().get("total")),
    )
    if not found and shown < total:
        return _searched(
            get, title, f"it shows {shown} of {total} titles that begin so"
        )
    return found


def words_of(title: str) -> str:
    """What the search is asked for: words and blanks alone, for punctuation breaks
    it."""
    return " ".join(re.findall(r"\w+", title)[:WORDS])


def _searched(get: Get, title: str, why: str) -> list[EbookId]:
    words = words_of(title)
    for page in range(1, PAGES + 1) if words else ():
        response = get(f"/api/search/{quote(words)}?page={page}&page_size={PAGE_SIZE}")
        listed = response.mapping().get("items")
        if not isinstance(listed, list):
            # A page after the last: by now the list is shorter.
            break
        if found := _exactly(response, title):
            return found
        if len(listed) < PAGE_SIZE:
            break
    raise Unlisted(
        f"the server cannot tell whether it has the title {title!r} ({why}); its "
        "search finds no such ebook"
    )


def _exactly(response: Response, title: str) -> list[EbookId]:
    return [
        EbookId(payloads.integer(item.get("id")))
        for item in payloads.items(response)
        if item.get("title") == title
    ]
