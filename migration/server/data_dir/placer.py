"""Places the files and pictures of one book, or removes them again. Thread-safe."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from migration.calibre import cover
from migration.errors import BadCover, FileChanged, Rejected
from migration.model import Digest
from migration.server.data_dir import folders, names
from migration.server.data_dir.copying import copy
from migration.server.data_dir.covers import Drawing, draw
from migration.server.data_dir.inside import declares_cover
from migration.server.data_dir.owner import Owning
from migration.server.data_dir.trouble import about_book, translated
from migration.server.direct.batch import Drawn, NewBook, NewFile, Placed, Refused


@dataclass(frozen=True, slots=True)
class Directory:
    """An open directory of the server's, and how what is made there is owned."""

    descriptor: int
    how: Owning


@dataclass(frozen=True, slots=True)
class Placer:
    """`open_source` opens a file of the library, following nothing; see `paths.Tree`."""

    books: Directory
    thumbnails: Directory
    open_source: Callable[[bytes], BinaryIO]
    drawing: Drawing

    def place(self, drawn: Drawn, moved: Callable[[int], None]) -> Placed | Refused:
        """Copies a book's files into its folder, and draws its pictures.

        `moved` is told the bytes of its files as they are copied. What is refused leaves
        nothing behind. Raises DataDirUnwritable, and then may leave some of it;
        OutOfResources likewise.
        """
        try:
            if why := self._refusal(drawn.book):
                return Refused(drawn.book.id, why)
            return self._placed(drawn, moved)
        except BadCover as error:
            why = f"its cover cannot be drawn: {error}"
        except (Rejected, FileChanged) as error:
            why = str(error)
        except OSError as error:
            why = about_book(error)
        with translated():
            self.clear(drawn.base_dir, drawn.locations, drawn.ebook_id)
        return Refused(drawn.book.id, why)

    def clear(self, base_dir: str, locations: tuple[str, ...], ebook_id: int) -> None:
        """Removes these files, the cover and the thumbnail, and the folder if empty.

        The server puts a file of the same authors and title into this folder, too, and
        its cover in place of ours: with anything of others there, the cover stays.
        Nothing else is removed, and nothing is followed. Raises OSError.
        """
        owned = [base_dir, *locations]
        if not all(names.is_inside(path) for path in owned):
            return
        own = [path for path in locations if path.rpartition("/")[0] == base_dir]
        for path in own:
            folders.remove_below(self.books.descriptor, path)
        cover = f"{base_dir}/{names.COVER_NAME}"
        folders.remove_if_alone(self.books.descriptor, cover)
        folders.remove_if_empty(self.books.descriptor, base_dir)
        folders.remove_file(self.thumbnails.descriptor, names.thumbnail_name(ebook_id))

    def _refusal(self, book: NewBook) -> str:
        """Returns why this book goes by the API, "" if it does not."""
        if book.cover is not None:
            return ""
        for file in book.files:
            if file.extension != "epub":
                continue
            with self.open_source(file.path) as source:
                if declares_cover(source):
                    return "its cover is only inside its file"
        return ""

    def _placed(self, drawn: Drawn, moved: Callable[[int], None]) -> Placed:
        with folders.opened(self.books.descriptor, drawn.base_dir) as folder:
            digests = tuple(
                self._copied(file, folder, location.rpartition("/")[2], moved)
                for file, location in zip(
                    drawn.book.files, drawn.locations, strict=True
                )
            )
            if drawn.book.cover is None:
                return Placed(drawn, digests)
            with self.open_source(drawn.book.cover) as source:
                held = cover.read(source)
            pictures = draw(held, self.drawing)
            _write(folder, names.COVER_NAME, pictures.cover, self.books.how)
        self._put_thumbnail(drawn.ebook_id, pictures.thumbnail)
        calibres = _sha1(held)
        return Placed(
            drawn,
            digests,
            f"{drawn.base_dir}/{names.COVER_NAME}",
            calibres if pictures.cover is held else _sha1(pictures.cover),
            calibres,
        )

    def _copied(
        self, file: NewFile, folder: int, name: str, moved: Callable[[int], None]
    ) -> Digest:
        with self.open_source(file.path) as source:
            target = folders.new_file(folder, name, self.books.how)
            try:
                return copy(
                    source,
                    target,
                    size=file.size,
                    mtime_ns=file.mtime_ns,
                    moved=moved,
                )
            finally:
                os.close(target)

    def _put_thumbnail(self, ebook_id: int, data: bytes) -> None:
        folder, name = self.thumbnails.descriptor, names.thumbnail_name(ebook_id)
        try:
            _write(folder, name, data, self.thumbnails.how)
        except FileExistsError:
            # The id is newly drawn: what has its name is of an ebook that is no more.
            folders.remove_file(folder, name)
            _write(folder, name, data, self.thumbnails.how)


def _write(folder: int, name: str, data: bytes, how: Owning) -> None:
    with os.fdopen(folders.new_file(folder, name, how), "wb") as file:
        file.write(data)


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()
