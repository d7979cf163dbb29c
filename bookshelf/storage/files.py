"""The server's files: uploads by random folder, books by content, covers by ebook.

They are written durably.
"""

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from common.files import durable


class FileStore:
    """The files below DATA_DIR, private to this user (folders 0700, files 0600).

    `uploads/tmpXXXXXXXX/`, `books/ab/<sha1>.<ext>`, `covers/<id>.jpg`,
    `thumbs/<id>.jpg`.
    """

    def __init__(self, data_dir: Path) -> None:
        self.uploads = data_dir / "uploads"
        self.books = data_dir / "books"
        self._covers = data_dir / "covers"
        self._thumbs = data_dir / "thumbs"
        self._synced: set[Path] = set()
        for folder in (self.uploads, self.books, self._covers, self._thumbs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def new_upload(self, name: str) -> Path:
        """Returns the path for an upload of this (safe) name in a new folder."""
        folder = self.uploads / f"tmp{secrets.token_hex(4)}"
        folder.mkdir(mode=0o700)
        return folder / name

    def uploaded(self, reference: str) -> Path | None:
        """Returns the file of a reference such as `tmp1a2b3c4d/x.epub`, or None."""
        folder, _, name = reference.partition("/")
        if (
            not folder.startswith("tmp")
            or not folder.isalnum()
            or not name
            or "/" in name
            or name.startswith(".")
        ):
            return None
        path = self.uploads / folder / name
        return path if path.is_file() and not path.is_symlink() else None

    def keep(self, upload: Path, sha1: str, extension: str) -> None:
        """Links an uploaded file among the books, durably.

        The upload stays until it is dropped.
        """
        target = self.book(sha1, extension)
        durable.sync(upload)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            os.link(upload, target)
        durable.sync(target.parent)
        if target.parent not in self._synced:
            durable.sync(self.books)
            self._synced.add(target.parent)

    def link(self, upload: Path, sha1: str, extension: str) -> Path:
        """Links a file among the books, not durably yet; returns where it is."""
        target = self.book(sha1, extension)
        with contextlib.suppress(FileExistsError):
            try:
                os.link(upload, target)
            except FileNotFoundError:
                target.parent.mkdir(exist_ok=True, mode=0o700)
                os.link(upload, target)
        return target

    def write_cover(self, ebook_id: int, cover: bytes) -> Path:
        """Writes the cover of a new ebook, not durably yet; returns where it is."""
        path = self.cover(ebook_id)
        path.unlink(missing_ok=True)
        with create(path) as file:
            file.write(cover)
        return path

    def book(self, sha1: str, extension: str) -> Path:
        """Returns the path of the bytes with this hash."""
        return self.books / sha1[:2] / f"{sha1}.{extension}"

    def remove_book(self, sha1: str, extension: str) -> None:
        """Removes bytes that are no longer referenced."""
        self.book(sha1, extension).unlink(missing_ok=True)

    def cover(self, ebook_id: int) -> Path:
        return self._covers / f"{ebook_id}.jpg"

    def thumb(self, ebook_id: int) -> Path:
        return self._thumbs / f"{ebook_id}.jpg"

    def upload_cover(self, upload: Path) -> Path:
        """Returns the path of the cover found in an upload."""
        return upload.parent / "cover.jpg"

    def take_cover(self, upload: Path, ebook_id: int) -> None:
        """Makes the cover found in an upload the ebook's, durably."""
        durable.sync(self.upload_cover(upload))
        self.upload_cover(upload).replace(self.cover(ebook_id))
        durable.sync(self._covers)

    def set_cover(self, ebook_id: int, cover: bytes) -> None:
        """Replaces an ebook's cover, durably."""
        write_file(self.cover(ebook_id), cover)

    def new_cover(self, ebook_id: int, cover: bytes) -> None:
        """Stores a generated cover durably, unless the ebook has got one meanwhile."""
        with self._drawn(cover) as drawn, contextlib.suppress(FileExistsError):
            os.link(drawn, self.cover(ebook_id))
        durable.sync(self._covers)

    def has_thumb(self, ebook_id: int) -> bool:
        """Whether there is a thumbnail of the present cover.

        It carries the mtime of the cover it was made from.
        """
        try:
            return (
                self.thumb(ebook_id).stat().st_mtime_ns
                == self.cover(ebook_id).stat().st_mtime_ns
            )
        except FileNotFoundError:
            return False

    def make_thumb(self, ebook_id: int, make: Callable[[bytes], bytes]) -> None:
        """Makes the thumbnail of the present cover.

        Raises FileNotFoundError without one.
        """
        with self.cover(ebook_id).open("rb") as file:
            time_ns, cover = os.fstat(file.fileno()).st_mtime_ns, file.read()
        with self._drawn(make(cover)) as drawn:
            os.utime(drawn, ns=(time_ns, time_ns))
            drawn.replace(self.thumb(ebook_id))

    @contextlib.contextmanager
    def _drawn(self, picture: bytes) -> Iterator[Path]:
        """Yields a picture written among the uploads.

        There, what a killed server leaves behind is removed.
        """
        path = self.new_upload("drawn.jpg")
        try:
            with create(path) as file:
                file.write(picture)
            durable.sync(path)
            yield path
        finally:
            self.drop_upload(path)

    def remove_cover(self, ebook_id: int) -> None:
        """Removes an ebook's pictures."""
        self.cover(ebook_id).unlink(missing_ok=True)
        self.thumb(ebook_id).unlink(missing_ok=True)

    @staticmethod
    def drop_upload(upload: Path) -> None:
        """Removes an upload with its folder."""
        shutil.rmtree(upload.parent, ignore_errors=True)


def safe_name(name: str) -> str:
    """Returns a plain ASCII file name; "" when nothing is left.

    Other characters are dropped, and white space becomes `_`.
    """
    plain = name.replace("/", " ").replace("\\", " ").encode("ascii", "ignore").decode()
    kept = "".join(
        char for char in "_".join(plain.split()) if char.isalnum() or char in "_.-"
    )
    return kept.strip("._")[-200:]


def create(path: Path) -> BinaryIO:
    """Creates a file private to this user, for writing. Raises FileExistsError."""
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
    )


def write_file(path: Path, data: bytes) -> None:
    """Replaces a file private to this user, durably. Raises OSError."""
    durable.replace(path, data, mode=0o600)
