"""All that an embedded server shows of its ebooks, for comparing two servers."""

import hashlib
from typing import Any

from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import seen


def everything(shelf: Shelf) -> list[dict[str, Any]]:
    """Each ebook with its files, cover, Calibre's fields and shelves, without ids."""
    session = shelf.session()
    found: list[dict[str, Any]] = []
    page = 1
    while True:
        where = f"{shelf.url}/api/ebooks?page={page}&page_size=100&sort=created"
        answer = session.get(where, timeout=20)
        if answer.status_code == 404:
            break
        items = answer.json()["items"]
        found += [_ebook(session, shelf.url, item["id"]) for item in items]
        if len(items) < 100:
            break
        page += 1
    return sorted(found, key=lambda ebook: sorted(ebook["files"]))


def _ebook(session: Any, url: str, number: int) -> dict[str, Any]:
    def get(path: str) -> Any:
        return session.get(f"{url}{path}", timeout=20)

    body = get(f"/api/ebooks/{number}").json()
    cover = get(f"/api/ebooks/{number}/cover")
    fields = get(f"/api/ebooks/{number}/calibre").json()
    shelved = get(f"/api/bookshelves/with-ebook/{number}").json()
    files = [
        (source["format"], _sha1(get(f"/api/download/{source['id']}").content))
        for source in body["sources"]
    ]
    return {
        **seen(body),
        "my rating": body.get("my_rating"),
        "files": sorted(files),
        "cover": _sha1(cover.content)
        if cover.status_code == 200
        else cover.status_code,
        "calibre": {name: fields[name] for name in fields if name != "id"},
        "shelves": sorted(one["name"] for one in shelved["items"]),
    }


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
