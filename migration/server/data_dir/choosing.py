"""Choosing a folder for each book of a batch, which then is that book's alone."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from migration.server.data_dir import folders
from migration.server.data_dir.names import first_free, numbered
from migration.server.data_dir.owner import Owning
from migration.server.data_dir.trouble import about_book

#: Says which of these folders, below the books directory, an ebook has already.
Taken = Callable[[Collection[str]], frozenset[str]]

#: How often another folder is tried for the same book.
_TRIES = 100


class Chooser:
    """Makes folders below an open directory."""

    def __init__(self, books: int, how: Owning) -> None:
        self._books = books
        self._how = how

    def choose(self, wanted: Sequence[str], taken: Taken) -> list[tuple[str, str]]:
        """Makes a folder for each of these names: it, or it with a number.

        Returns for each the folder and "", or "" and a clause that says why there is
        none. Raises what `taken` raises, and DataDirUnwritable; then none is left.
        """
        made: dict[int, str] = {}
        refused: dict[int, str] = {}
        tried: set[str] = set()
        try:
            for _ in range(_TRIES):
                waiting = {
                    place: name
                    for place, name in enumerate(wanted)
                    if place not in made and place not in refused
                }
                if not waiting:
                    break
                proposed = self._propose(waiting, tried, refused)
                self._make(proposed, taken(list(proposed.values())), made, refused)
        except BaseException:
            for folder in made.values():
                with suppress(OSError):
                    folders.remove_if_empty(self._books, folder)
            raise
        none = "no name of a folder is free for it on the server"
        return [
            (made.get(place, ""), "" if place in made else refused.get(place, none))
            for place in range(len(wanted))
        ]

    def _propose(
        self, waiting: Mapping[int, str], tried: set[str], refused: dict[int, str]
    ) -> dict[int, str]:
        """Returns a folder for each that is not there, and not tried before."""
        proposed: dict[int, str] = {}
        for place, name in waiting.items():
            try:
                folder = self._free(name, tried)
            except OSError as error:
                refused[place] = about_book(error)
                continue
            tried.add(folder)
            proposed[place] = folder
        return proposed

    def _free(self, name: str, tried: Collection[str]) -> str:
        def is_free(number: int) -> bool:
            candidate = numbered(name, number)
            return candidate not in tried and not folders.exists(self._books, candidate)

        return numbered(name, first_free(is_free))

    def _make(
        self,
        proposed: Mapping[int, str],
        occupied: Collection[str],
        made: dict[int, str],
        refused: dict[int, str],
    ) -> None:
        for place, folder in proposed.items():
            try:
                if folder not in occupied and folders.make_own(
                    self._books, folder, self._how
                ):
                    made[place] = folder
            except OSError as error:
                refused[place] = about_book(error)
