"""A library that Calibre changes, and a server that must show the same: both read
plainly from their databases."""

import hashlib
import random
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.environment import clean_environment
from tests.support.libraries.librarykit import Library, epub
from tests.support.libraries.updatekit import picture

#: Tags that the embedded server has genres for.
GENRES = ("Adventure", "Horror", "War", "Fantasy", "Nature")

#: What calibredb says when another one runs on this machine.
ANOTHER = "calibre program is running"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person sees of one book."""

    title: str
    authors: frozenset[str]
    series: str | None
    index: int | None
    genres: frozenset[str]
    rating: int | None
    files: frozenset[str]


def in_calibre(root: Path) -> dict[int, Shown]:
    """Every book of the library."""
    with closing(_open(root / "metadata.db")) as db:
        return {
            book: Shown(
                title,
                _names(db, "authors", "author", "sort", book, _last_name),
                next(iter(_names(db, "series", "series", "name", book)), None),
                int(index) if _names(db, "series", "series", "name", book) else None,
                _names(db, "tags", "tag", "name", book) & set(GENRES),
                next(iter(_ratings(db, book)), None),
                frozenset(
                    _sha1(root / path / f"{name}.{kind.lower()}")
                    for name, kind in db.execute(
                        "SELECT name, format FROM data WHERE book = ?", (book,)
                    )
                ),
            )
            for book, title, path, index in db.execute(
                "SELECT id, title, path, series_index FROM books"
            ).fetchall()
        }


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=20)


def _names(
    db: sqlite3.Connection,
    table: str,
    column: str,
    name: str,
    book: int,
    change: Callable[[str], str] = str,
) -> frozenset[str]:
    rows = db.execute(
        f"SELECT {table}.{name} FROM {table} JOIN books_{table}_link AS l "
        f"ON l.{column} = {table}.id WHERE l.book = ?",
        (book,),
    )
    return frozenset(change(text) for (text,) in rows)


def _ratings(db: sqlite3.Connection, book: int) -> frozenset[int]:
    return frozenset(
        int(text) * 10 for text in _names(db, "ratings", "rating", "rating", book)
    )


def _last_name(text: str) -> str:
    return text.partition(",")[0].strip()


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


def on_server(data_dir: Path, ledger: Path) -> dict[int, Shown]:
    """Every book that has an ebook, by its Calibre id."""
    with closing(_open(ledger)) as db:
        ebooks = db.execute(
            "SELECT ebook_id, book_id FROM books WHERE ebook_id IS NOT NULL"
        ).fetchall()
    with closing(_open(data_dir / "bookshelf.db")) as db:
        found = ((book, _ebook(db, ebook)) for ebook, book in ebooks)
        return {book: shown for book, shown in found if shown is not None}


def _ebook(db: sqlite3.Connection, ebook: int) -> Shown | None:
    row = db.execute(
        "SELECT ebook.title, series.title, series_index FROM ebook LEFT JOIN series "
        "ON series.id = series_id WHERE ebook.id = ?",
        (ebook,),
    ).fetchone()
    if row is None:
        return None

    def column(statement: str) -> Iterator[str]:
        return (value for (value,) in db.execute(statement, (ebook,)))

    ratings = column("SELECT rating FROM ebook_rating WHERE ebook_id = ?")
    return Shown(
        row[0],
        frozenset(
            column(
                "SELECT last_name FROM author JOIN ebook_authors ON author_id = "
                "author.id WHERE ebook_id = ?"
            )
        ),
        row[1],
        row[2],
        frozenset(
            column(
                "SELECT name FROM genre JOIN ebook_genres ON genre_id = genre.id "
                "WHERE ebook_id = ?"
            )
        ),
        next((round(float(rating)) for rating in ratings), None),
        frozenset(column("SELECT hash FROM source WHERE ebook_id = ?")),
    )


@dataclass
class Calibre:
    """Somebody at work with calibredb; every call must end with 0."""

    library: Library
    folder: Path
    random: random.Random
    #: What was called, its status, and the seconds it took.
    calls: list[tuple[str, int, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    made: int = 0
    #: How often another Calibre of this machine was in the way.
    others: int = 0

    def call(self, *words: str) -> None:
        """One command."""
        began = time.monotonic()
        done = self._calibredb(*words)
        while ANOTHER in done.stderr and time.monotonic() - began < 60:
            # Calibre's own rule, whatever the libraries; no matter of ours.
            time.sleep(1)
            began, self.others = began + 1, self.others + 1
            done = self._calibredb(*words)
        took = time.monotonic() - began
        self.calls.append((words[0], done.returncode, took))
        if done.returncode:
            self.said.append(f"{' '.join(words)}: {done.stderr.strip()[-300:]}")

    def _calibredb(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["calibredb", *words, "--with-library", str(self.library.root)],
            env=clean_environment(QT_QPA_PLATFORM="offscreen"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def change(self) -> str:
        """Changes something at random; returns what."""
        books = [int(str(row[0])) for row in self.library.sql("SELECT id FROM books")]
        acts: list[tuple[Callable[[int], None], int]] = [
            (self.add, 3),
            (self.edit, 6),
            (self.remove, 1),
            (self.add_format, 1),
            (self.embed, 1),
            (self.set_cover, 1),
        ]
        act = self.random.choices(
            [act for act, _ in acts], [weight for _, weight in acts]
        )[0]
        act(self.random.choice(books))
        return act.__name__

    def add(self, _book: int) -> None:
        """A new book."""
        self.made += 1
        path = self.folder / f"new {self.made}.epub"
        title, author = f"Added {self.made}", f"Writer Number{self.made % 7}"
        path.write_bytes(epub(100_000 + self.made, title=title, author=author))
        self.call("add", "--duplicates", str(path))

    def edit(self, book: int) -> None:
        """One or two fields."""
        n = self.random.randrange(10_000)
        fields = [
            f"title:Edited {n}",
            f"authors:New Name{n % 9}",
            f"tags:{','.join(self.random.sample(GENRES, 2))}",
            f"series:Series {n % 5}",
            f"rating:{self.random.randrange(1, 6)}",
        ]
        chosen = self.random.sample(fields, self.random.randrange(1, 3))
        words = [word for one in chosen for word in ("--field", one)]
        self.call("set_metadata", *words, str(book))

    def remove(self, book: int) -> None:
        """Stays on the server."""
        self.call("remove", "--permanent", str(book))

    def add_format(self, book: int) -> None:
        """A text beside the EPUB, or another one in its place."""
        self.made += 1
        path = self.folder / f"text {self.made}.txt"
        path.write_text(f"text number {self.made} of {book}\n" * 30)
        self.call("add_format", str(book), str(path))

    def embed(self, book: int) -> None:
        """Other bytes for the same book."""
        self.call("embed_metadata", str(book))

    def set_cover(self, book: int) -> None:
        """A cover of one colour."""
        path = self.folder / "cover.jpg"
        path.write_bytes(picture(self.random.choice(["red", "green", "blue"])))
        self.call("set_metadata", "--field", f"cover:{path}", str(book))


# -- what else happens to the file -----------------------------------------------------


def replace_slowly(library: Library, pause: float) -> None:
    """A tool that synchronises replaces it: gone, half there, whole again."""
    path = library.root / "metadata.db"
    whole = path.read_bytes()
    path.unlink()
    time.sleep(pause)
    path.write_bytes(whole[: len(whole) // 2])
    time.sleep(pause)
    part = path.with_name("metadata.db.part")
    part.write_bytes(whole)
    part.replace(path)


def lock(library: Library, pause: float) -> None:
    """Calibre is at work for some time, and keeps everybody out."""
    with closing(library.connect()) as db:
        db.isolation_level = None
        db.execute("BEGIN EXCLUSIVE")
        time.sleep(pause)
        db.execute("ROLLBACK")
