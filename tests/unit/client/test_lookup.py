"""Finding an ebook by its title with two look-ups, of which one may fail and the other
may be silent."""

import json
from collections.abc import Callable
from urllib.parse import unquote

import pytest

from migration.errors import ServerFault, ServerUnreachable, Unlisted
from migration.server.http.responses import Response
from migration.server.lookup import PAGE_SIZE, PAGES, find, words_of

TITLE = "Harbour Tales 2: The Silent Harbour"


def listed(*titles: str, total: int | None = None) -> Response:
    """A list of ebooks with ids from 1 on."""
    items = [{"id": number, "title": title} for number, title in enumerate(titles, 1)]
    return Response(
        200,
        json.loads(
            json.dumps(
                {"items": items, "total": len(items) if total is None else total}
            )
        ),
    )


def server(
    index: Response | Exception, *pages: Response
) -> tuple[Callable[[str], Response], list[str]]:
    """A server with this answer of its index and these pages of its search; and what it
    was asked."""
    asked: list[str] = []

    def get(path: str) -> Response:
        asked.append(path)
        if "/index/" not in path:
            return pages[len(asked) - 2]
        if isinstance(index, Exception):
            raise index
        return index

    return get, asked


FULL = listed(*["Another"] * PAGE_SIZE, total=10_000)
RATED = ServerFault("HTTP 500")


@pytest.mark.parametrize(
    ("index", "pages", "found"),
    [
        (listed(TITLE, "Harbour Tales 2: The Silent Harbour, annotated"), (), [1]),
        (listed(), (), []),
        (listed("another"), (), []),
        (RATED, (listed("Another", TITLE),), [2]),
        (RATED, (FULL, listed("Another", "A third", TITLE)), [3]),
        (listed(*["Harbour"] * 100, total=101), (listed(TITLE),), [1]),
        (RATED, (listed(),), None),
        (RATED, (listed("The Silent Harbour"),), None),
        (RATED, (FULL, Response(404, {"message": "not found"})), None),
        (RATED, (FULL,) * PAGES, None),
        (listed(*["Harbour"] * 100, total=101), (listed(),), None),
    ],
)
def test_only_a_list_says_that_a_title_is_not_there(
    index: Response | Exception, pages: tuple[Response, ...], found: list[int] | None
) -> None:
    """None: nobody can tell. The search is asked only when the index cannot."""
    get, asked = server(index, *pages)
    if found is None:
        with pytest.raises(Unlisted, match="cannot tell"):
            find(get, TITLE)
    else:
        assert find(get, TITLE) == found
    assert len(asked) == 1 + len(pages)


def test_a_server_that_is_away_is_asked_no_further() -> None:
    """Nothing was answered, so nothing is known."""
    get, asked = server(ServerUnreachable("connection refused"))
    with pytest.raises(ServerUnreachable):
        find(get, TITLE)
    assert len(asked) == 1


def test_the_search_is_asked_for_words_without_punctuation() -> None:
    """Which the server's search breaks on; a title of many words by its first ones."""
    get, asked = server(RATED, listed(TITLE))
    find(get, TITLE)
    assert unquote(asked[1]).startswith(
        "/api/search/Harbour Tales 2 The Silent Harbour?page=1&page_size=100"
    )
    assert words_of("Voina i mir ~1a2b3c4d-17") == "Voina i mir 1a2b3c4d 17"
    assert len(words_of("a " * 200).split()) == 12
