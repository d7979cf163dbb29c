"""`auto_fix_history.json` and `monitor_state.json`: their formats in both directions,
replaced atomically.

The history is a JSON array at every instant. The newest entries stay in it, older ones
move to a dated file beside it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import cattrs
from cattrs.preconf.json import make_converter

from auto_monitor.model import HistoryEntry, MonitorState, Trigger
from auto_monitor.record import older
from common.files.json_files import StateUnwritable, read_json, write_json
from common.json_value import Json
from migration.model import BookId, FileId

#: Entries that stay in the file.
NEWEST = 1000

T = TypeVar("T", HistoryEntry, MonitorState)
_converter = make_converter()
_converter.register_unstructure_hook(FileId, lambda file: [file.book_id, file.format])
_converter.register_structure_hook(
    FileId, lambda value, _type: FileId(BookId(int(value[0])), str(value[1]))
)


def history_path(state_dir: Path) -> Path:
    """Where the history is."""
    return state_dir / "auto_fix_history.json"


def state_path(state_dir: Path) -> Path:
    """Where the monitor's state is."""
    return state_dir / "monitor_state.json"


class History:
    """The attempts of all time, one entry each. Only the monitor writes; `entries` is
    for everybody."""

    def __init__(
        self,
        path: Path,
        *,
        newest: int = NEWEST,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """`tell` hears of a file that is no history: it is set aside by `begin` or the
        first `record`."""
        self.path = path
        self._newest = newest
        self._tell = tell

    def entries(self) -> list[HistoryEntry]:
        """All entries, oldest first; entries that are not ours are left out."""
        value = read_json(self.path)
        return (
            [entry for item in value if (entry := _read(item, HistoryEntry))]
            if isinstance(value, list)
            else []
        )

    def begin(self, now: datetime) -> None:
        """An empty history where there is none, so that whoever reads it always can.
        Raises StateUnwritable."""
        self._items(now)
        if not self.path.exists():
            write_json(self.path, [])

    def record(self, entry: HistoryEntry, now: datetime) -> None:
        """Adds the entry, or replaces the one with the same key. Raises
        StateUnwritable."""
        items = self._items(now)
        written = to_json(entry)
        for place in range(len(items) - 1, -1, -1):
            known = _read(items[place], HistoryEntry)
            if known is not None and known.key == entry.key:
                items[place] = written
                break
        else:
            items.append(written)
        if len(items) > self._newest:
            # The archive first: a death in between leaves entries in both files, never
            # in none.
            self._archive(items[: -self._newest], now)
        write_json(self.path, items[-self._newest :])

    def mark_rolled_back(self, backup: str, now: datetime) -> None:
        """The newest fix that was made from this backup was taken back by hand. Raises
        StateUnwritable."""
        entry = next(
            (entry for entry in reversed(self.entries()) if entry.backup == backup),
            None,
        )
        if entry is not None:
            self.record(
                replace(
                    entry,
                    rolled_back=True,
                    reason=f"{entry.reason}; taken back by hand",
                ),
                now,
            )

    def _items(self, now: datetime) -> list[Json]:
        """What is in the file; what is no history is set aside. One that may not be
        read is left as it is."""
        try:
            value = _parsed(self.path.read_bytes())
        except FileNotFoundError:
            return []
        except IsADirectoryError:
            value = None
        except OSError as error:
            raise StateUnwritable(
                f"{self.path} cannot be read: {error.strerror}; make it readable, "
                "until then no attempt is recorded"
            ) from error
        if isinstance(value, list):
            return value
        aside = set_aside(self.path, now)
        self._tell(
            f"{self.path} is no history of attempts any more; it is now "
            f"{aside.name}, and a new one is begun"
        )
        return []

    def _archive(self, items: Sequence[Json], now: datetime) -> None:
        path = self.path.with_name(f"auto_fix_history.{now:%Y-%m-%d}.json")
        value = read_json(path)
        kept = value if isinstance(value, list) else []
        write_json(
            path, kept + [item for item in items if item not in kept[-len(items) :]]
        )


def to_json(entry: HistoryEntry) -> dict[str, Json]:
    """An entry as the file has it."""
    value: dict[str, Json] = _converter.unstructure(entry)
    return value


def open_attempts(path: Path) -> dict[int, HistoryEntry]:
    """The attempt without a verdict of each worker, for those who only look; the others
    are not even read."""
    value = read_json(path)
    items = (
        [item for item in value if isinstance(item, dict) and item.get("case")]
        if isinstance(value, list)
        else []
    )
    return {
        entry.worker_id: entry for item in items if (entry := _read(item, HistoryEntry))
    }


class StateFile:
    """What survives a restart of the monitor."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> MonitorState | None:
        """The state; None when there is none or it cannot be read."""
        return _read(read_json(self.path), MonitorState)

    def load(self, now: datetime) -> tuple[MonitorState | None, str]:
        """The state for a monitor that starts, and a warning or "".

        A file that cannot be read is set aside; a state from the future (the clock was
        set back while nobody ran) is as of now, so that its cooldowns begin anew and
        nothing happens too soon."""
        if not self.path.exists():
            return None, ""
        state = self.read()
        if state is not None:
            return not_after(state, now), ""
        try:
            aside = set_aside(self.path, now)
        except StateUnwritable as error:
            return None, f"{error}; attempts and cooldowns begin anew"
        return (
            None,
            f"{self.path} cannot be read; it is now {aside.name}, and attempts and "
            "cooldowns begin anew",
        )

    def left_open(self) -> list[HistoryEntry]:
        """The attempts without a verdict that a version before this one kept here."""
        return older.left_open(read_json(self.path), _converter)

    def write(self, state: MonitorState) -> None:
        """Replaces the file; a directory in its place is set aside. Raises
        StateUnwritable, OutOfResources."""
        if self.path.is_dir():
            set_aside(self.path, state.heartbeat_at)
        write_json(self.path, _converter.unstructure(state))


def set_aside(path: Path, now: datetime) -> Path:
    """Renames what is no file of ours, so that nothing is lost; where it is now. Raises
    StateUnwritable."""
    aside = path.with_name(f"{path.stem}.damaged-{now:%Y%m%dT%H%M%S}{path.suffix}")
    try:
        return path.rename(aside)
    except OSError as error:
        raise StateUnwritable(
            f"cannot set {path} aside: {error.strerror}; make its directory writable"
        ) from error


def _parsed(data: bytes) -> Json:
    try:
        value: Json = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


def not_after(state: MonitorState, now: datetime) -> MonitorState:
    """The state with every time that lies in the future moved to now."""

    def clamp(moment: datetime | None) -> datetime | None:
        return None if moment is None else min(moment, now)

    workers = {
        number: replace(
            record,
            last_attempt_at=clamp(record.last_attempt_at),
            suspect_since=clamp(record.suspect_since),
        )
        for number, record in state.workers.items()
    }
    return replace(
        state,
        heartbeat_at=min(state.heartbeat_at, now),
        last_scale_down_at=clamp(state.last_scale_down_at),
        last_scale_up_at=clamp(state.last_scale_up_at),
        correlated=state.correlated
        and replace(state.correlated, since=min(state.correlated.since, now)),
        workers=workers,
    )


def _with_todays_names(value: dict[str, Json]) -> dict[str, Json]:
    """An entry or a state as it is, with the names of an earlier version replaced."""
    case = value.get("case")
    if isinstance(case, dict) and "hung_on" in case:
        value = {**value, "case": {**case, "in_flight": case["hung_on"]}}
    if value.get("trigger") == "fruitless":
        value = {**value, "trigger": Trigger.ALL_FAILING.value}
    return value


def _read(value: Json, kind: type[T]) -> T | None:
    if not isinstance(value, dict):
        return None
    try:
        return _converter.structure(_with_todays_names(value), kind)
    except (cattrs.BaseValidationError, ValueError, TypeError, KeyError):
        return None
