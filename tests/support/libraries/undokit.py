"""A server with ebooks of a pass, of an earlier pass and of other people; who touches
them, and what of them is there afterwards."""

import hashlib
import io
import random
import subprocess
import threading
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests

from tests.support.environment import PASSWORD, USERNAME
from tests.support.libraries.librarykit import Library, Made
from tests.support.libraries.librarykit import epub as book_file
from tests.support.libraries.updatekit import FAST
from tests.support.migration.workers import Workers
from tests.support.network.proxy import Decision, Do, Proxy
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


# -- undone by workers that are killed -------------------------------------------------

#: Where a worker that undoes is killed: (method, part of the path).
STEPS = (
    ("GET", "/api/ebooks/"),
    ("GET", "/cover"),
    ("GET", "/with-ebook/"),
    ("POST", "/rate"),
    ("DELETE", "/api/ebooks/"),
)


@dataclass(frozen=True, slots=True)
class Undone:
    """What is to be undone: a library and a server, with `older` ebooks on it, and how
    many books of the pass are touched, each in every way."""

    books: int
    older: int
    touched: int
    kills: int
    seed: int


class KilledUndo:
    """A pass of many books on a server with older ones, which killed workers undo."""

    def __init__(self, root: Path, shelf: Shelf, what: Undone) -> None:
        self._rnd = random.Random(what.seed)
        self._what = what
        self._lock = threading.Lock()
        self._aim: tuple[str, str] | None = None
        self._countdown = 0
        self._victim: subprocess.Popen[str] | None = None
        self.proxy = Proxy(shelf.url, self._decide)
        self.shelf = replace(shelf, url=self.proxy.url)
        self.library = Library(root / "library")
        self.workers = Workers(root / "state")
        self.owner, self.other = login(shelf), login(shelf, READER)
        self.kept: dict[int, Kept] = {}
        #: Kills that struck, by step.
        self.struck: Counter[tuple[str, str]] = Counter()

    def prepare(self) -> None:
        """Older ebooks, the pass, what people do then; and what of it is there."""
        for number in range(self._what.older):
            who = self.other if number % 5 == 0 else self.owner
            ebook_id, _source = who.with_file(epub(), title=f"Older {number}")
            if number % 3 == 0:
                rate_it(self.owner, self.other, ebook_id)
        before = ids(self.owner)
        self.library.add(
            *(
                Made(
                    title=f"Book {number}",
                    authors=((f"Writer {number % 7}", f"{number % 7}, Writer"),),
                    files={"EPUB": book_file(number, padding=3000)},
                    rating=number % 3 * 4,
                )
                for number in range(self._what.books)
            )
        )
        code, said = self.workers.run(self.library.root, self.shelf, **FAST)
        assert code == 0, said
        made = sorted(set(ids(self.owner)) - set(before))
        assert len(made) == self._what.books
        touched = self._rnd.sample(made, self._what.touched * len(TOUCHES))
        for place, ebook_id in enumerate(touched):
            [*TOUCHES.values()][place % len(TOUCHES)](self.owner, self.other, ebook_id)
        self.kept = {number: kept(self.owner, number) for number in [*before, *touched]}

    def _decide(self, method: str, path: str) -> Decision:
        """Kills the worker at the drawn step; the server acts, or never hears of it."""
        with self._lock:
            aim, victim = self._aim, self._victim
            if aim is None or victim is None or method != aim[0] or aim[1] not in path:
                return Do.PASS
            self._countdown -= 1
            if self._countdown > 0:
                return Do.PASS
            self._aim = None
            self.struck[aim] += 1
        victim.kill()
        return self._rnd.choice([Do.CUT, Do.RESET])

    def undo(self) -> tuple[int, str]:
        """Undoes the pass, killed again and again; returns how the last one ended."""
        for number in range(self._what.kills + 1):
            with self._lock:
                last = number == self._what.kills
                self._aim = None if last else self._rnd.choice(STEPS)
                self._countdown = self._rnd.randint(1, 6)
                self._victim = self.workers.start(
                    self.library.root, self.shelf, "--undo", "1", **FAST
                )
            code, said = self.workers.finish(self._victim)
            if code >= 0:
                return code, said
        raise AssertionError("unreachable: the last one is not killed")

    def aim_once(self, step: tuple[str, str], after: int) -> None:
        """Has one worker killed while it undoes, when this step comes by so often."""
        with self._lock:
            self._aim, self._countdown = step, after
            self._victim = self.workers.start(
                self.library.root, self.shelf, "--undo", "1", **FAST
            )
        code, said = self.workers.finish(self._victim)
        assert code < 0, said

    def wrong(self) -> list[str]:
        """What is not as it was, or still there; [] when nothing is."""
        there = ids(self.owner)
        found = [f"ebook {n} is gone" for n in self.kept if n not in there]
        found += [f"ebook {n} is still there" for n in there if n not in self.kept]
        found += [
            f"ebook {n} is not as it was: {kept(self.owner, n)} != {was}"
            for n, was in self.kept.items()
            if n in there and kept(self.owner, n) != was
        ]
        return found
