"""Answers that are none, on every route of the protocol; and what must be true after a
migration that met one.

A cell is a kind of non-answer on a route: the request never reaches the server, or the
server acts on it and its answer is replaced. Each cell migrates a small library of its
own through a lying proxy."""

import hashlib
import io
import re
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.network.proxy import Answer, Decision, Do, Proxy
from tests.support.servers.shelf import Shelf

PAGE = (
    "<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>Back soon</h1>"
    "<p>We are working on it.</p></body></html>"
)
JSON = "application/json"
_RESTARTED = "(psycopg2.OperationalError) server closed the connection unexpectedly"
_DEADLOCK = "(psycopg2.errors.DeadlockDetected) deadlock detected"

#: Short waits: a cell is over in two seconds.
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "0.5",
    "TASK_SECONDS": "4",
    "ANSWER_SECONDS": "2",
    "ASK_FIRST_BYTES": "0",
}
#: Seconds after which a worker that is not through has failed its cell.
PATIENCE = 120


def _trouble(details: str) -> Answer:
    return Answer(
        200,
        f'{{"error": "Database error", "error_details": "{details}"}}',
        content_type=JSON,
    )


def _half(true: bytes) -> bytes:
    return true[: len(true) // 2] or b'{"id": 1'


KINDS: Mapping[str, Answer] = {
    "page": Answer(200, PAGE),
    "page called JSON": Answer(200, PAGE, content_type=JSON),
    "redirect": Answer(302, "", headers={"Location": "/login"}),
    "moved": Answer(
        301, PAGE, headers={"Location": "https://portal.invalid/login?next=1"}
    ),
    "nothing": Answer(200, "", content_type=JSON),
    "no content": Answer(204, ""),
    "empty object": Answer(200, "{}", content_type=JSON),
    "empty list": Answer(200, "[]", content_type=JSON),
    "foreign JSON": Answer(
        200, '{"status": "maintenance", "id": "m-1"}', content_type=JSON
    ),
    "foreign JSON with an id": Answer(
        200, '{"status": "maintenance", "id": 12345}', content_type=JSON
    ),
    "twice in it": Answer(
        200,
        content_type=JSON,
        spoil=lambda true: b'{"id": 1, "id": 2, ' + (true.strip()[1:] or b"}"),
    ),
    "cut JSON": Answer(200, content_type=JSON, spoil=_half),
    "cut off": Answer(200, content_type=JSON, spoil=_half, promised=500),
    "called a page": Answer(
        200, content_type="text/html", spoil=lambda true: true or b"{}"
    ),
    "408": Answer(408, PAGE),
    "425": Answer(425, PAGE),
    "429": Answer(429, PAGE),
    "429, in a second": Answer(
        429,
        '{"message": "Too many requests"}',
        content_type=JSON,
        headers={"Retry-After": "1"},
    ),
    "503, at a time": Answer(
        503, PAGE, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}
    ),
    "502": Answer(502, PAGE),
    "504": Answer(504, "{}", content_type=JSON),
    "404": Answer(404, PAGE),
    "404 of a gateway": Answer(
        404, '{"message": "no Route matched with those values"}', content_type=JSON
    ),
    "403": Answer(403, PAGE),
    "401 of a proxy": Answer(
        401, PAGE, headers={"WWW-Authenticate": 'Basic realm="proxy"'}
    ),
    "restarted": _trouble(_RESTARTED),
    "deadlock": _trouble(_DEADLOCK),
    "deep": Answer(200, "[" * 100_000, content_type=JSON),
    "long": Answer(
        200, content_type=JSON, spoil=lambda true: b" " * 8_000_000 + (true or b"{}")
    ),
    "slow": Answer(
        200, content_type=JSON, spoil=lambda true: true or b'{"id": 1}', drip=1.0
    ),
    "compressed": Answer(
        200, "\x1f\x8b", content_type=JSON, headers={"Content-Encoding": "gzip"}
    ),
}


@dataclass(frozen=True, slots=True)
class Route:
    """Where to lie. `provoke`: what makes the worker ask this at all, done to the first
    request of another route."""

    method: str
    path: str
    provoke: tuple[str, str, Do] | None = None

    def matches(self, method: str, path: str) -> bool:
        """Is this request one of the route's?"""
        return method == self.method and re.fullmatch(self.path, path) is not None


_CREATE_LOST = ("POST", "/api/ebooks", Do.CUT)
_ATTACH_LOST = ("POST", r"/api/ebooks/\d+/add-upload", Do.CUT)
ROUTES: Mapping[str, Route] = {
    "login": Route("POST", "/login"),
    "languages": Route("GET", "/api/languages"),
    "genres": Route("GET", "/api/genres"),
    "check": Route("POST", "/api/upload/check"),
    "upload": Route("POST", "/api/upload"),
    "tasks": Route("ws", "connect"),
    "meta": Route("GET", r"/api/uploads-meta/\d+"),
    "create": Route("POST", "/api/ebooks"),
    "look-up": Route("GET", "/api/ebooks/index/.*", _CREATE_LOST),
    "attach": Route("POST", r"/api/ebooks/\d+/add-upload"),
    "ebook": Route("GET", r"/api/ebooks/\d+", _ATTACH_LOST),
    "title": Route("PATCH", r"/api/ebooks/\d+"),
    "rate": Route("POST", r"/api/ebooks/\d+/rate"),
    "calibre": Route("PUT", r"/api/ebooks/\d+/calibre"),
    "cover": Route("POST", "/api/upload-cover"),
    "cover shown": Route("GET", r"/api/ebooks/\d+/cover"),
    "list": Route("GET", "/api/ebooks"),
    "shelf": Route("POST", "/api/bookshelves/mine"),
    "shelf index": Route("GET", "/api/bookshelves/mine/index/.*"),
    "shelves of": Route("GET", r"/api/bookshelves/with-ebook/\d+"),
    "add": Route("POST", r"/api/bookshelves/\d+/add"),
    "items": Route("GET", r"/api/bookshelves/\d+/items"),
    "batch": Route("POST", "/api/calibre/books"),
    "delete": Route("DELETE", r"/api/ebooks/\d+", ("POST", "/api/ebooks", Do.TWICE)),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One kind on one route, so many times in a row."""

    route: str
    kind: str
    acted: bool
    times: int = 1

    def __str__(self) -> str:
        return f"{self.route}, {self.kind}, {'answer replaced' if self.acted else 'never arrived'}"


@dataclass(slots=True)
class Liar:
    """Decides for the proxy: provokes once, then lies as often as the cell says."""

    cell: Cell
    lies: int = 0
    provoked: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, method: str, path: str) -> Decision:
        route = ROUTES[self.cell.route]
        with self.lock:
            if route.matches(method, path) and self.lies < self.cell.times:
                self.lies += 1
                return replace(KINDS[self.cell.kind], acted=self.cell.acted)
            if route.provoke is not None and not self.provoked:
                wanted, pattern, decision = route.provoke
                if method == wanted and re.fullmatch(pattern, path):
                    self.provoked = True
                    return decision
        return Do.PASS


@contextmanager
def proxied(shelf: Shelf, decide: object) -> Iterator[Shelf]:
    """The server behind a proxy that lies."""
    proxy = Proxy(shelf.url, decide)  # type: ignore[arg-type]  # a callable of any make
    try:
        yield Shelf(proxy.url, shelf.data_dir, None)
    finally:
        proxy.stop()


def migrate(
    library: Path, behind: Shelf, state_dir: Path, **more: str
) -> tuple[int | None, str]:
    """One worker from its start to its end; the status is None when it had to be
    killed."""
    command = [
        sys.executable,
        str(PROJECT / "bulk_migrate_calibre.py"),
        str(library),
        "--server",
        behind.url,
        "--state-dir",
        str(state_dir),
    ]
    environment = clean_environment(MBS2_PASSWORD=behind.password, **FAST, **more)
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        return None, (late.stderr or b"").decode(errors="replace")
    return done.returncode, done.stdout + done.stderr


@dataclass(slots=True)
class OldAnswers:
    """A cache that heeds nothing: so many requests of a route get the first answer to
    any of it, or to the same path.

    The first POST /api/ebooks is cut off, so that the worker must ask the server what
    became of it."""

    route: Route
    replays: int
    any_path: bool = False
    replayed: int = 0
    cut: bool = False
    kept: dict[str, bytes] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, method: str, path: str) -> Decision:
        if (
            not self.any_path
            and not self.cut
            and (method, path) == ("POST", "/api/ebooks")
        ):
            self.cut = True
            return Do.CUT
        if not self.route.matches(method, path):
            return Do.PASS
        name = "" if self.any_path else path
        return Answer(
            200, content_type=JSON, acted=True, spoil=lambda true: self._old(name, true)
        )

    def _old(self, name: str, true: bytes) -> bytes:
        with self.lock:
            old = self.kept.setdefault(name, true)
            if old == true or self.replayed >= self.replays:
                return true
            self.replayed += 1
            return old


def run_old_answers(old: OldAnswers, shelf: Shelf, folder: Path) -> list[str]:
    """Migrates the small library through such a cache; returns what is wrong then."""
    library = small_library(folder / "library", seed_of(old.route, folder))
    before = newest(shelf)
    with proxied(shelf, old) as behind:
        code, said = migrate(
            library.root, behind, folder / "state", PARALLEL_UPLOADS="1"
        )
    wrong = differences(library, shelf, before)
    if code != 0:
        wrong.append(f"exit status {code}: {said.strip().splitlines()[-1:]}")
    if old.replayed < old.replays:
        wrong.append(f"only {old.replayed} old answers were given")
    return wrong


def run_cell(cell: Cell, shelf: Shelf, folder: Path) -> list[str]:
    """Migrates a library of three files while the proxy lies; returns what is wrong
    then, [] when nothing is."""
    library = small_library(folder / "library", seed=seed_of(cell, folder))
    before = newest(shelf)
    liar = Liar(cell)
    with proxied(shelf, liar) as behind:
        late = ROUTES[cell.route].provoke is not None and cell.route == "delete"
        code, said = migrate(
            library.root,
            behind,
            folder / "state",
            LAST_LOOK_SECONDS="1.2" if late else "0.1",
            MIGRATE_LANE="auto" if cell.route == "batch" else "api",
        )
    wrong = differences(library, shelf, before)
    if code != 0:
        wrong.append(f"exit status {code}: {said.strip().splitlines()[-1:]}")
    if not liar.lies:
        wrong.append("the request was never sent")
    return wrong


def seed_of(what: object, folder: Path) -> int:
    """Bytes and titles that no other cell on the same server has."""
    return zlib.crc32(f"{what} {folder}".encode()) % 10**7


# -- the library, and what must be on the server ---------------------------------------


def small_library(root: Path, seed: int) -> Library:
    """Two books, three files: a title in Cyrillic with series, rating and a cover of
    Calibre's; one of two formats."""
    library = Library(root)
    number = library.add(
        Made(
            title=f"Война и мир {seed}",
            authors=(("Лев Толстой", "Толстой, Лев"),),
            series=f"Романы {seed}",
            series_index=2,
            rating=8,
            languages=("rus",),
            files={"EPUB": epub(seed)},
        ),
        Made(
            title=f"Harbour Tales {seed}",
            tags=(f"Sea {seed}",),
            rating=6,
            files={"EPUB": epub(seed + 1), "TXT": f"Text {seed} ".encode() * 90},
        ),
    )[0]
    picture = io.BytesIO()
    Image.new("RGB", (60, 90), (seed % 256, 40, 90)).save(picture, "JPEG")
    library.file(number).with_name("cover.jpg").write_bytes(picture.getvalue())
    library.sql("UPDATE books SET has_cover = 1 WHERE id = ?", (number,))
    library.sql(
        "INSERT INTO comments (book, text) VALUES (?, '<p>About war</p>')", (number,)
    )
    return library


def newest(shelf: Shelf) -> int:
    """The highest id of an ebook so far."""
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db:
        return int(db.execute("SELECT COALESCE(MAX(id), 0) FROM ebook").fetchone()[0])


def differences(library: Library, shelf: Shelf, before: int) -> list[str]:
    """What of the library is not on the server as it should be, read from the server's
    own database."""
    wanted = sorted(
        (
            str(title),
            10 * int(str(rating)) if rating else None,
            str(series) if series else None,
            bool(cover),
        )
        for title, rating, series, cover in library.sql(
            "SELECT title, (SELECT ratings.rating FROM ratings JOIN "
            "books_ratings_link l ON l.rating = ratings.id WHERE"
            " l.book = books.id), (SELECT name FROM series JOIN books_series_link l "
            "ON l.series = series.id WHERE"
            " l.book = books.id), has_cover FROM books"
        )
    )
    files = {
        hashlib.sha1(path.read_bytes()).hexdigest()
        for path in library.root.rglob("file.*")
    }
    [(tagged,)] = library.sql("SELECT COUNT(*) FROM books_tags_link")
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db:
        found = db.execute(
            "SELECT title, rating, (SELECT title FROM series WHERE id = series_id), "
            "cover IS NOT NULL, id FROM ebook"
            " WHERE id > ?",
            (before,),
        ).fetchall()
        sources = [
            row[0]
            for row in db.execute(
                "SELECT hash FROM source WHERE ebook_id > ?", (before,)
            )
        ]
        on_shelves = db.execute(
            "SELECT COUNT(*) FROM bookshelf_item WHERE ebook_id > ?", (before,)
        ).fetchone()[0]
        shelves_twice = db.execute(
            "SELECT COUNT(*) - COUNT(DISTINCT name) FROM bookshelf"
        ).fetchone()[0]
        empty = [
            row
            for row in found
            if not db.execute(
                "SELECT 1 FROM source WHERE ebook_id = ?", row[4:]
            ).fetchone()
        ]
    shown = sorted((row[0], row[1], row[2], bool(row[3])) for row in found)
    wrong = {
        "files lost": len(files - set(sources)),
        "sources twice": len(sources) - len(set(sources)),
        "empty ebooks": len(empty),
        "working titles": sum(" ~" in row[0] for row in found),
        "shelves twice": shelves_twice,
        "items missing or twice": abs(on_shelves - tagged),
    }
    told = [f"{n} {what}" for what, n in wrong.items() if n]
    covers_apart = [row[:3] for row in shown] == [row[:3] for row in wanted]
    if not covers_apart:
        told.append(f"{shown} instead of {wanted}")
    elif any(want[3] and not have[3] for want, have in zip(wanted, shown, strict=True)):
        told.append("a cover is missing")
    return told


# -- the maintenance window ------------------------------------------------------------


@dataclass(slots=True)
class Window:
    """From the `number`th POST /api/ebooks on, which is cut off, every request gets the
    answer for some seconds."""

    answer: Answer
    seconds: float
    number: int = 5
    asked: int = 0
    until: float | None = None
    answered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, method: str, path: str) -> Decision:
        with self.lock:
            if self.until is not None:
                inside = time.monotonic() < self.until and (
                    method != "ws" or path == "connect"
                )
                self.answered += inside
                return self.answer if inside else Do.PASS
            self.asked += (method, path) == ("POST", "/api/ebooks")
            if self.asked < self.number:
                return Do.PASS
            self.until = time.monotonic() + self.seconds
            return Do.CUT


def run_window(
    kind: str, seconds: float, shelf: Shelf, folder: Path, books: int = 25
) -> list[str]:
    """Migrates so many books through a maintenance window; returns what is wrong
    then."""
    library = Library(folder / "library")
    seed = seed_of(kind, folder)
    library.add(*epubs(range(seed, seed + books)))
    before = newest(shelf)
    window = Window(KINDS[kind], seconds)
    with proxied(shelf, window) as behind:
        code, said = migrate(library.root, behind, folder / "state")
    wrong = differences(library, shelf, before)
    if code != 0:
        wrong.append(f"exit status {code}: {said.strip().splitlines()[-1:]}")
    if not window.answered:
        wrong.append("nothing was asked in the window")
    return wrong
