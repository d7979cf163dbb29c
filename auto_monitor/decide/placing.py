"""Which worker script is to run after the program was started, perhaps a new version.

One rule for a checkout, a service and a container, by hashes and never by times: a new
version's script takes the place of a code fix of an older one. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from auto_monitor.model import HistoryEntry


class Placing(Enum):
    """What is done about the script in place."""

    KEEP = "it stays"
    PLACE = "this version's script is put there"
    REPLACE = "this version's script is put there, and what it replaces is kept"


@dataclass(frozen=True, slots=True)
class Found:
    """The script in place, by SHA-256; "" for what is not there or not known.

    `ships` is this version's own. A `managed` script is a copy that the program has put
    there itself, `of` the release that it was copied from; of any other script, `of` is
    the release of which it is a code fix, None when it is none.
    """

    digest: str
    ships: str
    managed: bool
    of: str | None


def placing(found: Found) -> Placing:
    """Returns what is done.

    What a person has put somewhere is that person's. Of a code fix it is not enough to
    know that it is none of this version's: its base may not fit the rest of the program.
    """
    if found.digest == found.ships:
        return Placing.KEEP
    if not found.managed:
        stays = found.of is None or found.of == found.ships
        return Placing.KEEP if stays else Placing.REPLACE
    if not found.digest:
        return Placing.PLACE
    if found.of == found.ships:
        return Placing.KEEP
    return Placing.PLACE if found.digest == found.of else Placing.REPLACE


def base_of(digest: str, entries: Iterable[HistoryEntry]) -> str:
    """Returns the script from which a code fix, and those before it, were made."""
    before: Mapping[str, str] = {
        entry.script_after: entry.script_before
        for entry in entries
        if entry.promoted and entry.script_after and entry.script_before
    }
    seen: set[str] = set()
    while digest in before and digest not in seen:
        seen.add(digest)
        digest = before[digest]
    return digest


def superseded(
    entries: Iterable[HistoryEntry], in_place: str, ships: str
) -> list[HistoryEntry]:
    """Returns the code fixes that a new version has taken the place of, oldest first.

    Those are in the history as being in place. One made of this very version is not
    among them: a person has put the released script back.
    """
    known = list(entries)
    if in_place != ships:
        return []
    return [
        entry
        for entry in known
        if entry.promoted
        and not entry.rolled_back
        and entry.script_after not in (None, in_place)
        and base_of(entry.script_after or "", known) != ships
    ]
