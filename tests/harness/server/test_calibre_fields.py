"""What the embedded server has beyond MyBookshelf2, and its pages of it."""

import html
import re
from collections.abc import Iterator

import pytest
import requests

from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, client

FIELDS = {
    "comments": "<p>About <b>war</b><script>alert(1)</script></p><p>and peace &lt;b&gt;",
    "identifiers": {"isbn": "9780140447934", "<i>": "<u>"},
    "series_index": 0.5,
    "sort": "Raven, The",
}


@pytest.fixture
def server(shelf: Shelf) -> Iterator[Server]:
    """Somebody logged in."""
    made = client(shelf)
    yield made
    made.http.close()


@pytest.fixture
def pages(shelf: Shelf) -> Iterator[requests.Session]:
    """Their browser."""
    session = requests.Session()
    session.post(
        f"{shelf.url}/login",
        data={"username": shelf.username, "password": shelf.password},
        timeout=30,
        headers={"Origin": shelf.url},
    )
    yield session
    session.close()


def page(shelf: Shelf, pages: requests.Session, path: str) -> str:
    """The text of a page."""
    answer = pages.get(shelf.url + path, timeout=30)
    assert answer.status_code == 200
    return answer.text


def test_comments_become_plain_text_and_the_protocol_does_not_show_them(
    server: Server,
) -> None:
    """All fields are replaced at once; the ebook and its version stay."""
    ebook_id = server.ebook()
    path = f"/api/ebooks/{ebook_id}"
    before = server.call("GET", path).json()
    answer = server.call("PUT", f"{path}/calibre", FIELDS).json()
    assert answer == {"id": ebook_id, "success": True}
    assert server.call("GET", f"{path}/calibre").json() == {
        "id": ebook_id,
        **FIELDS,
        "comments": "About war\n\nand peace <b>",
    }
    assert server.call("GET", path).json() == before
    server.call("PUT", f"{path}/calibre", {"sort": "X"})
    assert server.call("GET", f"{path}/calibre").json() == {
        "id": ebook_id,
        "comments": "",
        "identifiers": {},
        "series_index": None,
        "sort": "X",
    }
    assert (
        server.call("GET", f"/api/ebooks/{server.ebook()}/calibre").json()[
            "identifiers"
        ]
        == {}
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"comments": 5}, "comments"),
        ({"comments": "x" * 1_000_001}, "comments"),
        ({"identifiers": ["x"]}, "identifiers"),
        ({"identifiers": {"isbn": 5}}, "identifiers"),
        ({"identifiers": {"isbn": "x" * 513}}, "identifiers"),
        ({"series_index": "0.5"}, "series_index"),
        ({"series_index": True}, "series_index"),
        ({"sort": "x" * 513}, "sort"),
    ],
    ids=range(8),
)
def test_what_is_no_field_is_refused(
    server: Server, body: dict[str, object], field: str
) -> None:
    """`Invalid data`, as the protocol has it."""
    path = f"/api/ebooks/{server.ebook()}/calibre"
    answer = server.call("PUT", path, body).json()
    assert answer["error"] == "Invalid data"
    assert field in answer["error_details"]


def test_an_ebook_that_is_not_there_has_none(server: Server) -> None:
    """404, for both requests."""
    for method in ("GET", "PUT"):
        answer = server.call(method, "/api/ebooks/999999999/calibre", {"sort": "x"})
        assert answer.status_code == 404


def test_a_book_shows_what_calibre_knows_of_it(
    shelf: Shelf, server: Server, pages: requests.Session
) -> None:
    """As text, whatever it looks like; authors and series are links to all of theirs,
    a rating is stars."""
    ebook_id = server.ebook(
        title="The Raven",
        authors=[{"last_name": "Poe", "first_name": "Edgar"}],
        series={"title": "Birds"},
        series_index=0,
    )
    server.call("PUT", f"/api/ebooks/{ebook_id}/calibre", FIELDS)
    server.call("POST", f"/api/ebooks/{ebook_id}/rate", {"rating": 70})
    text = page(shelf, pages, f"/book/{ebook_id}")
    for part in (
        "<p>About war</p>",
        "<p>and peace &lt;b&gt;</p>",
        "<dt>isbn</dt><dd>9780140447934</dd>",
        "<dt>&lt;i&gt;</dt><dd>&lt;u&gt;</dd>",
        "</a> #0.5</dd>",
        'aria-label="3.5 of 5 stars">★★★½<',
    ):
        assert part in text
    assert "alert" not in text
    links = re.findall(r'href="(/(?:author|series)/\d+)"', text)
    assert len(links) == 2
    for link, heading in zip(links, ("Edgar Poe", "Birds"), strict=True):
        of_all = page(shelf, pages, link)
        assert f"<h1>{heading}</h1>" in of_all
        assert f'href="/book/{ebook_id}"' in of_all
        assert "Birds #0.5" in of_all
    assert pages.get(f"{shelf.url}/author/999999", timeout=30).status_code == 404


def test_an_index_somebody_changed_is_shown_as_it_is(
    shelf: Shelf, server: Server, pages: requests.Session
) -> None:
    """Calibre's exact one belongs to another."""
    ebook_id = server.ebook(series={"title": "Birds"}, series_index=3)
    server.call("PUT", f"/api/ebooks/{ebook_id}/calibre", FIELDS)
    assert "</a> #3</dd>" in page(shelf, pages, f"/book/{ebook_id}")


def test_lists_are_in_the_order_of_sort_titles(
    shelf: Shelf, server: Server, pages: requests.Session
) -> None:
    """And in a series by the exact index; a title that changes takes its place."""
    names = ("The Zebra", "Quail", "A Raven")
    ids = {
        name: server.ebook(title=name, series={"title": "Birds"}, series_index=index)
        for index, name in enumerate(names)
    }
    for name, sort, index in (("The Zebra", "Zebra, The", 0.5), ("A Raven", "", 2.1)):
        path = f"/api/ebooks/{ids[name]}/calibre"
        server.call("PUT", path, {"sort": sort, "series_index": index})

    def shown(path: str) -> list[str]:
        found = re.findall(r'class="title">([^<]*)<', page(shelf, pages, path))
        return [html.unescape(title) for title in found]

    assert shown("/") == ["A Raven", "Quail", "The Zebra"]
    assert shown("/?q=birds") == ["A Raven", "Quail", "The Zebra"]
    series = server.call("GET", f"/api/ebooks/{ids['Quail']}").json()["series"]["id"]
    assert shown(f"/series/{series}") == ["The Zebra", "Quail", "A Raven"]
    body = {"title": "Aardvark", "version_id": 1}
    server.call("PATCH", f"/api/ebooks/{ids['Quail']}", body)
    assert shown("/")[1:] == ["Aardvark", "The Zebra"]
    assert server.call("DELETE", f"/api/ebooks/{ids['A Raven']}").status_code == 200
    assert shown("/") == ["Aardvark", "The Zebra"]


def test_shelves_have_pages(
    shelf: Shelf, server: Server, pages: requests.Session
) -> None:
    """Those of mine with their books and notes; names and notes are text."""
    assert "No shelves yet." in page(shelf, pages, "/shelves")
    body = {"name": "<b>Read</b>", "public": False, "description": "d <i>"}
    shelf_id = server.call("POST", "/api/bookshelves/mine", body).json()["id"]
    assert "Nothing on it yet." in page(shelf, pages, f"/shelf/{shelf_id}")
    ebook_id = server.ebook(title="The Raven", series={"title": "S"}, series_index=2)
    note = "One <script>\n\nTwo"
    add = {"ebook": {"id": ebook_id}, "note": note}
    server.call("POST", f"/api/bookshelves/{shelf_id}/add", add)
    mine = page(shelf, pages, "/shelves")
    assert f'<a href="/shelf/{shelf_id}">&lt;b&gt;Read&lt;/b&gt;</a> 1 book<' in mine
    one = page(shelf, pages, f"/shelf/{shelf_id}")
    for part in (
        "<h1>&lt;b&gt;Read&lt;/b&gt;</h1>",
        "Private shelf of admin, 1 book",
        "<p>d &lt;i&gt;</p>",
        f'<h2><a href="/book/{ebook_id}">The Raven</a></h2>',
        "No author · S #2",
        "<p>One &lt;script&gt;</p>",
        "<p>Two</p>",
    ):
        assert part in one
    assert f'href="/shelf/{shelf_id}"' in page(shelf, pages, f"/book/{ebook_id}")
    series = server.call("GET", f"/api/ebooks/{ebook_id}").json()["series"]["id"]
    add = {"series": {"id": series}}
    server.call("POST", f"/api/bookshelves/{shelf_id}/add", add)
    assert f'<a href="/series/{series}">S</a>' in page(
        shelf, pages, f"/shelf/{shelf_id}"
    )


def test_a_shelf_is_paged(
    shelf: Shelf, server: Server, pages: requests.Session
) -> None:
    """A page after the last leads to the first; what is not there is 404."""
    body = {"name": "Many", "public": True}
    shelf_id = server.call("POST", "/api/bookshelves/mine", body).json()["id"]
    for _ in range(25):
        add = {"ebook": {"id": server.ebook()}}
        server.call("POST", f"/api/bookshelves/{shelf_id}/add", add)
    path = f"/shelf/{shelf_id}"
    first, second = page(shelf, pages, path), page(shelf, pages, f"{path}?page=2")
    assert (first.count("<h2>"), second.count("<h2>")) == (24, 1)
    assert "Page 2 of 2" in second
    assert f'href="{path}?page=1"' in second
    assert pages.get(f"{shelf.url}{path}?page=9", timeout=30).url == shelf.url + path
    assert pages.get(f"{shelf.url}/shelf/999999", timeout=30).status_code == 404
