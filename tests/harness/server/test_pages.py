"""The embedded server as a process: durability, limits, uniqueness, pages."""

import io
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from PIL import Image

from tests.support.libraries.librarykit import epub as make_epub
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, client, epub, jpeg


def attach_twice(server: Server) -> list[dict[str, object]]:
    """The same bytes, uploaded twice, attached to two ebooks at the same moment."""
    data = epub()
    records = [server.extracted(data, {"title": "x"}) for _ in range(2)]
    ebooks = [server.ebook() for _ in range(2)]
    answers: list[dict[str, object]] = []

    def attach(ebook: int, upload: int) -> None:
        answer = requests.post(
            f"{server.url}/api/ebooks/{ebook}/add-upload",
            json={"upload_id": upload},
            timeout=30,
            headers={"Authorization": f"bearer {server.token}"},
        )
        answers.append(answer.json())

    threads = [
        threading.Thread(target=attach, args=(ebook, record["id"]))
        for ebook, record in zip(ebooks, records, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return answers


def test_of_two_simultaneous_attachments_one_succeeds(shelf: Shelf) -> None:
    """(size, hash) is unique."""
    server = client(shelf)
    answers = attach_twice(server)
    server.http.close()
    assert sorted(set(answer) & {"id", "error"} for answer in answers) in (
        [{"error"}, {"id"}],
        [{"id"}, {"error"}],
    )


def test_in_permissive_mode_both_succeed_as_on_mybookshelf2(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """For tests of the worker."""
    server = client(shelves(tmp_path / "lax", "--permissive", "--delay-ms", "100"))
    answers = attach_twice(server)
    server.http.close()
    assert all("id" in answer for answer in answers)


# -- pages -----------------------------------------------------------------------------


def browser(shelf: Shelf, password: str = "") -> requests.Session:
    """Somebody who fills in the login form."""
    session = requests.Session()
    session.post(
        f"{shelf.url}/login",
        data={"username": shelf.username, "password": password or shelf.password},
        timeout=30,
        headers={"Origin": shelf.url},
    )
    return session


@pytest.mark.parametrize("path", ["/", "/book/1", "/?q=x"])
def test_pages_are_behind_a_login(shelf: Shelf, path: str) -> None:
    """Everybody else is sent to the form."""
    answer = requests.get(shelf.url + path, allow_redirects=False, timeout=30)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/login")
    with browser(shelf, "wrong") as stranger:
        assert (
            stranger.get(
                shelf.url + path, allow_redirects=False, timeout=30
            ).status_code
            == 302
        )


def test_hostile_titles_are_shown_as_text(shelf: Shelf) -> None:
    """In the list, on the book's page, in a search; with a policy under which nothing
    would run."""
    server = client(shelf)
    hostile = "<script>alert(1)</script>\" onload='x' {{7*7}}"
    ebook_id, source_id = server.with_file(
        epub(), title=hostile, authors=[{"last_name": "<b>Doe"}]
    )
    server.http.close()
    with browser(shelf) as session:
        for path in ("/", f"/book/{ebook_id}", "/?q=%3Cscript%3E"):
            answer = session.get(shelf.url + path, timeout=30)
            assert answer.status_code == 200
            assert "<script" not in answer.text
            assert "<b>Doe" not in answer.text
            assert "{{7*7}}" in answer.text or "49" not in answer.text
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        download = session.get(f"{shelf.url}/api/download/{source_id}", timeout=30)
    assert re.fullmatch(
        r'attachment; filename="[A-Za-z0-9_ -]+\.epub"',
        download.headers["Content-Disposition"],
    )
    assert download.headers["Content-Type"] == "application/octet-stream"
    assert download.headers["X-Content-Type-Options"] == "nosniff"


def test_a_form_of_another_site_changes_nothing(shelf: Shelf) -> None:
    """The cookie alone is no permission: login, logout and the API ask where the
    request comes from."""
    answer = requests.post(
        f"{shelf.url}/login",
        data={"username": shelf.username, "password": shelf.password},
        headers={"Origin": "http://evil.example"},
        timeout=30,
    )
    assert answer.status_code == 403
    with browser(shelf) as session:
        forged = session.post(
            f"{shelf.url}/api/ebooks",
            json={"title": "x"},
            headers={"Origin": "http://evil.example"},
            timeout=30,
        )
        assert forged.status_code == 401


def test_the_list_is_paged_and_searchable(shelf: Shelf) -> None:
    """24 books a page."""
    server = client(shelf)
    for number in range(30):
        server.ebook(title=f"Harbour {number:02}")
    server.http.close()
    with browser(shelf) as session:
        first = session.get(f"{shelf.url}/", timeout=30).text
        second = session.get(f"{shelf.url}/?page=2", timeout=30).text
        found = session.get(f"{shelf.url}/?q=harbour+07", timeout=30).text
    assert (first.count("<li>"), second.count("<li>"), found.count("<li>")) == (
        24,
        6,
        1,
    )
    assert "Page 1 of 2" in first


def test_a_cover_is_drawn_when_somebody_looks_and_outlives_its_file(
    shelf: Shelf,
) -> None:
    """It stays in the EPUB until then; the thumbnail follows a cover that was replaced;
    a broken one is none."""
    server = client(shelf)
    covers, thumbs = shelf.data_dir / "covers", shelf.data_dir / "thumbs"
    unseen, _source = server.with_file(
        make_epub(1, title="Unseen", cover=jpeg("red")), title="Unseen"
    )
    ebook_id, source_id = server.with_file(
        make_epub(2, title="Seen", cover=jpeg("red")), title="Seen"
    )
    broken, _source = server.with_file(
        make_epub(3, title="Broken", cover=jpeg("red")[:400]), title="Broken"
    )
    assert [
        server.call("GET", f"/api/ebooks/{number}").json()["cover"]
        for number in (ebook_id, broken)
    ] == [
        True,
        False,
    ]
    assert server.call("GET", f"/api/ebooks/{broken}/cover").status_code == 404
    assert list(covers.iterdir()) == list(thumbs.iterdir()) == []
    assert colour(server.call("GET", f"/thumb/{ebook_id}").content) == "red"
    assert [path.name for path in thumbs.iterdir()] == [f"{ebook_id}.jpg"]
    sent = server.call(
        "POST",
        "/api/upload-cover",
        files={"file": ("c.jpg", jpeg("blue"), "image/jpeg")},
    ).json()
    assert server.task("cover", sent["file"], ebook_id)["result"] == ebook_id
    assert colour(server.call("GET", f"/thumb/{ebook_id}").content) == "blue"
    assert server.call("DELETE", f"/api/sources/{source_id}").status_code == 200
    assert colour(server.call("GET", f"/api/ebooks/{ebook_id}/cover").content) == "blue"
    only = server.call("GET", f"/api/ebooks/{unseen}").json()["sources"][0]["id"]
    assert server.call("DELETE", f"/api/sources/{only}").status_code == 200
    assert colour(server.call("GET", f"/api/ebooks/{unseen}/cover").content) == "red"
    server.http.close()


def test_the_cover_of_an_upload_is_shown_before_it_is_attached(shelf: Shelf) -> None:
    """GET /api/uploads-meta/<id>/cover."""
    server = client(shelf)
    record = server.extracted(
        make_epub(4, title="Early", cover=jpeg("red")), {"title": "Early"}
    )
    assert (
        colour(server.call("GET", f"/api/uploads-meta/{record['id']}/cover").content)
        == "red"
    )
    server.http.close()


@pytest.mark.parametrize("left", [b"", None], ids=["empty", "zeros"])
def test_what_a_power_cut_left_of_an_upload_is_never_attached(
    shelf: Shelf, left: bytes | None
) -> None:
    """The row is there and the bytes are not: 404, and the true bytes are still
    welcome."""
    server = client(shelf)
    data = epub()
    record = server.extracted(data, {"title": "x"})
    path = next((shelf.data_dir / "uploads").glob("tmp*/*.epub"))
    path.write_bytes(bytes(len(data)) if left is None else left)
    ebook_id = server.ebook()
    answer = server.call(
        "POST", f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": record["id"]}
    )
    assert answer.status_code == 404
    assert server.check(data) == {"result": "ok"}
    record = server.extracted(data, {"title": "x"})
    assert (
        "id"
        in server.call(
            "POST", f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": record["id"]}
        ).json()
    )
    server.http.close()


def colour(data: bytes) -> str:
    """Which colour a picture has."""
    with Image.open(io.BytesIO(data)) as picture:
        red, _green, blue = picture.convert("RGB").getpixel(
            (picture.width // 2, picture.height // 2)
        )  # type: ignore[misc]  # three bands
        return "red" if red > blue else "blue"
