"""What the monitor remembers while it runs: one frozen state, replaced as a whole.

It is written to a file.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from auto_monitor.model import MonitorState, WorkerRecord
from auto_monitor.ports import Clock, StateFile
from common.clock import utc_now
from common.files.json_files import UNWRITABLE


class Memory:
    """The present state; every change makes a new one."""

    def __init__(
        self,
        state: MonitorState,
        file: StateFile,
        *,
        writes: bool,
        tell: Callable[[str], None] = lambda _text: None,
        wall: Clock = utc_now,
    ) -> None:
        """`writes` is False in a dry run.

        `tell` gets a message, once, when the file cannot be written, and when it can
        again.
        """
        self.state = state
        self._file = file
        self._writes = writes
        self._tell = tell
        self._wall = wall
        self._trouble = ""

    def records(self) -> list[WorkerRecord]:
        """Returns the records of all workers, by id."""
        return [self.state.workers[number] for number in sorted(self.state.workers)]

    def wanted(self) -> list[WorkerRecord]:
        """Returns the workers that count towards the desired number."""
        return [record for record in self.records() if record.wanted]

    def record(self, number: int) -> WorkerRecord:
        """Returns the record of worker N, blank if there is none."""
        return self.state.workers.get(number) or WorkerRecord(number)

    def remember(self, record: WorkerRecord) -> None:
        """Replaces the record of one worker."""
        self.state = replace(
            self.state, workers={**self.state.workers, record.worker_id: record}
        )

    def change(self, **fields: object) -> None:
        """Replaces fields of the state by name."""
        # `replace` checks the names.
        self.state = replace(self.state, **fields)  # type: ignore[arg-type]

    def earlier(
        self, now: datetime, warn: Callable[[str, str], None]
    ) -> MonitorState | None:
        """Returns what an earlier monitor remembered, None for nothing.

        What it has told people is taken over at once, in whatever pass that was.
        """
        file = self._file
        left, warning = file.load(now) if self._writes else (file.read(), "")
        if warning:
            warn("%s", warning)
        if left is not None:
            self.change(told_given_way=left.told_given_way)
        return left

    def save(self, *, ended: str = "") -> bool:
        """Writes the state, which is also the heartbeat.

        Returns False when that failed. The heartbeat's time is the wall clock's. On
        failure the monitor goes on with what it remembers: workers are not abandoned or
        paused because a file cannot be written.
        """
        self.change(heartbeat_at=self._wall(), ended=ended)
        if not self._writes:
            return True
        try:
            self._file.write(self.state)
        except UNWRITABLE as error:
            if str(error) != self._trouble:
                self._tell(
                    f"{error}. The monitor goes on with what it remembers; nothing "
                    "of it survives its end"
                )
            self._trouble = str(error)
            return False
        if self._trouble:
            self._tell(f"{self._file.path} is written again")
        self._trouble = ""
        return True
