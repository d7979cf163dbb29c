"""What the monitor needs from the world. `assembly` plugs in the real things,
`tests/harness` fakes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from auto_monitor.decide.diagnosis import Answer, Facts
from auto_monitor.model import (
    Assessment,
    Candidate,
    HistoryEntry,
    Identity,
    MonitorState,
    Opinion,
    WorkerRecord,
    WorkerSnapshot,
)
from common.files.json_files import UNWRITABLE
from migration.ledger.totals import UNREADABLE, Totals
from migration.model import BookId, FileId

Clock = Callable[[], datetime]

__all__ = [
    "UNREADABLE",  # what every question to the ledger raises
    "UNWRITABLE",  # what everything that writes a file raises
    "Alerts",
    "Clock",
    "Commands",
    "Diagnoser",
    "DiskMeter",
    "DiskProbe",
    "EvidenceStore",
    "History",
    "LedgerReader",
    "Observer",
    "Processes",
    "Reservations",
    "Script",
    "ServerProbe",
    "StateFile",
]


class Processes(Protocol):
    """The worker processes. A worker is known by its identity, never by a pid alone."""

    def start(
        self,
        worker_id: int,
        *,
        script: Path | None = None,
        parallel_uploads: int | None = None,
        batch_size: int | None = None,
        retry_failed: bool = False,
    ) -> Identity:
        """Starts worker N, by default on the script in place. Raises OSError."""
        ...

    def lives(self, identity: Identity | None, worker_id: int) -> bool:
        """Does worker N live, provably as this process?"""
        ...

    def runs(self, identity: Identity | None, worker_id: int, name: str) -> bool:
        """Does worker N live and run the script of this name?"""
        ...

    def stop(self, identity: Identity | None, worker_id: int) -> bool:
        """Ends worker N; False when it was not there."""
        ...

    def stop_all(self, identities: Mapping[int, Identity | None]) -> None:
        """Ends these workers side by side."""
        ...

    def reap(self) -> bool:
        """Has a worker ended since the last time?"""
        ...

    def take_stack(
        self, identity: Identity | None, worker_id: int, seconds: float
    ) -> str:
        """The Python stack of worker N's threads; "" when it does not answer in
        time."""
        ...

    def time_is_up(self) -> bool:
        """Has all the time passed that the whole migration was given?"""
        ...


class Observer(Protocol):
    """What can be seen of workers from outside."""

    def found_by_hand(self) -> dict[int, Identity]:
        """Every live worker of this state directory, whoever started it."""
        ...

    def look(self, record: WorkerRecord, now: datetime) -> WorkerSnapshot:
        """One worker now."""
        ...


class ServerProbe(Protocol):
    """Does the server answer?"""

    @property
    def trouble(self) -> str:
        """Why it did not answer the last time, or ""."""
        ...

    def answers_now(self, now: datetime) -> bool:
        """Does it answer at this moment?"""
        ...

    def has_settled(self, now: datetime) -> bool:
        """Has it answered for so long that the workers must have noticed?"""
        ...


class DiskMeter(Protocol):
    """How busy is the disk under the library?"""

    @property
    def trouble(self) -> str:
        """Why iostat gave no figure the last time, or ""."""
        ...

    def begin(self) -> None:
        """Starts a measurement for whoever asks next."""
        ...

    def utilization(self) -> float | None:
        """Percent of time the busiest disk was busy; None when it cannot be known."""
        ...

    def close(self) -> None:
        """Ends a measurement that runs."""
        ...


class DiskProbe(Protocol):
    """Does the library's disk answer?"""

    def answers(self, seconds: float) -> bool:
        """Can it be read from in so many seconds?"""
        ...


class LedgerReader(Protocol):
    """What the workers have written down. Every question raises what UNREADABLE lists."""

    def newest(self) -> Totals | None:
        """The newest pass; None when there is none."""
        ...

    def proved(self, pass_id: int) -> bool:
        """Do the rows of the pass agree with its counters?"""
        ...

    def settled(
        self, pass_id: int, files: Sequence[FileId], first_id: int | None
    ) -> bool:
        """Have these files their outcomes? Without files: is the range of this book
        closed?"""
        ...

    def carried(self, pass_id: int, files: Sequence[FileId]) -> bool:
        """Are these files on the server?"""
        ...

    def not_carried_in(self, pass_id: int, first_id: int, last_id: int) -> int:
        """How many files of these books failed or were skipped?"""
        ...


class History(Protocol):
    """The attempts of all time, one entry each: the durable record."""

    def begin(self, now: datetime) -> None:
        """An empty history where there is none. Raises StateUnwritable."""
        ...

    def entries(self) -> list[HistoryEntry]:
        """All entries, oldest first."""
        ...

    def record(self, entry: HistoryEntry, now: datetime) -> None:
        """Adds the entry, or replaces the one with the same key. Raises
        StateUnwritable, OutOfResources."""
        ...


class StateFile(Protocol):
    """Clocks, processes and what people decided, which survive a restart of the
    monitor."""

    @property
    def path(self) -> Path:
        """Where it is, for messages."""
        ...

    def read(self) -> MonitorState | None:
        """The state; None when there is none or it cannot be read."""
        ...

    def load(self, now: datetime) -> tuple[MonitorState | None, str]:
        """The state for a monitor that starts, and a warning or ""."""
        ...

    def taken_over(self, known: Sequence[HistoryEntry]) -> list[HistoryEntry]:
        """What a version before this one kept here and the history says now, as entries
        to be written."""
        ...

    def write(self, state: MonitorState) -> None:
        """Replaces the state. Raises StateUnwritable, OutOfResources."""
        ...


class EvidenceStore(Protocol):
    """What attempts are based on, and changes that are left to a person."""

    def keep(self, assessment: Assessment, seen: WorkerSnapshot, stack: str) -> str:
        """Keeps what was known; returns the file's name. Raises StateUnwritable,
        OutOfResources."""
        ...

    def propose(self, worker_id: int, root_cause: str, code: str) -> str:
        """Keeps a change; returns the file's name. Raises StateUnwritable,
        OutOfResources."""
        ...


class Script(Protocol):
    """The worker script in place, its candidates and backups."""

    @property
    def path(self) -> Path:
        """Where it is."""
        ...

    @property
    def name(self) -> str:
        """Its file name."""
        ...

    def digest(self) -> str:
        """The hash of the script in place; "" when it cannot be read."""
        ...

    def has(self, candidate: Candidate) -> bool:
        """Is the candidate's file still there?"""
        ...

    def path_of(self, candidate: Candidate) -> Path:
        """Where the candidate is."""
        ...

    def promote(self, candidate: Candidate) -> None:
        """The candidate becomes the script, in one step; repeatable. Raises NotOurs,
        OSError."""
        ...


class Reservations(Protocol):
    """Books kept for the worker that a candidate is tried on."""

    def keep(self, pass_id: int, books: Collection[BookId], worker_id: int) -> None:
        """From now on, for as long as a trial may take. Raises StateUnwritable,
        OutOfResources."""
        ...

    def clear(self) -> None:
        """Nothing is kept for anybody any more."""
        ...


class Alerts(Protocol):
    """Tells a person, without making anybody wait."""

    def tell(self, text: str) -> None:
        """Something is wrong."""
        ...

    def announce(self, text: str) -> None:
        """Something has ended well."""
        ...

    def finish(self, seconds: float) -> None:
        """Gives alerts under way that long to be sent."""
        ...


class Commands(Protocol):
    """What people have asked for."""

    def waiting(self) -> bool:
        """Has anybody asked for something?"""
        ...

    def carry_out(self) -> None:
        """Does what was asked for since the last look."""
        ...

    def finish(self) -> None:
        """The monitor ends."""
        ...


class Diagnoser(Protocol):
    """Never makes anybody wait: an answer that is not there yet is pending, and asked
    for again at the next look."""

    def asked(self, worker_id: int) -> bool:
        """Has a question about this worker been asked, answered or not?"""
        ...

    def diagnose(self, facts: Facts) -> Answer:
        """Why does this worker hang, and what helps?"""
        ...

    def disk_is_the_cause(self, facts: Facts) -> Opinion:
        """Is the saturated disk the reason why it hangs?"""
        ...

    def forget(self, worker_id: int) -> None:
        """Its trouble is over, or another one now."""
        ...

    def finish(self) -> None:
        """Ends what still runs."""
        ...
