"""A server's data directory and books of a library, for what is placed there."""

import io
import os
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

from migration.calibre.paths import Tree
from migration.model import BookId, EbookId, EbookMetadata, FileId, PersonName, SourceId
from migration.server.data_dir.covers import Drawing
from migration.server.data_dir.data_dir import DataDirectory
from migration.server.data_dir.names import Naming
from migration.server.data_dir.places import Places
from migration.server.direct.batch import Drawn, LeftBehind, NewBook, NewFile, Refused

#: Long before any test: what is older than some seconds counts as at rest.
LONG_AGO = 1_500_000_000


def jpeg(size: tuple[int, int] = (600, 900)) -> bytes:
    """A cover."""
    made = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(made, "JPEG")
    return made.getvalue()


def nobody(_folders: Collection[str]) -> frozenset[str]:
    """No ebook has any folder."""
    return frozenset()


def ignored(_count: int) -> None:
    """Bytes that were moved."""


@contextmanager
def mounted(place: Path, kind: str, options: str, what: str = "none") -> Iterator[None]:
    """A file system of its own; the test is skipped where none can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    command = ["mount", "-t", kind, "-o", options, what, str(place)]
    if subprocess.run(command, check=False, timeout=60, capture_output=True).returncode:
        pytest.skip(f"no {kind} can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True, timeout=60)


def remount(place: Path, options: str) -> None:
    """Changes a mounted file system."""
    command = ["mount", "-o", f"remount,{options}", str(place)]
    subprocess.run(command, check=True, timeout=60)


class Site:
    """A library and a data directory below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.library, self.data = root / "library", root / "data"
        self.library.mkdir(parents=True)
        self.places = Places.below(self.data)
        self.make_places()

    def make_places(self) -> None:
        """The server's directories, which are empty."""
        for place in (self.places.books, self.places.thumbnails, self.places.uploads):
            place.mkdir(parents=True)

    @contextmanager
    def opened(
        self,
        *,
        open_source: Callable[[bytes], BinaryIO] | None = None,
        threads: int = 2,
        drawing: Drawing | None = None,
    ) -> Iterator[DataDirectory]:
        """The data directory as the lane has it."""
        tree = Tree(self.library)
        directory = DataDirectory(
            self.places,
            open_source or tree.open,
            naming=Naming(),
            drawing=drawing or Drawing(),
            threads=threads,
        )
        try:
            yield directory
        finally:
            directory.close()
            tree.close()

    def file(self, name: str, data: bytes) -> bytes:
        """A file of the library that has been at rest for long; its path there."""
        path = self.library / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        os.utime(path, (LONG_AGO, LONG_AGO))
        return name.encode()

    def book(
        self,
        number: int,
        *,
        title: str = "Title",
        formats: dict[str, bytes] | None = None,
        cover: bytes | None = None,
        author: str = "Doe",
    ) -> NewBook:
        """A book whose files are in the library."""
        contents = {"EPUB": b"book %d" % number} if formats is None else formats
        files = []
        for kind, data in contents.items():
            path = self.file(f"{number}/{number}.{kind.lower()}", data)
            files.append(self.listed(number, kind, path))
        return NewBook(
            BookId(number),
            metadata(title, author),
            tuple(files),
            None if cover is None else self.file(f"{number}/cover.jpg", cover),
        )

    def listed(self, number: int, kind: str, path: bytes) -> NewFile:
        """A file as the library's listing has it."""
        status = (self.library / os.fsdecode(path)).stat()
        return NewFile(
            FileId(BookId(number), kind),
            path,
            status.st_size,
            status.st_mtime_ns,
            kind.lower(),
        )

    def below(self) -> dict[str, bytes]:
        """All files of the data directory, by their paths there."""
        return {
            str(path.relative_to(self.data)): path.read_bytes()
            for path in sorted(self.data.rglob("*"))
            if path.is_file()
        }

    def folders(self) -> list[str]:
        """All folders below the books directory."""
        return [
            str(path.relative_to(self.places.books))
            for path in sorted(self.places.books.rglob("*"))
            if path.is_dir()
        ]


def metadata(title: str = "Title", author: str = "Doe") -> EbookMetadata:
    """What a book is named by."""
    return EbookMetadata(
        title=title,
        working_title=f"{title} ~1-1",
        authors=(PersonName(author),),
        series=None,
        series_index=None,
        language_id=1,
        language_code="en",
        genres=(),
        rating=None,
    )


def chosen(directory: DataDirectory, books: Sequence[NewBook]) -> list[Drawn]:
    """The books with their folders; ebooks and sources are numbered from 1001 on."""
    found = directory.choose(
        books,
        [EbookId(1000 + int(book.id)) for book in books],
        [SourceId(1001 + n) for n in range(sum(len(book.files) for book in books))],
        nobody,
    )
    assert not [one for one in found if isinstance(one, Refused)]
    return [one for one in found if isinstance(one, Drawn)]


def left_of(drawn: Drawn) -> LeftBehind:
    """What the ledger has of a book whose process was killed."""
    return LeftBehind(
        drawn.book.id,
        drawn.ebook_id,
        tuple(
            (file.id, source, location)
            for file, source, location in zip(
                drawn.book.files, drawn.source_ids, drawn.locations, strict=True
            )
        ),
        drawn.base_dir,
    )
