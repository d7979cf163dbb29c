"""A server with ebooks of a pass, of an earlier pass and of other people; who touches
them, and what of them is there afterwards."""

import hashlib
import io
from dataclasses import dataclass
from typing import Any

import requests

from tests.support.environment import PASSWORD, USERNAME
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, epub, jpeg

#: A second user of the server, without the role superuser.
READER = "reader"


def login(shelf: Shelf, username: str = USERNAME) -> Server:
    """A client of the server as this user."""
    made = Server(shelf.url, shelf.ws_url, username, PASSWORD)
    made.login()
    return made


def ids(server: Server) -> list[int]:
    """Every ebook there is."""
    found: list[int] = []
    page = 1
    while True:
        answer = server.call(
            "GET", f"/api/ebooks?page={page}&page_size=100&sort=created"
        )
        if answer.status_code == 404:
            return found
        items = answer.json()["items"]
        found += [item["id"] for item in items]
        if len(items) < 100:
            return found
        page += 1


@dataclass(frozen=True, slots=True)
class Kept:
    """All that can be seen of an ebook: its record, and hashes of files and cover."""

    record: dict[str, Any]
    files: dict[int, str]
    cover: str


def kept(server: Server, ebook_id: int) -> Kept:
    """Downloads an ebook whole."""
    record: dict[str, Any] = server.call("GET", f"/api/ebooks/{ebook_id}").json()
    record.pop("downloads", None)
    files = {
        source["id"]: _sha1(server.call("GET", f"/api/download/{source['id']}"))
        for source in record["sources"]
    }
    return Kept(
        record, files, _sha1(server.call("GET", f"/api/ebooks/{ebook_id}/cover"))
    )


def _sha1(answer: requests.Response) -> str:
    if answer.status_code == 404:
        return ""
    answer.raise_for_status()
    return hashlib.sha1(answer.content).hexdigest()


# -- what people do --------------------------------------------------------------------


def edit_title(owner: Server, _other: Server, ebook_id: int) -> None:
    """The owner gives it another title."""
    version = owner.call("GET", f"/api/ebooks/{ebook_id}").json()["version_id"]
    body = {"version_id": version, "title": f"Mine {ebook_id}"}
    assert owner.call("PATCH", f"/api/ebooks/{ebook_id}", body).json()["success"]


def rate_it(_owner: Server, other: Server, ebook_id: int) -> None:
    """Another user rates it."""
    other.call(
        "POST", f"/api/ebooks/{ebook_id}/rate", {"rating": 60}
    ).raise_for_status()


def rate_it_again(owner: Server, _other: Server, ebook_id: int) -> None:
    """The login's user gives it another rating."""
    owner.call(
        "POST", f"/api/ebooks/{ebook_id}/rate", {"rating": 37}
    ).raise_for_status()


def shelve_it(_owner: Server, other: Server, ebook_id: int) -> None:
    """Another user puts it on a shelf that everybody sees."""
    _on_shelf(other, ebook_id, public=True)


def shelve_it_secretly(_owner: Server, other: Server, ebook_id: int) -> None:
    """Another user puts it on a private shelf."""
    _on_shelf(other, ebook_id, public=False)


def _on_shelf(user: Server, ebook_id: int, *, public: bool) -> None:
    body = {"name": f"Shelf for {ebook_id}", "public": public}
    shelf = user.call("POST", "/api/bookshelves/mine", body).json()["id"]
    item = {"ebook": {"id": ebook_id}}
    user.call("POST", f"/api/bookshelves/{shelf}/add", item).raise_for_status()


def add_file(_owner: Server, other: Server, ebook_id: int) -> None:
    """Another user adds a file."""
    record = other.extracted(epub(), {"title": "x"})
    other.call(
        "POST", f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": record["id"]}
    ).raise_for_status()


def change_cover(owner: Server, _other: Server, ebook_id: int) -> None:
    """The owner gives it another cover."""
    files = {"file": ("cover.jpg", io.BytesIO(jpeg("purple")), "image/jpeg")}
    file = owner.call("POST", "/api/upload-cover", files=files).json()["file"]
    assert owner.task("cover", file, ebook_id)["status"] == "success"


def remove_file(owner: Server, _other: Server, ebook_id: int) -> None:
    """The owner removes a file from it."""
    sources = owner.call("GET", f"/api/ebooks/{ebook_id}").json()["sources"]
    owner.call("DELETE", f"/api/sources/{sources[0]['id']}").raise_for_status()


#: By the reason for which the ebook stays then.
TOUCHES = {
    "somebody has changed it": edit_title,
    "somebody else has rated it": rate_it,
    "your rating of it was changed": rate_it_again,
    "it is on a shelf of somebody else": shelve_it,
    "the server does not delete it": shelve_it_secretly,
    "it holds a file of somebody else": add_file,
    "its cover was changed": change_cover,
    "its files were changed": remove_file,
}
