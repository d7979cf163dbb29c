"""Ebooks: create, find, attach, change, rate, delete, download."""

import uuid
from urllib.parse import quote

import pytest

from tests.support.servers.shelfkit import Server, epub, title

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("contract")]


def test_an_ebook_needs_a_language(server: Server) -> None:
    """HTTP 200 with `Invalid data`."""
    answer = server.call("POST", "/api/ebooks", {"title": title()})
    assert (answer.status_code, answer.json()["error"]) == (200, "Invalid data")
    assert "language" in answer.json()["error_details"]


def test_a_language_or_a_genre_without_an_id_is_refused(server: Server) -> None:
    """`This entity … must have id`."""
    for body in (
        {"title": title(), "language": {"code": "en"}},
        {
            "title": title(),
            "language": {"id": server.language_id()},
            "genres": [{"name": "Horror"}],
        },
    ):
        answer = server.call("POST", "/api/ebooks", body).json()
        assert answer["error"] == "Invalid data"
        assert "must have id" in answer["error_details"]


def test_a_title_over_256_characters_is_refused(server: Server) -> None:
    """At creation and at change."""
    answer = server.call(
        "POST",
        "/api/ebooks",
        {"title": "x" * 257, "language": {"id": server.language_id()}},
    ).json()
    assert answer["error"] == "Invalid data"
    assert "title" in answer["error_details"]


def test_the_same_body_twice_makes_two_ebooks(server: Server) -> None:
    """The server never de-duplicates ebooks; the worker keeps the map."""
    name = title()
    assert server.ebook(title=name) != server.ebook(title=name)


def test_a_working_title_is_found_again_exactly(server: Server) -> None:
    """The index finds the ebook by its whole title, and nothing for a title that was
    never used."""
    name = title()
    ebook_id = server.ebook(title=name)
    found = server.call("GET", f"/api/ebooks/index/{quote(name)}").json()
    assert [(item["id"], item["title"]) for item in found["items"]] == [
        (ebook_id, name)
    ]
    assert (
        server.call("GET", f"/api/ebooks/index/{quote(title())}").json()["items"] == []
    )


def test_authors_are_reused_by_exact_name(server: Server) -> None:
    """First and last name; the id comes back."""
    author = {"last_name": uuid.uuid4().hex[:12], "first_name": "Ann"}
    ids = {
        server.call("GET", f"/api/ebooks/{server.ebook(authors=[author])}").json()[
            "authors"
        ][0]["id"]
        for _ in range(2)
    }
    assert len(ids) == 1
    by_id = server.ebook(authors=[{"id": ids.pop()}])
    assert (
        server.call("GET", f"/api/ebooks/{by_id}").json()["authors"][0]["last_name"]
        == author["last_name"]
    )


def test_attaching_gives_a_source_and_a_second_try_is_404(server: Server) -> None:
    """The upload is consumed."""
    record = server.extracted(epub(), {"title": "x"})
    ebook_id = server.ebook()
    path, body = f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": record["id"]}
    assert isinstance(server.call("POST", path, body).json()["id"], int)
    assert server.call("POST", path, body).status_code == 404
    assert server.call("GET", f"/api/uploads-meta/{record['id']}").status_code == 404


def test_attaching_to_an_ebook_that_is_not_there_is_404(server: Server) -> None:
    """And the upload stays."""
    record = server.extracted(epub(), {"title": "x"})
    answer = server.call(
        "POST", "/api/ebooks/999999999/add-upload", {"upload_id": record["id"]}
    )
    assert answer.status_code == 404
    assert server.call("GET", f"/api/uploads-meta/{record['id']}").status_code == 200


def test_bytes_that_are_attached_are_refused_and_their_place_is_named(
    server: Server,
) -> None:
    """`File already exists`, `Existing source N in ebook T(id)`."""
    data = epub()
    late = server.extracted(data, {"title": "x"})
    ebook_id, source_id = server.with_file(data)
    other = server.ebook()
    answer = server.call(
        "POST", f"/api/ebooks/{other}/add-upload", {"upload_id": late["id"]}
    ).json()
    assert answer["error"] == "File already exists"
    assert answer["error_details"].startswith(f"Existing source {source_id} in ebook ")
    assert answer["error_details"].endswith(f"({ebook_id})")


def test_an_ebook_shows_its_files_and_its_version(server: Server) -> None:
    """Format and size of each source; `cover` is a boolean; null fields are left
    out."""
    data = epub()
    ebook_id, source_id = server.with_file(data)
    ebook = server.call("GET", f"/api/ebooks/{ebook_id}").json()
    assert [
        (source["id"], source["format"], source["size"]) for source in ebook["sources"]
    ] == [(source_id, "epub", len(data))]
    assert isinstance(ebook["version_id"], int)
    assert isinstance(ebook["cover"], bool)
    assert "series" not in ebook
    assert server.call("GET", "/api/ebooks/999999999").status_code == 404


def test_a_change_needs_the_current_version(server: Server) -> None:
    """`Version_id missing`, `Stalled record`; the right one gives the ebook its true
    title."""
    ebook_id = server.ebook()
    path = f"/api/ebooks/{ebook_id}"
    version = server.call("GET", path).json()["version_id"]
    assert (
        server.call("PATCH", path, {"title": "x"}).json()["error"]
        == "Version_id missing"
    )
    assert (
        server.call("PATCH", path, {"title": "x", "version_id": version + 5}).json()[
            "error"
        ]
        == "Stalled record"
    )
    assert (
        "error"
        not in server.call(
            "PATCH", path, {"title": "Война и мир / 100 %", "version_id": version}
        ).json()
    )
    assert server.call("GET", path).json()["title"] == "Война и мир / 100 %"


def test_title_series_and_authors_change_together(server: Server) -> None:
    """What a book with over-long names gets at its end."""
    ebook_id = server.ebook()
    path = f"/api/ebooks/{ebook_id}"
    last = uuid.uuid4().hex[:12]
    change = {
        "title": "Closed",
        "authors": [{"last_name": last}],
        "series": {"title": f"S {last}"},
        "series_index": 3,
        "version_id": server.call("GET", path).json()["version_id"],
    }
    assert "error" not in server.call("PATCH", path, change).json()
    after = server.call("GET", path).json()
    assert (
        after["title"],
        after["authors"][0]["last_name"],
        after["series"]["title"],
        after["series_index"],
    ) == (
        "Closed",
        last,
        f"S {last}",
        3,
    )


def test_a_rating_is_kept_per_user(server: Server) -> None:
    """0-100; null removes it."""
    ebook_id = server.ebook()
    answer = server.call("POST", f"/api/ebooks/{ebook_id}/rate", {"rating": 80}).json()
    assert (answer["id"], answer["rating"], answer["rating_count"]) == (ebook_id, 80, 1)
    assert (
        server.call("POST", f"/api/ebooks/{ebook_id}/rate", {"rating": 101}).status_code
        == 400
    )
    assert (
        server.call(
            "POST", f"/api/ebooks/{ebook_id}/rate", {"rating": None}
        ).status_code
        == 200
    )
    assert "my_rating" not in server.call("GET", f"/api/ebooks/{ebook_id}").json()


def test_a_rated_ebook_is_listed_with_its_rating_everywhere(server: Server) -> None:
    """In the list, by the beginning of its title and by the search: a rating is a
    number like any other."""
    word = f"zr{uuid.uuid4().hex[:10]}"
    ebook_id = server.ebook(title=f"{word} Rated")
    assert (
        server.call("POST", f"/api/ebooks/{ebook_id}/rate", {"rating": 70}).status_code
        == 200
    )
    newest = server.call("GET", "/api/ebooks?sort=-created&page=1&page_size=5").json()[
        "items"
    ]
    assert ebook_id in [item["id"] for item in newest]
    for path in (f"/api/ebooks/index/{word}", f"/api/search/{word}"):
        answer = server.call("GET", path)
        assert answer.status_code == 200
        assert [(item["id"], item["rating"]) for item in answer.json()["items"]] == [
            (ebook_id, 70)
        ]


def test_an_empty_ebook_can_be_deleted(server: Server) -> None:
    """So nothing stays when no file could be attached."""
    ebook_id = server.ebook()
    answer = server.call("DELETE", f"/api/ebooks/{ebook_id}").json()
    assert (answer["id"], answer["success"]) == (ebook_id, True)
    assert server.call("GET", f"/api/ebooks/{ebook_id}").status_code == 404
    assert server.call("DELETE", f"/api/ebooks/{ebook_id}").status_code == 404


def test_a_download_returns_the_same_bytes(server: Server) -> None:
    """As an attachment."""
    data = epub()
    _ebook_id, source_id = server.with_file(data)
    answer = server.call("GET", f"/api/download/{source_id}")
    assert answer.content == data
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_the_search_finds_words_of_title_and_author(server: Server) -> None:
    """Every word, as a beginning."""
    word = f"zq{uuid.uuid4().hex[:10]}"
    ebook_id = server.ebook(
        title=f"{word} Harbour", authors=[{"last_name": f"{word}son"}]
    )
    for text in (word, f"{word}son harbour"):
        found = server.call("GET", f"/api/search/{quote(text)}").json()
        assert [item["id"] for item in found["items"]] == [ebook_id]


def test_lists_are_paged_and_a_page_after_the_last_is_404(server: Server) -> None:
    """page, page_size, total, items."""
    server.ebook()
    page = server.call("GET", "/api/ebooks?page=1&page_size=2&sort=-created").json()
    assert set(page) == {"page", "page_size", "total", "items"}
    assert server.call("GET", "/api/ebooks?page=999999&sort=title").status_code == 404
    assert server.call("GET", "/api/ebooks?page_size=101").status_code == 400


def test_languages_and_genres_have_ids(server: Server) -> None:
    """At least those that MyBookshelf2 ships."""
    languages = {
        item["code"]: item["id"] for item in server.call("GET", "/api/languages").json()
    }
    genres = {
        item["name"]: item["id"] for item in server.call("GET", "/api/genres").json()
    }
    assert {"cs", "en", "sk", "ru"} <= set(languages)
    assert {"Science Fiction", "Fantasy", "Humor/Satire", "Children's Books"} <= set(
        genres
    )
