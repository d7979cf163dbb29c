"""The data directory as the direct lane uses it: a batch of books at a time."""

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import BinaryIO

from migration.model import EbookId, SourceId
from migration.server.data_dir import covers, folders, names
from migration.server.data_dir.choosing import Chooser, Taken
from migration.server.data_dir.covers import Drawing
from migration.server.data_dir.names import Naming
from migration.server.data_dir.placer import Placer
from migration.server.data_dir.places import Places, opened
from migration.server.data_dir.syncing import sync_file, sync_file_systems, sync_folder
from migration.server.data_dir.trouble import translated
from migration.server.direct.batch import (
    Drawn,
    LeftBehind,
    NewBook,
    Placed,
    Refused,
)


class DataDirectory:
    """Used by one thread; the books of a batch are placed by `threads` of its own."""

    def __init__(
        self,
        places: Places,
        open_source: Callable[[bytes], BinaryIO],
        *,
        naming: Naming,
        drawing: Drawing,
        threads: int,
    ) -> None:
        """Raises DataDirUnwritable; `usable.check` says more, and is asked before."""
        covers.silence()
        self._naming = naming
        #: Ebooks that are placed but not synced, by their folders.
        self._unsynced: dict[str, EbookId] = {}
        with ExitStack() as held, translated():
            self._books = opened(places.books, held)
            thumbnails = opened(places.thumbnails, held)
            self._pool = held.enter_context(ThreadPoolExecutor(threads, "placing"))
            self._held = held.pop_all()
        self._placer = Placer(self._books, thumbnails, open_source, drawing)
        self._chooser = Chooser(self._books.descriptor, self._books.how)

    def choose(
        self,
        books: Sequence[NewBook],
        ebooks: Sequence[EbookId],
        sources: Sequence[SourceId],
        taken: Taken,
    ) -> Sequence[Drawn | Refused]:
        """Makes an empty folder for each book, which nobody had, and names its files.

        Nothing is written into it. That the folder was made here is what makes it safe
        to remove what the ledger says was written there: it is nobody else's. `sources`
        are as many as the books' files, in their order. Raises what `taken` raises, and
        DataDirUnwritable; then no folder is left.
        """
        wanted = [names.book_names(book.metadata, self._naming) for book in books]
        found = self._chooser.choose([name.folder for name in wanted], taken)
        ids = iter(sources)
        chosen: list[Drawn | Refused] = []
        for book, ebook_id, name, (folder, why) in zip(
            books, ebooks, wanted, found, strict=True
        ):
            own = tuple(next(ids) for _ in book.files)
            if why:
                chosen.append(Refused(book.id, why))
                continue
            extensions = [names.plain_extension(file.extension) for file in book.files]
            locations = names.locations(folder, name.stem, extensions)
            chosen.append(Drawn(book, ebook_id, own, folder, locations))
        return chosen

    def place(
        self, drawn: Sequence[Drawn], moved: Callable[[int], None]
    ) -> Sequence[Placed | Refused]:
        """Copies files, covers and thumbnails to their places, in the books' order.

        What is refused leaves nothing behind. `moved` is told how many bytes of files
        were copied, from any thread. Raises DataDirUnwritable when the directory takes
        nothing now, and OutOfResources; then nothing of the batch is left, as far as it
        can still be removed.
        """
        jobs = [self._pool.submit(self._placer.place, one, moved) for one in drawn]
        try:
            done = [job.result() for job in jobs]
        except BaseException:
            _await_all(jobs)
            for one in drawn:
                with suppress(OSError):
                    self._placer.clear(one.base_dir, one.locations, one.ebook_id)
            raise
        self._unsynced |= {
            one.drawn.base_dir: one.drawn.ebook_id
            for one in done
            if isinstance(one, Placed)
        }
        return done

    def sync(self) -> None:
        """Returns when all that was placed is on the disk."""
        with translated():
            if not sync_file_systems(self._roots()):
                self._sync_each()
        self._unsynced.clear()

    def cover_sha1(self, location: str) -> str:
        """Returns the SHA-1 of a cover below the books directory, "" if it is gone."""
        if not names.is_inside(location):
            return ""
        with translated():
            found = folders.open_file(self._books.descriptor, location)
            if found is None:
                return ""
            with os.fdopen(found, "rb") as file:
                return hashlib.file_digest(file, "sha1").hexdigest()

    def remove(self, left: Sequence[LeftBehind]) -> None:
        """Removes what may have been placed for these books, which have no rows.

        Only the files and folders named there, covers in these, and thumbnails of these
        ids; what is missing was never placed.
        """
        with translated():
            for one in left:
                locations = tuple(location for _, _, location in one.files)
                self._placer.clear(one.base_dir, locations, one.ebook_id)
                self._unsynced.pop(one.base_dir, None)

    def close(self) -> None:
        """Ends its threads."""
        self._held.close()

    def _roots(self) -> tuple[int, int]:
        return self._books.descriptor, self._placer.thumbnails.descriptor

    def _sync_each(self) -> None:
        """Syncs folder by folder, where the system cannot sync all at once."""
        books, thumbnails = self._roots()
        above: set[str] = set()
        for folder, ebook_id in self._unsynced.items():
            parts = folder.split("/")
            above.update("/".join(parts[:depth]) for depth in range(len(parts)))
            with folders.opened(books, folder) as holding:
                sync_folder(holding)
            sync_file(thumbnails, names.thumbnail_name(ebook_id))
        for folder in sorted(above, key=len, reverse=True):
            with folders.opened(books, folder) as holding:
                os.fsync(holding)
        os.fsync(thumbnails)


def _await_all(jobs: Sequence[Future[Placed | Refused]]) -> None:
    """Returns when none of them runs, or will."""
    for job in jobs:
        job.cancel()
    for job in jobs:
        if not job.cancelled():
            job.exception()
