"""What is done, at a start, about a worker script of another version of the program.

The same for a checkout, a service and a container; `decide.placing` has the rule. A
code fix that gives way is kept as a proposal, which `monitor.py --apply` tries on the
script of this version.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from auto_monitor import fix_applier
from auto_monitor.decide.changed import given_way
from auto_monitor.decide.placing import Found, Placing, base_of, placing, superseded
from auto_monitor.fix_applier import BEFORE_UPDATE, digest, folder_of
from auto_monitor.model import HistoryEntry
from auto_monitor.record.history import HistoryFile, history_path
from common.files.json_files import write_bytes, write_json
from common.hints import hint
from common.json_value import Json
from common.sanitize import for_log
from migration import release

#: Beside a copy that the program has made: the script it was copied from.
_ORIGIN = "shipped.sha256"


class ReleaseMissing(Exception):
    """The script in place is not of this version, whose own is not to be found."""


@dataclass(frozen=True, slots=True)
class Place:
    """The script that workers run, this version's own, and the state directory."""

    script: Path
    shipped: Path
    state_dir: Path

    def apply(self, proposal: str) -> str:
        """Returns the command that puts a proposal in place."""
        return hint("apply", proposal, state_dir=self.state_dir)

    @property
    def managed(self) -> bool:
        """Whether the script is a copy that the program itself keeps."""
        return self.script == fix_applier.managed_script(self.state_dir).resolve()


def settle(place: Place, now: datetime) -> str:
    """Has the script that is to run in its place; returns what a person is told, or "".

    Raises ReleaseMissing, StateUnwritable, OutOfResources or OSError.
    """
    history = HistoryFile(history_path(place.state_dir))
    entries = history.entries()
    found, own = _look(place, entries)
    what = placing(found)
    kept = ""
    if what is not Placing.KEEP and own is None:
        raise ReleaseMissing(
            f"{place.script} is a code fix of another version, and this version's own "
            f"{place.shipped.name} is not here: unpack the release again, or, in a git "
            f"checkout: git checkout -- {place.shipped.name}"
        )
    if what is Placing.REPLACE:
        kept = _keep(place, place.script.read_bytes(), found.of or "", entries)
    if what is not Placing.KEEP and own is not None:
        _put(place, own)
    if place.managed and own is not None:
        write_bytes(_origin(place), f"{digest(own)}\n".encode("ascii"))
    over = superseded(entries, fix_applier.in_place(place.script), found.ships)
    if over and not kept:
        kept = _keep_again(place, over[-1], entries)
    for entry in over:
        history.record(_given_way(entry, kept), now)
    return given_way([kept], place.apply(kept)) if kept else ""


def _look(place: Place, entries: Sequence[HistoryEntry]) -> tuple[Found, bytes | None]:
    """What is in place, and this version's own script, if it is here."""
    own = _own(place)
    in_place = fix_applier.in_place(place.script)
    if not place.managed:
        of = release.made_for(place.script)
        if of == release.UNKNOWN:
            of = base_of(in_place, entries)
        of = None if of == release.OWN else of
        return Found(in_place, release.SHIPPED, managed=False, of=of), own
    ships = "" if own is None else digest(own)
    return Found(in_place, ships, managed=True, of=_text(_origin(place))), own


def _own(place: Place) -> bytes | None:
    """This version's script: never one that a code fix has changed."""
    if not release.is_code_fix(place.shipped):
        return place.shipped.read_bytes()
    for path in fix_applier.backups(place.state_dir, place.shipped):
        if release.is_shipped(path):
            return path.read_bytes()
    return None


def _put(place: Place, data: bytes) -> None:
    if place.managed:
        write_bytes(place.script, data)
    else:
        fix_applier.replace(place.script, data)


def _origin(place: Place) -> Path:
    return place.script.with_name(_ORIGIN)


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


# -- what gives way --------------------------------------------------------------------


def _keep(place: Place, data: bytes, of: str, entries: Sequence[HistoryEntry]) -> str:
    """Keeps a script as a proposal: what it differs in from its base; returns the name.

    The whole text is kept beside that, for people.
    """
    found = digest(data)
    fixes = [entry for entry in entries if entry.script_after == found]
    base = next(_with_digest(place, of or base_of(found, entries)), None)
    change = "" if base is None else fix_applier.diff(base, data.decode("utf-8"))
    return _propose(place, found, fixes[-1] if fixes else None, change, data)


def _keep_again(
    place: Place, entry: HistoryEntry, entries: Sequence[HistoryEntry]
) -> str:
    """Keeps a code fix whose script was overwritten: from its candidate, or its diff."""
    folder = folder_of(place.state_dir, "candidates")
    for path in folder.glob("*.py"):
        if fix_applier.in_place(path) == entry.script_after:
            return _keep(place, path.read_bytes(), "", entries)
    change = entry.code_changes.full if entry.code_changes else ""
    return _propose(place, entry.script_after or "", entry, change, b"")


def _with_digest(place: Place, wanted: str) -> Iterator[bytes]:
    for path in (place.shipped, *fix_applier.backups(place.state_dir, place.script)):
        data = path.read_bytes()
        if digest(data) == wanted:
            yield data


def _propose(
    place: Place, found: str, entry: HistoryEntry | None, change: str, data: bytes
) -> str:
    name = f"{place.script.name}.{found[:12]}{BEFORE_UPDATE}"
    cause = "" if entry is None else for_log(entry.root_cause)
    value: dict[str, Json] = {
        "worker_id": 0 if entry is None else entry.worker_id,
        "root_cause": cause or "a code fix of an earlier version",
        "code": f"```diff\n{change}\n```" if change else "",
        "script": data.decode("utf-8", "replace"),
    }
    write_json(folder_of(place.state_dir, "proposals") / name, value)
    return name


def _given_way(entry: HistoryEntry, kept: str) -> HistoryEntry:
    where = f"; kept in auto_monitor/proposals/{kept}" if kept else ""
    reason = f"{entry.reason}; a new version's script took its place{where}"
    return replace(entry, rolled_back=True, reason=reason, case=None)
