"""`monitor_state.json`: clocks, processes, desired number, users' decisions.

Reads it and writes it atomically.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from auto_monitor.model import HistoryEntry, MonitorState
from auto_monitor.record import older
from auto_monitor.record.json_files import converter, set_aside
from common.codec import read_as
from common.files.json_files import StateUnwritable, read_json, write_json


def state_path(state_dir: Path) -> Path:
    """Returns the path of the monitor's state."""
    return state_dir / "monitor_state.json"


class MonitorStateFile:
    """What survives a restart of the monitor."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> MonitorState | None:
        """Returns the state; None when there is none or it cannot be read."""
        return read_as(MonitorState, older.as_now(read_json(self.path)), converter)

    def load(self, now: datetime) -> tuple[MonitorState | None, str]:
        """Returns the state for a monitor that starts, and a warning or "".

        An unreadable file is set aside. Times in the future (the clock was set back
        while no monitor ran) become the present, so that cooldowns start over and
        nothing happens too soon.
        """
        if not self.path.exists():
            return None, ""
        state = self.read()
        if state is not None:
            return not_after(state, now), ""
        try:
            aside = set_aside(self.path, now)
        except StateUnwritable as error:
            return None, f"{error}; which workers a person paused is forgotten"
        return None, (
            f"{self.path} cannot be read; it is now {aside.name}; attempts are in the "
            "history, but which workers a person paused is forgotten"
        )

    def taken_over(self, known: Sequence[HistoryEntry]) -> list[HistoryEntry]:
        """Returns entries for what an earlier version kept here, not in the history."""
        return older.taken_over(read_json(self.path), known, converter)

    def write(self, state: MonitorState) -> None:
        """Replaces the file; a directory in its place is set aside.

        Raises StateUnwritable or OutOfResources.
        """
        if self.path.is_dir():
            set_aside(self.path, state.heartbeat_at)
        write_json(self.path, converter.unstructure(state))


def not_after(state: MonitorState, now: datetime) -> MonitorState:
    """Returns the state with every time in the future moved to now."""

    def clamp(moment: datetime | None) -> datetime | None:
        return None if moment is None else min(moment, now)

    workers = {
        number: replace(record, suspect_since=clamp(record.suspect_since))
        for number, record in state.workers.items()
    }
    return replace(
        state,
        heartbeat_at=min(state.heartbeat_at, now),
        last_scale_down_at=clamp(state.last_scale_down_at),
        last_scale_up_at=clamp(state.last_scale_up_at),
        correlated_since=clamp(state.correlated_since),
        workers=workers,
    )
