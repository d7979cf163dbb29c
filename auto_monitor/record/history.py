"""`auto_fix_history.json`: all attempts, the one durable record.

Reads and writes its format, and derives standings from it. The file is a JSON array at
every instant. The newest entries stay in it, older ones move to a dated file beside it.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from auto_monitor.decide import healing
from auto_monitor.model import (
    Afterwards,
    CorrelatedFailure,
    HistoryEntry,
    WorkerStanding,
)
from auto_monitor.ports import History
from auto_monitor.record import older
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.json_files import converter, set_aside
from common.clock import utc_now
from common.codec import read_as
from common.files.json_files import UNWRITABLE, StateUnwritable, read_json, write_json
from common.json_value import Json

#: Entries that stay in the file.
NEWEST = 1000
#: Maps the known entries to those that are to be added or replaced.
TakenOver = Callable[[Sequence[HistoryEntry]], Iterable[HistoryEntry]]


def history_path(state_dir: Path) -> Path:
    """Returns the path of the history."""
    return state_dir / "auto_fix_history.json"


class HistoryFile:
    """All attempts ever made, one entry each.

    Only the monitor writes; any program may read `entries`.
    """

    def __init__(
        self,
        path: Path,
        *,
        newest: int = NEWEST,
        tell: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """`tell` gets a message when the file is not a history.

        Such a file is set aside by `begin` or the first `record`.
        """
        self.path = path
        self._newest = newest
        self._tell = tell

    def entries(self) -> list[HistoryEntry]:
        """Returns all entries, oldest first; entries that are not ours are left out."""
        value = read_json(self.path)
        return (
            [entry for item in value if (entry := entry_of(item))]
            if isinstance(value, list)
            else []
        )

    def begin(self, now: datetime) -> None:
        """Creates an empty history if there is none. Raises StateUnwritable."""
        self._items(now)
        if not self.path.exists():
            write_json(self.path, [])

    def record(self, entry: HistoryEntry, now: datetime) -> None:
        """Adds the entry, or replaces the one with the same key.

        Raises StateUnwritable.
        """
        items = self._items(now)
        written = to_json(entry)
        for place in range(len(items) - 1, -1, -1):
            known = entry_of(items[place])
            if known is not None and known.key == entry.key:
                items[place] = written
                break
        else:
            items.append(written)
        if len(items) > self._newest:
            # The archive first: if the process dies in between, entries are in both
            # files, never in neither.
            self._archive(items[: -self._newest], now)
        write_json(self.path, items[-self._newest :])

    def mark_rolled_back(self, backup: str, now: datetime) -> None:
        """Records that the newest fix made from this backup was rolled back by hand.

        Raises StateUnwritable.
        """
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
                    case=None,
                ),
                now,
            )

    def _items(self, now: datetime) -> list[Json]:
        """Returns the items in the file; a file that is not a history is set aside.

        A file that may not be read is left as it is.
        """
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


def _parsed(data: bytes) -> Json:
    try:
        value: Json = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value


def entry_of(value: Json) -> HistoryEntry | None:
    """Returns an entry of the file, or None for anything else."""
    return read_as(HistoryEntry, older.named_as_now(value), converter)


def to_json(entry: HistoryEntry) -> dict[str, Json]:
    """Converts an entry to JSON."""
    value: dict[str, Json] = converter.unstructure(entry)
    return value


def standings_in(path: Path) -> dict[int, WorkerStanding]:
    """Returns the standings without settings, for readers only.

    Only the newest entries are read.
    """
    value = read_json(path)
    items = (
        [item for item in value if isinstance(item, dict)]
        if isinstance(value, list)
        else []
    )
    newest = {
        number: item
        for item in items
        if isinstance(number := item.get("worker_id"), int)
    }
    read = (entry_of(item) for item in newest.values())
    return healing.standings((entry for entry in read if entry is not None), {})


class Cases:
    """The standings of all workers: a fold over the history, changed only with it.

    An attempt that cannot be written is remembered, and written with the next one that
    can.
    """

    def __init__(
        self,
        history: History,
        action_log: ActionLog,
        wall: Callable[[], datetime] = utc_now,
    ) -> None:
        self._history = history
        self._action_log = action_log
        self._wall = wall
        self._known: dict[str, HistoryEntry] = {}
        self._unwritten: dict[str, HistoryEntry] = {}
        self._began: dict[str, datetime] = {}
        self._standings: dict[int, WorkerStanding] = {}

    # -- a new monitor -----------------------------------------------------------------

    def load(self, now: datetime, taken_over: TakenOver = lambda _known: ()) -> None:
        """Loads the history, with what an earlier version kept elsewhere.

        Times in the future are moved to now, since the clock may have been set back.
        """
        self._unwritten = {entry.key: entry for entry in taken_over(self.entries())}
        for entry in self.entries():
            if entry.case is not None:
                case = replace(entry.case, acted_at=min(entry.case.acted_at, now))
                self._known[entry.key] = replace(entry, case=case)
            if (stamped := _moment(entry.timestamp)) is not None:
                self._began[entry.key] = min(stamped, now)
        self._fold()

    def begin(self) -> None:
        """Creates the history if missing, with what was kept elsewhere."""
        try:
            self._history.begin(self._wall())
        except UNWRITABLE as error:
            self._action_log.once("history", str(error))
        for entry in list(self._unwritten.values()):
            self.record(entry)

    def release(self, before: datetime | None = None) -> None:
        """Releases all attempts because another pass has begun.

        With `before`, only those made before that time.
        """
        for number in list(self._standings):
            newest = self._newest(number)
            began = self._began.get(newest.key)
            if before is None or began is None or began < before:
                self.note(number, Afterwards.RELEASED)

    # -- queries -----------------------------------------------------------------------

    def standing(self, worker_id: int) -> WorkerStanding:
        """Returns the standing of worker N."""
        return self._standings.get(worker_id, WorkerStanding())

    def standings(self) -> dict[int, WorkerStanding]:
        """Returns the standing of every worker that was ever treated."""
        return dict(self._standings)

    def correlated(self, since: datetime | None) -> CorrelatedFailure | None:
        """Returns the case of all workers that hang together since then."""
        return healing.correlated(self._known.values(), self._began, since)

    def of(self, worker_id: int) -> HistoryEntry | None:
        """Returns the open attempt on this worker."""
        return self.standing(worker_id).entry

    def open_entries(self) -> list[HistoryEntry]:
        """Returns all open attempts, by worker."""
        return [
            entry
            for number in sorted(self._standings)
            if (entry := self.of(number)) is not None
        ]

    def trial(self) -> HistoryEntry | None:
        """Returns the attempt whose candidate is being tried."""
        return next(
            (
                entry
                for entry in self.open_entries()
                if entry.case and entry.case.candidate
            ),
            None,
        )

    def entries(self) -> list[HistoryEntry]:
        """Returns all attempts, oldest first.

        A user may have marked one as rolled back meanwhile.
        """
        for entry in self._history.entries():
            known = self._known.get(entry.key)
            if known is None or known.rolled_back != entry.rolled_back:
                self._known[entry.key] = entry
        self._known |= self._unwritten
        return list(self._known.values())

    # -- changes -----------------------------------------------------------------------

    def record(self, entry: HistoryEntry) -> bool:
        """Records an attempt, open or closed.

        Returns False, and logs it, when that failed. The monitor then goes on with what
        it knows: no worker is neglected because a file cannot be written.
        """
        self._known[entry.key] = self._unwritten[entry.key] = entry
        if entry.case is not None:
            self._began.setdefault(entry.key, entry.case.acted_at)
        self._fold()
        if self._action_log.dry_run:
            return False
        try:
            for waiting in list(self._unwritten.values()):
                self._history.record(waiting, self._wall())
                del self._unwritten[waiting.key]
        except UNWRITABLE as error:
            self._action_log.once("history", str(error))
            return False
        self._action_log.forget("history")
        return True

    def note(self, worker_id: int, afterwards: Afterwards) -> None:
        """Records what happened to worker N after its newest attempt, if it had one."""
        if worker_id not in self._standings:
            return
        self.entries()
        newest = self._newest(worker_id)
        if newest.afterwards is not afterwards:
            self.record(replace(newest, afterwards=afterwards))

    def _newest(self, worker_id: int) -> HistoryEntry:
        return next(
            entry
            for entry in reversed(self._known.values())
            if entry.worker_id == worker_id
        )

    def _fold(self) -> None:
        for key in list(self._known)[:-NEWEST]:
            del self._known[key]
            self._began.pop(key, None)
        self._standings = healing.standings(self._known.values(), self._began)


def _moment(stamp: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
