"""Bookshelves: make, find, fill, list; what needs the role superuser."""

import uuid
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.servers.shelfkit import Server, title

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("contract")]

MINE = "/api/bookshelves/mine"


def _name() -> str:
    return f"Shelf {uuid.uuid4().hex[:12]}"


def _shelf(server: Server, name: str = "", **more: object) -> int:
    answer = server.call("POST", MINE, {"name": name or _name(), **more}).json()
    assert answer["success"] is True
    return int(answer["id"])


def _add(server: Server, shelf_id: int, ebook_id: int, **more: object) -> Any:
    body = {"ebook": {"id": ebook_id}, **more}
    return server.call("POST", f"/api/bookshelves/{shelf_id}/add", body)


def _items(server: Server, shelf_id: int, query: str = "?sort=created") -> Any:
    return server.call("GET", f"/api/bookshelves/{shelf_id}/items{query}").json()


def _on(server: Server, shelf_id: int) -> list[tuple[int, str | None]]:
    return [
        (item["ebook"]["id"], item.get("note"))
        for item in _items(server, shelf_id)["items"]
    ]


def test_a_shelf_is_listed_among_mine_with_its_owner(reader: Server) -> None:
    """`{id, name, owner, items_count, description}`; null fields are left out."""
    name = _name()
    shelf_id = _shelf(reader, name, description="bla", public=False)
    found = reader.call("GET", f"{MINE}?filter={quote(name[6:].upper())}").json()
    assert found == {
        "page": 1,
        "page_size": 10,
        "total": 1,
        "items": [
            {
                "id": shelf_id,
                "name": name,
                "owner": reader.username,
                "items_count": 0,
                "description": "bla",
            }
        ],
    }


def test_a_name_is_needed_and_at_most_256_characters(server: Server) -> None:
    """HTTP 200 with `Invalid data`, and HTTP 400 for nothing at all."""
    for body in ({"description": "x"}, {"name": None}, {"name": "x" * 257}):
        answer = server.call("POST", MINE, body).json()
        assert answer["error"] == "Invalid data"
        assert "name" in answer["error_details"]
    assert server.call("POST", MINE, {}).status_code == 400


def test_two_shelves_of_one_name_are_accepted(server: Server) -> None:
    """So whoever wants one looks first; the index shows both."""
    name = _name()
    both = {_shelf(server, name), _shelf(server, name)}
    found = server.call("GET", f"{MINE}/index/{quote(name)}").json()
    assert found["total"] == 2
    assert {item["id"] for item in found["items"]} == both
    assert found["items"][0].keys() == {"id", "name", "owner"}


def test_a_shelf_is_public_unless_it_says_otherwise(
    server: Server, reader: Server
) -> None:
    """A private one is for its owner only: others get HTTP 403 and do not see it."""
    public, private = _shelf(server), _shelf(server, public=False)
    assert reader.call("GET", f"/api/bookshelves/{public}").json()["public"] is True
    assert server.call("GET", f"/api/bookshelves/{private}").json()["public"] is False
    for path in ("", "/items"):
        answer = reader.call("GET", f"/api/bookshelves/{private}{path}")
        assert answer.status_code == 403
    others = reader.call("GET", "/api/bookshelves/others?sort=-created").json()["items"]
    assert public in {item["id"] for item in others}
    assert private not in {item["id"] for item in others}


def test_an_ebook_is_put_on_a_shelf_with_a_note(reader: Server) -> None:
    """The answer is the shelf's id, not the item's."""
    shelf_id, name = _shelf(reader), title()
    ebook_id = reader.ebook(title=name, authors=[{"last_name": "Lem"}], series_index=3)
    answer = _add(reader, shelf_id, ebook_id, note="Ein Buch – и точка", order=7)
    assert (answer.status_code, answer.json()) == (200, {"id": shelf_id})
    listed = _items(reader, shelf_id)
    assert (listed["page"], listed["page_size"], listed["total"]) == (1, 10, 1)
    item = listed["items"][0]
    assert (item["note"], item["order"]) == ("Ein Buch – и точка", 7)
    assert isinstance(item["id"], int)
    assert isinstance(item["version_id"], int)
    assert (item["ebook"]["id"], item["ebook"]["title"]) == (ebook_id, name)
    assert item["ebook"]["authors"][0]["last_name"] == "Lem"
    assert item["ebook"]["cover"] is False
    assert "language" not in item["ebook"]
    entity = reader.call("GET", f"/api/bookshelves/{shelf_id}").json()
    assert (entity["items_count"], entity["owner"]) == (1, reader.username)


def test_a_second_add_changes_nothing_and_says_the_same(server: Server) -> None:
    """The note stays the first one."""
    shelf_id, ebook_id = _shelf(server), server.ebook()
    first = _add(server, shelf_id, ebook_id, note="first").json()
    assert _add(server, shelf_id, ebook_id, note="second").json() == first
    assert _on(server, shelf_id) == [(ebook_id, "first")]


def test_a_long_note_is_taken(server: Server) -> None:
    """MyBookshelf2's pages send at most 10,000 characters, its API takes 200,000."""
    shelf_id, ebook_id = _shelf(server), server.ebook()
    note = "ж" * 200_000
    assert _add(server, shelf_id, ebook_id, note=note).status_code == 200
    assert _on(server, shelf_id) == [(ebook_id, note)]


def test_what_is_not_there_cannot_be_put_anywhere(server: Server) -> None:
    """An unknown ebook is HTTP 500, an unknown shelf 404, nothing at all 400."""
    shelf_id = _shelf(server)
    assert _add(server, shelf_id, 999_999_999).status_code == 500
    assert _add(server, 999_999_999, server.ebook()).status_code == 404
    path = f"/api/bookshelves/{shelf_id}/add"
    assert server.call("POST", path, {"note": "x"}).status_code == 400
    assert _on(server, shelf_id) == []


def test_a_series_can_be_on_a_shelf(server: Server) -> None:
    """Its item has no ebook."""
    shelf_id, name = _shelf(server), title()
    ebook_id = server.ebook(series={"title": name}, series_index=1)
    series = server.call("GET", f"/api/ebooks/{ebook_id}").json()["series"]
    path, body = f"/api/bookshelves/{shelf_id}/add", {"series": {"id": series["id"]}}
    assert server.call("POST", path, body).json() == {"id": shelf_id}
    item = _items(server, shelf_id)["items"][0]
    assert (item["series"]["id"], item["series"]["title"]) == (series["id"], name)
    assert "ebook" not in item


def test_items_and_shelves_are_paged(server: Server) -> None:
    """A page after the last is 404, an unknown sort 400."""
    shelf_id = _shelf(server)
    ebooks = [server.ebook() for _ in range(3)]
    for ebook_id in ebooks:
        _add(server, shelf_id, ebook_id)
    newest = _items(server, shelf_id, "?sort=-created&page_size=2")
    assert [item["ebook"]["id"] for item in newest["items"]] == ebooks[:0:-1]
    assert newest["total"] == 3
    path = f"/api/bookshelves/{shelf_id}/items"
    assert server.call("GET", f"{path}?page=3&page_size=2").status_code == 404
    for list_of in (path, MINE):
        assert server.call("GET", f"{list_of}?page=99999").status_code == 404
        assert server.call("GET", f"{list_of}?page_size=101").status_code == 400
        assert server.call("GET", f"{list_of}?sort=nonsense").status_code == 400


def test_shelves_are_sorted_by_name(server: Server) -> None:
    """Cases and signs as the server's database sorts them: here there is no choice."""
    name = _name()
    made = [f"{name}{letter}" for letter in "cab"]
    for one in made:
        _shelf(server, one)
    names: list[str] = []
    for page in count(1):
        query = f"?sort=name&page_size=100&page={page}"
        answer = server.call("GET", f"{MINE}{query}")
        if answer.status_code == 404:
            break
        names += [item["name"] for item in answer.json()["items"]]
    assert [one for one in names if one in made] == sorted(made)


def test_the_shelves_of_an_ebook_are_named(server: Server) -> None:
    """At most a hundred, each by id, name and owner."""
    ebook_id = server.ebook()
    shelves = {_shelf(server), _shelf(server, public=False)}
    for shelf_id in shelves:
        _add(server, shelf_id, ebook_id)
    found = server.call("GET", f"/api/bookshelves/with-ebook/{ebook_id}").json()
    assert found["total"] == 2
    assert {item["id"] for item in found["items"]} == shelves
    assert found["items"][0].keys() == {"id", "name", "owner"}
    none = server.call("GET", f"/api/bookshelves/with-ebook/{server.ebook()}").json()
    assert none == {"total": 0, "items": []}


def test_a_superuser_changes_a_note_with_the_current_version(server: Server) -> None:
    """`Version_id missing`, `Stalled record`; the right one changes it."""
    shelf_id, ebook_id = _shelf(server), server.ebook()
    _add(server, shelf_id, ebook_id, note="old")
    item = _items(server, shelf_id)["items"][0]
    path, version = f"/api/bookshelf-items/{item['id']}", item["version_id"]
    for body, error in (
        ({"note": "new"}, "Version_id missing"),
        ({"note": "new", "version_id": version + 5}, "Stalled record"),
    ):
        assert server.call("PATCH", path, body).json()["error"] == error
    answer = server.call("PATCH", path, {"note": "new", "version_id": version}).json()
    assert answer == {"id": item["id"], "success": True}
    assert _on(server, shelf_id) == [(ebook_id, "new")]
    stale = server.call("PATCH", path, {"note": "x", "version_id": version}).json()
    assert stale["error"] == "Stalled record"
    assert server.call("GET", path).status_code == 405


def test_a_superuser_changes_a_shelf(server: Server) -> None:
    """Name, description, whether it is public."""
    shelf_id, name = _shelf(server), _name()
    path = f"/api/bookshelves/{shelf_id}"
    version = server.call("GET", path).json()["version_id"]
    body = {"name": name, "public": False, "version_id": version}
    assert server.call("PATCH", path, body).json() == {"id": shelf_id, "success": True}
    after = server.call("GET", path).json()
    assert (after["name"], after["public"]) == (name, False)


def test_a_superuser_takes_an_ebook_off_a_shelf(server: Server) -> None:
    """And the second time there is nothing to take off."""
    shelf_id, ebook_id = _shelf(server), server.ebook()
    _add(server, shelf_id, ebook_id)
    item = _items(server, shelf_id)["items"][0]
    path = f"/api/bookshelf-items/{item['id']}"
    answer = server.call("DELETE", path).json()
    assert answer == {"id": item["id"], "success": True}
    assert _on(server, shelf_id) == []
    assert server.call("DELETE", path).status_code == 404


def test_a_shelf_takes_its_items_along(server: Server) -> None:
    """The ebooks stay, and can be deleted then."""
    shelf_id, ebook_id = _shelf(server), server.ebook()
    _add(server, shelf_id, ebook_id)
    path = f"/api/bookshelves/{shelf_id}"
    assert server.call("DELETE", path).json() == {"id": shelf_id, "success": True}
    assert server.call("GET", path).status_code == 404
    assert server.call("DELETE", path).status_code == 404
    assert server.call("GET", f"/api/ebooks/{ebook_id}").status_code == 200
    deleted = server.call("DELETE", f"/api/ebooks/{ebook_id}").json()
    assert deleted == {"id": ebook_id, "success": True}


def test_an_ebook_on_a_shelf_cannot_be_deleted(server: Server) -> None:
    """HTTP 500, on anybody's shelf; ebook and item stay."""
    shelf_id, ebook_id = _shelf(server), server.ebook()
    _add(server, shelf_id, ebook_id)
    assert server.call("DELETE", f"/api/ebooks/{ebook_id}").status_code == 500
    assert _on(server, shelf_id) == [(ebook_id, None)]


def test_without_the_role_superuser_nothing_is_changed_or_removed(
    reader: Server,
) -> None:
    """HTTP 403, also for one's own; what is there stays."""
    shelf_id, ebook_id = _shelf(reader), reader.ebook()
    _add(reader, shelf_id, ebook_id, note="old")
    item = _items(reader, shelf_id)["items"][0]
    shelf = reader.call("GET", f"/api/bookshelves/{shelf_id}").json()
    for path, change in (
        (
            f"/api/bookshelf-items/{item['id']}",
            {"note": "new", "version_id": item["version_id"]},
        ),
        (
            f"/api/bookshelves/{shelf_id}",
            {"name": "new", "version_id": shelf["version_id"]},
        ),
    ):
        for answer in (reader.call("PATCH", path, change), reader.call("DELETE", path)):
            assert (answer.status_code, answer.json()) == (
                403,
                {"message": "Access denied"},
            )
    assert _on(reader, shelf_id) == [(ebook_id, "old")]
