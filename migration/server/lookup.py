"""Finding ebooks by their exact title, with the two look-ups the server has.

The index lists titles by their beginning: its answer proves that a title is there, or
that it is not. It fails with HTTP 500 whenever it would list a rated ebook on a server
whose environment lacks simplejson, and it shows at most a hundred titles. The search
takes words; what it finds is there, but it ignores stop words, so finding nothing
proves nothing.
"""

import re
from collections.abc import Callable
from urllib.parse import quote

from migration.errors import ServerFault, Unlisted
from migration.model import EbookId
from migration.server import payloads
from migration.server.http.responses import Response

#: Ebooks per page of the search, and the most pages read.
PAGE_SIZE, PAGES = 100, 5
#: The most words of a title to search for.
WORDS = 12

#: Sends a GET request with the token and returns the protocol's answer.
Get = Callable[[str], Response]


def find(get: Get, title: str) -> list[EbookId]:
    """Returns the ebooks with exactly this title.

    The index is asked for what stands before the title's first slash, which no path can
    hold. Raises Unlisted when neither look-up can tell, and Transient as `get` does.
    """
    prefix = title.partition("/")[0].strip()
    if not prefix.strip("."):
        # No request can ask for it; one of our working titles is never like this.
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
    """Returns a title's words for the search, without punctuation, which breaks it."""
    return " ".join(re.findall(r"\w+", title)[:WORDS])


def _searched(get: Get, title: str, why: str) -> list[EbookId]:
    words = words_of(title)
    for page in range(1, PAGES + 1) if words else ():
        response = get(f"/api/search/{quote(words)}?page={page}&page_size={PAGE_SIZE}")
        listed = response.mapping().get("items")
        if not isinstance(listed, list):
            # A page after the last: the list has become shorter.
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
