"""The attempts without a verdict: a fold over the history, changed only together with
it."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime

from auto_monitor.model import Case, HistoryEntry
from auto_monitor.ports import History
from auto_monitor.record.action_log import ActionLog
from common.clock import utc_now
from common.files.json_files import UNWRITABLE


def fold(entries: Iterable[HistoryEntry], now: datetime) -> dict[int, HistoryEntry]:
    """The open attempt of each worker. No time lies in the future: the clock may have
    been set back since."""
    found: dict[int, HistoryEntry] = {}
    for entry in entries:
        if entry.case is not None and entry.verified is None and not entry.reason:
            case = replace(entry.case, acted_at=min(entry.case.acted_at, now))
            found[entry.worker_id] = replace(entry, case=case)
    return found


class Cases:
    """The open attempts, one of each worker at most; one of all may be the trial of a
    code fix."""

    def __init__(
        self,
        history: History,
        action_log: ActionLog,
        wall: Callable[[], datetime] = utc_now,
    ) -> None:
        self._history = history
        self._action_log = action_log
        self._wall = wall
        self._open: dict[int, HistoryEntry] = {}

    def load(self, now: datetime, left: Iterable[HistoryEntry] = ()) -> None:
        """What the history says is open; `left` are attempts that an older version kept
        elsewhere."""
        recorded = {entry.key: entry for entry in self._history.entries()}
        for entry in left:
            known = recorded.get(entry.key, entry)
            if known.case is None:
                recorded[entry.key] = replace(known, case=entry.case)
            else:
                recorded[entry.key] = known
        self._open = fold(recorded.values(), now)

    def begin(self) -> None:
        """A history where there is none, so that whoever reads it always can; what was
        left elsewhere is in it."""
        try:
            self._history.begin(self._wall())
        except UNWRITABLE as error:
            self._action_log.once("history", str(error))
        for entry in list(self._open.values()):
            self.record(entry)

    def of(self, worker_id: int) -> HistoryEntry | None:
        """The open attempt on this worker."""
        return self._open.get(worker_id)

    def open_entries(self) -> list[HistoryEntry]:
        """All of them, by worker."""
        return [self._open[number] for number in sorted(self._open)]

    def by_worker(self) -> dict[int, Case]:
        """The cases alone."""
        return {
            number: entry.case
            for number, entry in self._open.items()
            if entry.case is not None
        }

    def trial(self) -> HistoryEntry | None:
        """The attempt whose candidate is being tried."""
        return next(
            (
                entry
                for entry in self._open.values()
                if entry.case and entry.case.candidate
            ),
            None,
        )

    def entries(self) -> list[HistoryEntry]:
        """The attempts of all time, oldest first."""
        return self._history.entries()

    def record(self, entry: HistoryEntry) -> bool:
        """Writes an attempt down, open or closed. False when that was impossible, which
        is said.

        The monitor goes on with what it knows then: no worker is left as it is for want
        of a file."""
        known = self._open.get(entry.worker_id)
        if entry.case is not None:
            self._open[entry.worker_id] = entry
        elif known is not None and known.key == entry.key:
            del self._open[entry.worker_id]
        try:
            self._history.record(entry, self._wall())
        except UNWRITABLE as error:
            self._action_log.once("history", str(error))
            return False
        self._action_log.forget("history")
        return True
