"""What a book costs in the server's data directory, stage by stage: ms a book.

    python -m benchmarks.speed.data_dir [--books N] [--folder DIR] [--quick]

Books of 150 to 450 KB with covers of 600x900 pixels and about 100 KB, page cache warm;
each stage alone with one thread and with two, then all of them as the direct lane does
it: files and pictures of 250 books, then one sync. Library and data directory are made
in DIR, by default a temporary one: name one on a file system that shares blocks
(btrfs, XFS) to see clones."""

import argparse
import hashlib
import io
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, ImageFilter

from benchmarks.table import Table
from migration.server.data_dir.copying import clone, copy
from migration.server.data_dir.covers import KEEP_BYTES, Drawing, draw, silence
from migration.server.direct.batch import NewBook, Placed
from tests.support.libraries.placekit import Site, chosen, ignored

BATCH = 250
THREADS = (1, 2)
RESIZE, KEEP = Drawing(), Drawing(keep_bytes=KEEP_BYTES)


def cover(number: int) -> bytes:
    """A JPEG of 600x900 pixels and about 100 KB."""
    random.seed(number)
    noise = Image.frombytes("RGB", (60, 90), random.randbytes(60 * 90 * 3))
    made = io.BytesIO()
    soft = noise.resize((600, 900), Image.Resampling.BICUBIC)
    soft.filter(ImageFilter.GaussianBlur(0.5)).save(made, "JPEG", quality=80)
    return made.getvalue()


def library(site: Site, count: int) -> list[NewBook]:
    """Books by 100 authors."""
    covers = [cover(number) for number in range(20)]
    random.seed(0)
    return [
        site.book(
            number,
            title=f"Title {number}",
            author=f"Author {number % 100}",
            formats={"EPUB": random.randbytes(random.randrange(150_000, 450_000))},
            cover=covers[number % len(covers)],
        )
        for number in range(count)
    ]


def each(
    work: Callable[[NewBook], object], books: Sequence[NewBook], threads: int
) -> str:
    """Wall and CPU milliseconds a book of a stage."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, books[:10]))
        wall, cpu = time.perf_counter(), time.process_time()
        list(pool.map(work, books))
        return figures(wall, cpu, len(books))


def figures(wall: float, cpu: float, count: int) -> str:
    """Of a stage that began at these times."""
    passed, used = time.perf_counter() - wall, time.process_time() - cpu
    return f"{1000 * passed / count:.2f} ({1000 * used / count:.2f})"


class Stages:
    """Each stage alone, on one book."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._scratch = site.root / "scratch"
        self._scratch.mkdir()

    def hash(self, book: NewBook) -> None:
        """Read and SHA-1, as a claim does it."""
        with self._path(book.files[0].path).open("rb") as file:
            hashlib.file_digest(file, "sha1")

    def copy(self, book: NewBook) -> None:
        """As it is placed."""
        file = book.files[0]
        with self._path(file.path).open("rb") as source, self._target() as target:
            copy(source, target.fileno(), size=file.size, mtime_ns=file.mtime_ns)

    def kernel_copy(self, book: NewBook) -> None:
        """copy_file_range, and a SHA-1 of what is there then."""
        file = book.files[0]
        with self._path(file.path).open("rb") as source, self._target() as target:
            left = file.size
            while left:
                left -= os.copy_file_range(source.fileno(), target.fileno(), left)
            target.seek(0)
            hashlib.file_digest(target, "sha1")

    def resize(self, book: NewBook) -> None:
        """Both pictures, of the server's sizes."""
        draw(self._cover(book), RESIZE)

    def keep(self, book: NewBook) -> None:
        """A thumbnail only."""
        draw(self._cover(book), KEEP)

    def clones(self, book: NewBook) -> bool:
        """Whether blocks are shared here."""
        with (
            self._path(book.files[0].path).open("rb") as source,
            self._target() as target,
        ):
            return clone(source.fileno(), target.fileno())

    def _target(self) -> "io.BufferedRandom":
        return tempfile.TemporaryFile(dir=self._scratch, buffering=-1)

    def _path(self, path: bytes) -> Path:
        return self._site.library / os.fsdecode(path)

    def _cover(self, book: NewBook) -> bytes:
        assert book.cover is not None
        return self._path(book.cover).read_bytes()


def whole(
    site: Site, books: Sequence[NewBook], drawing: Drawing, threads: int
) -> dict[str, str]:
    """Everything in batches of 250; the directory is emptied before."""
    for place in (site.places.books, site.places.thumbnails):
        shutil.rmtree(place)
        place.mkdir()
    os.sync()
    spent = {"choose": 0.0, "place": 0.0, "sync": 0.0}
    wall, cpu = time.perf_counter(), time.process_time()
    with site.opened(threads=threads, drawing=drawing) as directory:
        for first in range(0, len(books), BATCH):
            at = time.perf_counter()
            drawn = chosen(directory, books[first : first + BATCH])
            spent["choose"] += (then := time.perf_counter()) - at
            placed = directory.place(drawn, ignored)
            assert all(isinstance(one, Placed) for one in placed)
            spent["place"] += (at := time.perf_counter()) - then
            directory.sync()
            spent["sync"] += time.perf_counter() - at
    total = figures(wall, cpu, len(books))
    rate = len(books) / (time.perf_counter() - wall)
    parts = {name: f"{1000 * value / len(books):.2f}" for name, value in spent.items()}
    return {**parts, "all": total, "rate": f"{rate:.0f}"}


def measure(site: Site, count: int, table: Table) -> None:
    """All rows."""
    books = library(site, count)
    stages = Stages(site)
    silence()
    for book in books:
        stages.hash(book)
    shared = "blocks are shared" if stages.clones(books[0]) else "no blocks are shared"
    for name, work in (
        ("read and SHA-1", stages.hash),
        (f"copy and SHA-1 ({shared})", stages.copy),
        ("the same by copy_file_range", stages.kernel_copy),
        ("cover of the server's size, and thumbnail", stages.resize),
        ("cover kept, thumbnail drawn", stages.keep),
    ):
        shown = " / ".join(each(work, books, threads) for threads in THREADS)
        table.add(f"{name}: 1 / 2 threads, ms a book (CPU)", shown, "-", None)
    for name, drawing in (("of the server's size", RESIZE), ("kept", KEEP)):
        for threads in THREADS:
            found = whole(site, books, drawing, threads)
            table.add(
                f"all, covers {name}, {threads} threads: choose, place, sync; all, ms",
                f"{found['choose']}, {found['place']}, {found['sync']}; {found['all']}",
                "-",
                None,
            )
            table.add("the same, books a second", found["rate"], "-", None)


def main(arguments: Sequence[str]) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--books", type=int, default=2000)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="100 books")
    options = parser.parse_args(arguments)
    table = Table("the server's data directory")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        measure(
            Site(Path(folder) / "site"), 100 if options.quick else options.books, table
        )
    return table.show()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
